"""`find`: walks a tree and prints what its tests let through."""

from __future__ import annotations

import fnmatch
import os
import posixpath
import re
import stat
from collections.abc import AsyncGenerator, Callable
from typing import Any

from portyard.ssh.core.process import Gather, Process, UsageError, encode, explain

_Test = Callable[[str, Any], bool]  # a name and its os.stat_result
_KINDS = {"f": stat.S_ISREG, "d": stat.S_ISDIR, "l": stat.S_ISLNK}
_NAMED = ("-name", "-iname", "-type", "-size", "-maxdepth", "-mindepth", "-path")


async def find(p: Process) -> AsyncGenerator[bytes, None]:
    """Print paths: -name -iname -path -type -size -empty -maxdepth -mindepth -print -print0, all of which must hold."""
    args = list(p.args)
    starts = []
    while args and not args[0].startswith("-"):
        starts.append(args.pop(0))
    search = _Search(args)
    gather = Gather()
    for start in starts or ["."]:
        try:
            entry = p.root.lstat(p.path(start))
        except OSError as error:
            await p.fail_os(f"'{start}'", error)
            continue
        waiting: list[tuple[str, os.stat_result, int]] = [(start, entry, 0)]
        while waiting:
            path, entry, depth = waiting.pop()
            shown = depth >= search.least and all(test(path, entry) for test in search.tests)
            if shown and (piece := gather.add(encode(path + search.ending))):
                yield piece
            if stat.S_ISDIR(entry.st_mode) and depth < search.most:
                try:
                    below = [
                        (posixpath.join(path, name), found, depth + 1) for name, found in p.root.scan(p.path(path))
                    ]
                except OSError as error:
                    await p.fail(f"'{path}': {explain(error)}")
                    continue
                waiting += reversed(below)
                await p.io.breathe()
    yield gather.take()


class _Search:
    """What is looked for."""

    def __init__(self, args: list[str]) -> None:
        self.tests: list[_Test] = []
        self.least, self.most = 0, 1 << 30
        self.ending = "\n"
        while args:
            word = args.pop(0)
            negated = word in ("!", "-not")
            if negated:
                if not args:
                    raise UsageError(f"expected an expression after '{word}'")
                word = args.pop(0)
            if word in _NAMED:
                if not args:
                    raise UsageError(f"missing argument to '{word}'")
                test = self._valued(word, args.pop(0))
            else:
                test = self._plain(word)
            if test is not None:
                self.tests.append(_not(test) if negated else test)

    def _plain(self, word: str) -> _Test | None:
        if word == "-empty":
            return lambda _, entry: stat.S_ISREG(entry.st_mode) and entry.st_size == 0
        if word == "-print0":
            self.ending = "\0"
        elif word not in ("-print", "-a", "-and"):
            raise UsageError(f"unknown predicate '{word}'")
        return None

    def _valued(self, word: str, value: str) -> _Test | None:
        if word in ("-maxdepth", "-mindepth"):
            if not re.fullmatch(r"\d{1,9}", value):
                raise UsageError(f"{word}: expected a positive decimal integer, got '{value}'")
            if word == "-maxdepth":
                self.most = int(value)
            else:
                self.least = int(value)
            return None
        if word == "-type":
            if value not in _KINDS:
                raise UsageError(f"unknown argument to -type: {value}")
            return lambda _, entry: _KINDS[value](entry.st_mode)
        if word == "-size":
            return _size(value)
        match = re.compile(fnmatch.translate(value), re.IGNORECASE if word == "-iname" else 0).match
        if word == "-path":
            return lambda path, _: bool(match(path))
        return lambda path, _: bool(match(posixpath.basename(path.rstrip("/")) or "/"))


def _not(test: _Test) -> _Test:
    return lambda path, entry: not test(path, entry)


def _size(value: str) -> _Test:
    match = re.fullmatch(r"([-+]?)(\d{1,15})([ckMG]?)", value)
    if match is None:
        raise UsageError(f"invalid argument '{value}' to -size")
    unit = {"c": 1, "": 512, "k": 1 << 10, "M": 1 << 20, "G": 1 << 30}[match[3]]
    wanted, sign = int(match[2]), match[1]

    def test(_: str, entry: os.stat_result) -> bool:
        units = -(-entry.st_size // unit)
        return units > wanted if sign == "+" else units < wanted if sign == "-" else units == wanted

    return test


COMMANDS = {"find": find}
