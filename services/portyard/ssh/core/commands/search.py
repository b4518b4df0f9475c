"""`grep`, on an engine of our own whose work grows with the text and never explodes."""

from __future__ import annotations

import posixpath
import stat
from collections.abc import AsyncGenerator, Callable

from portyard.ssh.core.expression import BadPattern
from portyard.ssh.core.pattern import Pattern
from portyard.ssh.core.process import Gather, Process, UsageError, decode, encode, explain

_Found = dict[str, str]


async def grep(p: Process) -> AsyncGenerator[bytes, None]:
    """Pass on lines that match: -i -v -n -c -r -l -L -q -w -x -h -H -s -F -E -e -m."""
    found, names = p.options("ivncrRlLqwxhHsFEGa", "em")
    if p.name == "fgrep":
        found["F"] = ""
    if p.name == "egrep":
        found["E"] = ""
    if "e" not in found:
        if not names:
            raise UsageError("usage: grep [options] pattern [files]", 2)
        found["e"] = names.pop(0)
    matches = _matcher(found)
    most = int(found["m"]) if found.get("m", "").isdecimal() else 1 << 60
    recursive = bool({"r", "R"} & found.keys())
    titled = ("H" in found or len(names) > 1 or recursive) and "h" not in found
    p.status = 1
    gather = Gather()
    looked = names or (["."] if recursive else ["-"])
    async for name in p.keep(_files(p, looked, found, recursive=recursive)):
        title = (f"{'(standard input)' if name == '-' else name}:") if titled else ""
        try:
            async for line in p.keep(_one(p, name, matches, found, title, most)):
                if piece := gather.add(line):
                    yield piece
        except OSError as error:
            await _broken(p, f"{name}: {explain(error)}", found)
        if "q" in found and p.status == 0:
            return
    yield gather.take()


async def _one(
    p: Process, name: str, matches: Callable[[str], bool], found: _Found, title: str, most: int
) -> AsyncGenerator[bytes, None]:
    count = number = 0
    async for raw in p.lines(p.file(name)):
        number += 1
        if matches(decode(raw.removesuffix(b"\n"))) == ("v" in found):
            continue
        count += 1
        if p.status == 1:
            p.status = 0
        if {"q", "l", "L"} & found.keys():
            break
        if "c" not in found:
            place = f"{title}{number}:" if "n" in found else title
            yield encode(place) + raw.removesuffix(b"\n") + b"\n"
        if count >= most:
            break
    if "c" in found:
        yield encode(f"{title}{count}\n")
    elif ("l" in found and count) or ("L" in found and not count):
        yield encode(f"{name}\n")


def _matcher(found: _Found) -> Callable[[str], bool]:
    """A line to whether it matches."""
    try:
        patterns = [
            Pattern(
                text,
                extended="E" in found,
                fixed="F" in found,
                ignore_case="i" in found,
                words="w" in found,
                lines="x" in found,
            )
            for text in found["e"].split("\n")
        ]
    except BadPattern as error:
        raise UsageError(str(error), 2) from None
    return lambda line: any(pattern.matches(line) for pattern in patterns)


async def _files(p: Process, names: list[str], found: _Found, *, recursive: bool) -> AsyncGenerator[str, None]:
    """The files to look into; with -r those of a tree, links left aside."""
    waiting = names[::-1]
    while waiting:
        name = waiting.pop()
        try:
            folder = name != "-" and stat.S_ISDIR(p.root.stat(p.path(name)).st_mode)
            if not folder:
                yield name
            elif not recursive:
                await _broken(p, f"{name}: Is a directory", found)
            else:
                entries = [entry for entry in p.root.scan(p.path(name)) if not stat.S_ISLNK(entry[1].st_mode)]
                waiting += [posixpath.join(name, child) for child, _ in reversed(entries)]
                await p.io.breathe()
        except OSError as error:
            await _broken(p, f"{name}: {explain(error)}", found)


async def _broken(p: Process, message: str, found: _Found) -> None:
    if "s" in found:
        p.status = 2
    else:
        await p.fail(message, 2)


COMMANDS = {"grep": grep, "egrep": grep, "fgrep": grep}
