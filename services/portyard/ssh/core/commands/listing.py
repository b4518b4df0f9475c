"""`ls`."""

from __future__ import annotations

import os
import posixpath
import stat
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from portyard.ssh.core.process import Gather, Process, encode
from portyard.ssh.core.words import listed_time, one_line

_ENTRIES = 1_000_000  # of one directory that are sorted


@dataclass(frozen=True, slots=True)
class _Style:
    long: bool
    hidden: bool  # names with a leading dot
    itself: bool  # "." and ".."
    recursive: bool
    directories: bool  # as entries, not what is in them
    marked: bool  # "/" behind directories, "@" behind links
    reverse: bool
    by_time: bool
    by_size: bool
    human: bool


_Entry = tuple[str, os.stat_result]


async def ls(p: Process) -> AsyncGenerator[bytes, None]:
    """List directories, one name a line: -a -A -d -F -h -l -p -R -r -S -t; -1 and -C change nothing."""
    found, names = p.options("aAdFhlpRrSt1CnNgo")
    style = _Style(
        long=bool({"l", "n", "g", "o"} & found.keys()),
        hidden=bool({"a", "A"} & found.keys()),
        itself="a" in found,
        recursive="R" in found,
        directories="d" in found,
        marked=bool({"F", "p"} & found.keys()),
        reverse="r" in found,
        by_time="t" in found,
        by_size="S" in found,
        human="h" in found,
    )
    entries: list[_Entry] = []
    folders: list[str] = []
    for name in names or ["."]:
        try:
            entry = _operand(p, name, style)
        except OSError as error:
            await p.fail(f"cannot access '{name}': {os.strerror(error.errno or 0)}", 2)
            continue
        if stat.S_ISDIR(entry.st_mode) and not style.directories:
            folders.append(name)
        else:
            entries.append((name, entry))
    if entries:
        yield encode("".join(_lines(p, "", _ordered(entries, style), style)))
    titled = len(names) > 1 or style.recursive
    async for piece in p.keep(_folders(p, sorted(folders), style, titled=titled, first=not entries)):
        yield piece


def _operand(p: Process, name: str, style: _Style) -> os.stat_result:
    if style.long or style.directories:
        entry = p.root.lstat(p.path(name))
        if not (stat.S_ISLNK(entry.st_mode) and name.endswith("/")):
            return entry
    try:
        return p.root.stat(p.path(name))
    except FileNotFoundError:
        return p.root.lstat(p.path(name))  # a link that leads nowhere


async def _folders(
    p: Process, folders: list[str], style: _Style, *, titled: bool, first: bool
) -> AsyncGenerator[bytes, None]:
    gather = Gather()
    waiting = folders[::-1]
    while waiting:
        name = waiting.pop()
        try:
            entries = _read(p, name, style)
        except OSError as error:
            await p.fail(f"cannot open directory '{name}': {os.strerror(error.errno or 0)}", 2)
            continue
        if titled:
            gather.add(encode(("" if first else "\n") + f"{name}:\n"))
        first = False
        if style.long:
            blocks = sum(entry.st_blocks for _, entry in entries) // 2
            gather.add(encode(f"total {blocks}\n"))
        for line in _lines(p, name, entries, style):
            if piece := gather.add(encode(line)):
                yield piece
        await p.io.breathe()
        if style.recursive:
            below = [entry for entry in entries if entry[0] not in (".", "..") and stat.S_ISDIR(entry[1].st_mode)]
            waiting += [posixpath.join(name, child) for child, _ in reversed(below)]
    yield gather.take()


def _read(p: Process, name: str, style: _Style) -> list[_Entry]:
    entries = [entry for entry in p.root.scan(p.path(name)) if style.hidden or not entry[0].startswith(".")]
    if style.itself:
        own = [(dots, p.root.stat(p.path(posixpath.join(name, dots)))) for dots in (".", "..")]
        entries = own + entries
    return _ordered(entries, style)


def _ordered(entries: list[_Entry], style: _Style) -> list[_Entry]:
    entries = sorted(entries[:_ENTRIES])
    if style.by_size:
        entries.sort(key=lambda entry: -entry[1].st_size)
    elif style.by_time:
        entries.sort(key=lambda entry: -entry[1].st_mtime_ns)
    return entries[::-1] if style.reverse else entries


def _lines(p: Process, folder: str, entries: list[_Entry], style: _Style) -> list[str]:
    shown = [(_marked(name, entry) if style.marked else one_line(name), name, entry) for name, entry in entries]
    if not style.long:
        return [f"{text}\n" for text, _, _ in shown]
    sizes = [_human(entry.st_size) if style.human else str(entry.st_size) for _, _, entry in shown]
    width = max(map(len, sizes), default=0)
    links = max((len(str(entry.st_nlink)) for _, _, entry in shown), default=0)
    now = p.io.now()
    owner = p.shell.account.local_part
    return [
        f"{stat.filemode(entry.st_mode)} {entry.st_nlink:>{links}} {owner} {owner} {size:>{width}} "
        f"{listed_time(entry.st_mtime, now)} {text}{_target(p, folder, name, entry)}\n"
        for (text, name, entry), size in zip(shown, sizes, strict=True)
    ]


def _target(p: Process, folder: str, name: str, entry: os.stat_result) -> str:
    if not stat.S_ISLNK(entry.st_mode):
        return ""
    try:
        return f" -> {one_line(p.root.readlink(p.path(posixpath.join(folder, name))))}"
    except OSError:
        return ""


def _marked(name: str, entry: os.stat_result) -> str:
    if stat.S_ISDIR(entry.st_mode):
        return one_line(name) + "/"
    return one_line(name) + ("@" if stat.S_ISLNK(entry.st_mode) else "*" if entry.st_mode & 0o111 else "")


def _human(size: float) -> str:
    for unit in ("", "K", "M", "G"):
        if size < 1024:
            return f"{size:.1f}{unit}" if unit and size < 10 else f"{size:.0f}{unit}"
        size /= 1024
    return f"{size:.1f}T"


COMMANDS = {"ls": ls, "dir": ls}
