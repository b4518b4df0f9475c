"""Commands that make, move, copy and remove names."""

from __future__ import annotations

import errno
import os
import posixpath
import re
import stat
from collections.abc import AsyncGenerator

from portyard.commons.filestore.model import accessed_at
from portyard.ssh.core.process import PIECE, Process, UsageError, explain

_SYMBOLIC = re.compile(r"([ugoa]*)([-+=])([rwxX]*)\Z")
_WHO = {"u": 0o700, "g": 0o070, "o": 0o007, "a": 0o777}
_MAY = {"r": 0o444, "w": 0o222, "x": 0o111}

Nothing = AsyncGenerator[bytes, None]


async def mkdir(p: Process) -> Nothing:
    """Make directories; -p with those above, and without complaint when there is one."""
    found, names = _operands(p, "pv", "m")
    permissions = int(found["m"], 8) if re.fullmatch(r"[0-7]{3,4}", found.get("m", "")) else 0o755
    for name in names:
        try:
            if "p" in found:
                _make_all(p, name, permissions)
            else:
                p.root.mkdir(p.path(name), permissions)
        except OSError as error:
            await p.fail(f"cannot create directory '{name}': {explain(error)}")
    return
    yield b""


def _make_all(p: Process, name: str, permissions: int) -> None:
    path = p.path(name)
    parts = [part for part in path.split("/") if part]
    for count in range(1, len(parts) + 1):
        folder = "/" + "/".join(parts[:count])
        try:
            p.root.mkdir(folder, permissions)
        except FileExistsError:
            if not stat.S_ISDIR(p.root.stat(folder).st_mode):
                raise


async def rmdir(p: Process) -> Nothing:
    """Remove empty directories."""
    _, names = _operands(p, "v")
    for name in names:
        try:
            p.root.rmdir(p.path(name))
        except OSError as error:
            await p.fail(f"failed to remove '{name}': {explain(error)}")
    return
    yield b""


async def rm(p: Process) -> Nothing:
    """Remove files; -r directories with all that is in them, -f without complaint about what isn't there."""
    found, names = p.options("rRfdvi")
    if not names and "f" not in found:
        raise UsageError("missing operand")
    for name in names:
        if posixpath.basename(name.rstrip("/")) in (".", "..", ""):
            await p.fail(f"refusing to remove '{name}'")
            continue
        try:
            await _remove(p, name, recursive=bool({"r", "R"} & found.keys()), empty="d" in found)
        except FileNotFoundError as error:
            if "f" not in found:
                await p.fail(f"cannot remove '{name}': {explain(error)}")
        except OSError as error:
            await p.fail(f"cannot remove '{name}': {explain(error)}")
    return
    yield b""


async def _remove(p: Process, name: str, *, recursive: bool, empty: bool) -> None:
    path = p.path(name)
    if not stat.S_ISDIR(p.root.lstat(path.rstrip("/") or "/").st_mode):
        p.root.unlink(path)
        return
    if empty and not recursive:
        p.root.rmdir(path)
        return
    if not recursive:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    waiting = [(path, False)]
    while waiting:
        folder, emptied = waiting.pop()
        if emptied:
            p.root.rmdir(folder)
            continue
        waiting.append((folder, True))
        for child, entry in p.root.scan(folder):
            below = posixpath.join(folder, child)
            if stat.S_ISDIR(entry.st_mode):
                waiting.append((below, False))
            else:
                p.root.unlink(below)
        await p.io.breathe()


async def mv(p: Process) -> Nothing:
    """Move, into a directory if the last operand is one."""
    found, names = p.options("fnv")
    for source, target in _pairs(p, names):
        if "n" in found and _exists(p, target):
            continue
        try:
            p.root.rename(p.path(source), p.path(target))
        except OSError as error:
            await p.fail(f"cannot move '{source}' to '{target}': {explain(error)}")
    return
    yield b""


async def cp(p: Process) -> Nothing:
    """Copy files; -r directories with all that is in them, -p with times and permission bits."""
    found, names = p.options("rRapfvL")
    recursive = bool({"r", "R", "a"} & found.keys())
    keep = bool({"p", "a"} & found.keys())
    for source, target in _pairs(p, names):
        try:
            if stat.S_ISDIR(p.root.stat(p.path(source)).st_mode):
                if not recursive:
                    await p.fail(f"-r not specified; omitting directory '{source}'")
                    continue
                await _copy_tree(p, source, target, keep=keep)
            else:
                await _copy(p, p.path(source), p.path(target), keep=keep)
        except OSError as error:
            await p.fail(f"cannot copy '{source}' to '{target}': {explain(error)}")
    return
    yield b""


async def _copy_tree(p: Process, source: str, target: str, *, keep: bool) -> None:
    origin = p.root.realpath(p.path(source))
    goal = p.root.realpath(p.path(target))
    if goal == origin or goal.startswith(origin.rstrip("/") + "/"):
        raise OSError(errno.EINVAL, "cannot copy a directory into itself")
    waiting = [(origin, goal)]
    while waiting:
        here, there = waiting.pop()
        if not _exists(p, there):
            p.root.mkdir(there)
        for name, entry in p.root.scan(here):
            one, other = posixpath.join(here, name), posixpath.join(there, name)
            if stat.S_ISDIR(entry.st_mode):
                waiting.append((one, other))
            elif stat.S_ISLNK(entry.st_mode):
                p.root.symlink(p.root.readlink(one), other)
            else:
                await _copy(p, one, other, keep=keep)


async def _copy(p: Process, source: str, target: str, *, keep: bool) -> None:
    entry = p.root.stat(source)
    if _exists(p, target) and p.root.realpath(target) == p.root.realpath(source):
        raise OSError(errno.EINVAL, "they are the same file")
    with p.root.open(source) as origin, p.root.replace(target) as goal:
        if entry.st_size > p.shell.limit:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
        while piece := origin.read(PIECE):
            goal.write(piece)
            await p.io.breathe()
    p.root.chmod(target, stat.S_IMODE(entry.st_mode))
    if keep:
        p.root.utime(target, accessed_at(entry), entry.st_mtime)


async def ln(p: Process) -> Nothing:
    """Make links: hard ones, or with -s symbolic ones; -f replaces."""
    found, names = p.options("sfnv")
    if len(names) == 1:
        names = [names[0], "."]
    for source, target in _pairs(p, names, follow="n" not in found):
        try:
            if "f" in found and _exists(p, target, follow=False):
                p.root.unlink(p.path(target))
            if "s" in found:
                p.root.symlink(source, p.path(target))
            else:
                p.root.link(p.path(source), p.path(target))
        except OSError as error:
            kind = "symbolic" if "s" in found else "hard"
            await p.fail(f"failed to create {kind} link '{target}': {explain(error)}")
    return
    yield b""


async def touch(p: Process) -> Nothing:
    """Make files, and set their times to now, or to -d @seconds; -c makes none."""
    found, names = _operands(p, "acm", "dr")
    moment = p.io.now().timestamp()
    if "d" in found:
        match = re.fullmatch(r"@(\d{1,11})", found["d"])
        if match is None:
            raise UsageError(f"invalid date format '{found['d']}'")
        moment = int(match[1])
    for name in names:
        try:
            if not _exists(p, name):
                if "c" in found:
                    continue
                os.close(p.root.open_fd(p.path(name), os.O_WRONLY | os.O_CREAT, 0o666))
            p.root.utime(p.path(name), moment, moment)
        except OSError as error:
            await p.fail(f"cannot touch '{name}': {explain(error)}")
    return
    yield b""


async def chmod(p: Process) -> Nothing:
    """Set permission bits, by number or by letters."""
    args = [arg for arg in p.args if arg not in ("-v", "-f", "-R")]
    if len(args) < 2:
        raise UsageError("missing operand")
    for name in args[1:]:
        try:
            entry = p.root.stat(p.path(name))
            p.root.chmod(p.path(name), _permissions(args[0], entry))
            if "-R" in p.args and stat.S_ISDIR(entry.st_mode):
                await _chmod_below(p, p.path(name), args[0])
        except OSError as error:
            await p.fail(f"cannot access '{name}': {explain(error)}")
    return
    yield b""


async def _chmod_below(p: Process, folder: str, mode: str) -> None:
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        for name, entry in p.root.scan(here):
            if not stat.S_ISLNK(entry.st_mode):
                path = posixpath.join(here, name)
                p.root.chmod(path, _permissions(mode, entry))
                waiting += [path] if stat.S_ISDIR(entry.st_mode) else []
        await p.io.breathe()


def _permissions(mode: str, entry: os.stat_result) -> int:
    if re.fullmatch(r"[0-7]{1,4}", mode):
        return int(mode, 8)
    bits = stat.S_IMODE(entry.st_mode)
    for clause in mode.split(","):
        match = _SYMBOLIC.match(clause)
        if match is None:
            raise UsageError(f"invalid mode: '{mode}'")
        who = sum({_WHO[letter] for letter in match[1]}) & 0o777 if "a" not in match[1] else 0o777
        mask = who or 0o777
        wanted = 0
        for letter in match[3]:
            if letter == "X":
                wanted |= 0o111 if stat.S_ISDIR(entry.st_mode) or bits & 0o111 else 0
            else:
                wanted |= _MAY[letter]
        wanted &= mask
        bits = {"+": bits | wanted, "-": bits & ~wanted, "=": bits & ~mask | wanted}[match[2]]
    return bits


def _operands(p: Process, flags: str, values: str = "") -> tuple[dict[str, str], list[str]]:
    found, names = p.options(flags, values)
    if not names:
        raise UsageError("missing operand")
    return found, names


def _exists(p: Process, name: str, *, follow: bool = True) -> bool:
    try:
        (p.root.stat if follow else p.root.lstat)(p.path(name))
    except OSError:
        return False
    return True


def _pairs(p: Process, names: list[str], *, follow: bool = True) -> list[tuple[str, str]]:
    """Sources, each with where it goes: into the last operand when that is a directory."""
    if len(names) < 2:
        raise UsageError(
            "missing file operand" if not names else f"missing destination file operand after '{names[0]}'"
        )
    *sources, target = names
    folder = False
    try:
        entry = (p.root.stat if follow else p.root.lstat)(p.path(target))
        folder = stat.S_ISDIR(entry.st_mode)
    except OSError:
        pass
    if len(sources) > 1 and not folder:
        raise UsageError(f"target '{target}': Not a directory")
    if not folder:
        return [(sources[0], target)]
    return [(source, posixpath.join(target, posixpath.basename(source.rstrip("/")))) for source in sources]


COMMANDS = {
    "chmod": chmod,
    "cp": cp,
    "ln": ln,
    "mkdir": mkdir,
    "mv": mv,
    "rm": rm,
    "rmdir": rmdir,
    "touch": touch,
    "unlink": rm,
}
