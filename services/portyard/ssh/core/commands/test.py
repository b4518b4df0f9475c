"""`test` and `[` (XCU test)."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import AsyncGenerator, Callable

from portyard.ssh.core.process import Process, UsageError

_NUMBER = re.compile(r"\s*[+-]?\d{1,18}\s*\Z")
_COMPARISONS: dict[str, Callable[[int, int], bool]] = {
    "-eq": lambda a, b: a == b,
    "-ne": lambda a, b: a != b,
    "-lt": lambda a, b: a < b,
    "-le": lambda a, b: a <= b,
    "-gt": lambda a, b: a > b,
    "-ge": lambda a, b: a >= b,
}
_STRINGS: dict[str, Callable[[str, str], bool]] = {
    "=": lambda a, b: a == b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    ">": lambda a, b: a > b,
}
_FILES: dict[str, Callable[[os.stat_result], bool]] = {
    "-e": lambda _: True,
    "-f": lambda found: stat.S_ISREG(found.st_mode),
    "-d": lambda found: stat.S_ISDIR(found.st_mode),
    "-s": lambda found: found.st_size > 0,
    "-r": lambda found: bool(found.st_mode & 0o400),
    "-w": lambda found: bool(found.st_mode & 0o200),
    "-x": lambda found: bool(found.st_mode & 0o100),
}
DEPTH = 100  # nested "!" and "("


async def test(p: Process) -> AsyncGenerator[bytes, None]:
    """Judge an expression by the status."""
    args = list(p.args)
    if p.name == "[" and (not args or args.pop() != "]"):
        raise UsageError("missing ']'", 2)
    p.status = 0 if _Expression(p, args).judge() else 1
    return
    yield b""


class _Expression:
    def __init__(self, p: Process, args: list[str]) -> None:
        self._p = p
        self._args = args
        self._depth = 0

    def judge(self) -> bool:
        if not self._args:
            return False
        result = self._or()
        if self._args:
            raise UsageError(f"extra argument '{self._args[0]}'", 2)
        return result

    def _or(self) -> bool:
        result = self._and()
        while self._args and self._args[0] == "-o":
            self._args.pop(0)
            other = self._and()
            result = result or other
        return result

    def _and(self) -> bool:
        result = self._term()
        while self._args and self._args[0] == "-a":
            self._args.pop(0)
            other = self._term()
            result = result and other
        return result

    def _term(self) -> bool:
        args = self._args
        if not args:
            raise UsageError("argument expected", 2)
        self._depth += 1
        if self._depth > DEPTH:
            raise UsageError("expression too deep", 2)
        if len(args) >= 3 and (args[1] in _STRINGS or args[1] in _COMPARISONS):
            return self._binary(args.pop(0), args.pop(0), args.pop(0))
        if args[0] == "!" and len(args) > 1:
            args.pop(0)
            return not self._term()
        if args[0] == "(" and len(args) > 2:
            args.pop(0)
            result = self._or()
            if not args or args.pop(0) != ")":
                raise UsageError("')' expected", 2)
            return result
        if len(args) >= 2 and (args[0] in _FILES or args[0] in ("-n", "-z", "-L", "-h")):
            return self._unary(args.pop(0), args.pop(0))
        return bool(args.pop(0))

    def _unary(self, operator: str, value: str) -> bool:
        if operator in ("-n", "-z"):
            return bool(value) == (operator == "-n")
        try:
            if operator in ("-L", "-h"):
                return stat.S_ISLNK(self._p.root.lstat(self._p.path(value)).st_mode)
            return bool(value) and _FILES[operator](self._p.root.stat(self._p.path(value)))
        except OSError:
            return False

    def _binary(self, left: str, operator: str, right: str) -> bool:
        if operator in _STRINGS:
            return _STRINGS[operator](left, right)
        for text in (left, right):
            if not _NUMBER.match(text):
                raise UsageError(f"{text}: integer expression expected", 2)
        return _COMPARISONS[operator](int(left), int(right))


COMMANDS = {"[": test, "test": test}
