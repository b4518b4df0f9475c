"""Commands that tell who, where and when; and of one file, what it is."""

from __future__ import annotations

import hashlib
import posixpath
import re
import stat as modes
from collections.abc import AsyncGenerator, Callable
from datetime import UTC, datetime
from typing import Any

from portyard.commons.filestore.model import accessed_at
from portyard.ssh.core.process import Process, UsageError, encode
from portyard.ssh.core.words import moment

ID = 1000  # every account's user and group number
_RELEASE = "Portyard"
_SHOWN = 4096  # characters of a date's format


async def whoami(p: Process) -> AsyncGenerator[bytes, None]:
    """Print the account's local part."""
    yield encode(p.shell.account.local_part + "\n")


async def id_(p: Process) -> AsyncGenerator[bytes, None]:
    """Print the account as user and group."""
    found, operands = p.options("ugnr")
    name = p.shell.account.local_part
    if operands and operands != [name]:
        raise UsageError(f"'{operands[0]}': no such user")
    if "u" in found or "g" in found:
        yield encode((name if "n" in found else str(ID)) + "\n")
    else:
        yield encode(f"uid={ID}({name}) gid={ID}({name}) groups={ID}({name})\n")


async def hostname(p: Process) -> AsyncGenerator[bytes, None]:
    """Print our name."""
    if p.args and p.args[0] not in ("-f", "-s"):
        raise UsageError("you can't change the host name")
    yield encode("portyard\n" if p.args != ["-f"] else f"ssh.{p.shell.account.domain}\n")


async def uname(p: Process) -> AsyncGenerator[bytes, None]:
    """Print what we are."""
    found, _ = p.options("asnrmo")
    words = {"s": "Portyard", "n": "portyard", "r": _RELEASE, "m": "emulated", "o": "Portyard"}
    shown = words if "a" in found else {letter: word for letter, word in words.items() if letter in found}
    yield encode(" ".join(shown.values() if shown else [words["s"]]) + "\n")


async def date(p: Process) -> AsyncGenerator[bytes, None]:
    """Print the testbed's time, in UTC."""
    found, operands = p.options("uR", "dI")
    now = p.io.now().astimezone(UTC)
    if "d" in found:
        match = re.fullmatch(r"@(\d{1,11})", found["d"])
        if match is None:
            raise UsageError(f"invalid date '{found['d']}'")
        now = datetime.fromtimestamp(int(match[1]), UTC)
    if operands and not operands[0].startswith("+"):
        raise UsageError(f"invalid date '{operands[0]}'")
    form = operands[0][1:] if operands else "%a %b %e %H:%M:%S %Z %Y"
    if "R" in found:
        form = "%a, %d %b %Y %H:%M:%S +0000"
    yield encode(formatted(now, form[:_SHOWN]) + "\n")


def formatted(at: datetime, form: str) -> str:
    """A moment by strftime's letters; the host's locale and zone have no say."""

    def one(match: re.Match[str]) -> str:
        letter = match[1]
        known: dict[str, Callable[[], str]] = {
            "s": lambda: str(int(at.timestamp())),
            "N": lambda: f"{at.microsecond * 1000:09d}",
            "Z": lambda: "UTC",
            "z": lambda: "+0000",
            "e": lambda: f"{at.day:2d}",
            "F": lambda: f"{at:%Y-%m-%d}",
            "T": lambda: f"{at:%H:%M:%S}",
            "R": lambda: f"{at:%H:%M}",
            "D": lambda: f"{at:%m/%d/%y}",
            "n": lambda: "\n",
            "t": lambda: "\t",
            "%": lambda: "%",
        }
        if letter in known:
            return known[letter]()
        return at.strftime(f"%{letter}") if letter in "aAbBdHIjmMpSuUVwWyYh" else match[0]

    return re.sub(r"%(.)", one, form)


async def stat(p: Process) -> AsyncGenerator[bytes, None]:
    """Tell of files; -c by a format, -L of what a link leads to."""
    found, names = p.options("L", "c")
    if not names:
        raise UsageError("missing operand")
    for name in names:
        try:
            entry = p.root.stat(p.path(name)) if "L" in found else p.root.lstat(p.path(name))
        except OSError as error:
            await p.fail_os(f"cannot stat '{name}'", error)
            continue
        if "c" in found:
            yield encode(_by_format(p, found["c"], name, entry) + "\n")
        else:
            yield encode(_told(p, name, entry))


def _facts(p: Process, name: str, entry: Any) -> dict[str, str]:  # noqa: ANN401 - os.stat_result
    owner = p.shell.account.local_part
    return {
        "n": name,
        "N": f"'{name}'",
        "s": str(entry.st_size),
        "a": f"{modes.S_IMODE(entry.st_mode):o}",
        "A": modes.filemode(entry.st_mode),
        "f": f"{entry.st_mode:x}",
        "F": _kind(entry),
        "U": owner,
        "G": owner,
        "u": str(ID),
        "g": str(ID),
        "h": str(entry.st_nlink),
        "b": str(entry.st_blocks),
        "B": "512",
        "i": str(entry.st_ino),
        "X": str(int(accessed_at(entry))),
        "Y": str(int(entry.st_mtime)),
        "Z": str(int(entry.st_mtime)),  # st_ctime is of the kernel's own clock, not of the testbed's
        "x": _moment(accessed_at(entry)),
        "y": _moment(entry.st_mtime),
        "z": _moment(entry.st_mtime),
        "%": "%",
    }


def _by_format(p: Process, form: str, name: str, entry: Any) -> str:  # noqa: ANN401
    facts = _facts(p, name, entry)
    return re.sub(r"%(.)", lambda match: facts.get(match[1], "?"), form)


def _told(p: Process, name: str, entry: Any) -> str:  # noqa: ANN401
    facts = _facts(p, name, entry)
    return (
        f"  File: {name}\n"
        f"  Size: {facts['s']:<10}\tBlocks: {facts['b']:<10} {facts['F']}\n"
        f"Access: ({int(facts['a'], 8):04o}/{facts['A']})  Uid: ({ID}/{facts['U']})   Gid: ({ID}/{facts['G']})\n"
        f"Access: {facts['x']}\nModify: {facts['y']}\nChange: {facts['z']}\n"
    )


def _kind(entry: Any) -> str:  # noqa: ANN401
    if modes.S_ISDIR(entry.st_mode):
        return "directory"
    if modes.S_ISLNK(entry.st_mode):
        return "symbolic link"
    return "regular file" if entry.st_size else "regular empty file"


def _moment(seconds: float) -> str:
    at = moment(seconds)
    return f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond * 1000:09d} +0000"


async def basename(p: Process) -> AsyncGenerator[bytes, None]:
    """A path's last component, without a suffix if one is named."""
    if not 1 <= len(p.args) <= 2:
        raise UsageError("missing operand" if not p.args else f"extra operand '{p.args[2]}'")
    name = posixpath.basename(p.args[0].rstrip("/")) or "/"
    if len(p.args) == 2 and name != p.args[1]:
        name = name.removesuffix(p.args[1])
    yield encode(name + "\n")


async def dirname(p: Process) -> AsyncGenerator[bytes, None]:
    """A path without its last component."""
    if not p.args:
        raise UsageError("missing operand")
    for name in p.args:
        folder = posixpath.dirname(name.rstrip("/"))
        yield encode((folder or ("/" if name.startswith("/") else ".")) + "\n")


async def digest(p: Process) -> AsyncGenerator[bytes, None]:
    """Digests of files."""
    _, names = p.options("bt")
    for name in names or ["-"]:
        hasher = hashlib.new(p.name.removesuffix("sum"), usedforsecurity=False)
        try:
            async for piece in p.file(name):
                hasher.update(piece)
        except OSError as error:
            await p.fail_os(name, error)
            continue
        yield encode(f"{hasher.hexdigest()}  {name}\n")


COMMANDS = {
    "basename": basename,
    "date": date,
    "dirname": dirname,
    "hostname": hostname,
    "id": id_,
    "md5sum": digest,
    "sha1sum": digest,
    "sha256sum": digest,
    "sha512sum": digest,
    "stat": stat,
    "uname": uname,
    "whoami": whoami,
}
