"""Globs and regular expressions that end: what could take for ever is refused or written so that it can't. Pure.

Python's matcher has no bound of its own: it would hold up every session of a process.
"""

from __future__ import annotations

import importlib
import re
from typing import Any

# The standard library's own reader of expressions; private by name, the same since Python 3.11.
_parser: Any = importlib.import_module("re._parser")
_REPEATS = frozenset({"MAX_REPEAT", "MIN_REPEAT"})  # a possessive one never gives back what it took
_FEW = 8  # times that a repeat may be had within another one: the ways to part a text between them stay few


def compiled(text: str, flags: int = 0) -> re.Pattern[str]:
    """A regular expression.

    Raises:
        re.error: It is none, or one that can take for ever.
    """
    try:
        expression = re.compile(text, flags)
        tangled = _tangled(_parser.parse(text, flags))
    except (RecursionError, OverflowError) as error:
        raise re.error(str(error)) from None
    if tangled:
        raise re.error(
            "a repeat of nothing but repeats, such as (a+)+, can take for ever; put what parts them between, or leave one"
        )
    return expression


def glob(text: str, one: str = "?") -> re.Pattern[str]:
    """The expression that a glob means, for `fullmatch`: `*` takes as little as it can and never gives back, so that many end as one does.

    Args:
        text: With `*` for any text.
        one: What stands for any character; empty for nothing.
    """
    first, *rest = (_characters(piece, one) for piece in text.split("*"))
    if not rest:
        return re.compile(first, re.DOTALL)
    *midst, last = rest
    return re.compile(first + "".join(f"(?>.*?{piece})" for piece in midst if piece) + f".*{last}", re.DOTALL)


def _characters(piece: str, one: str) -> str:
    return "".join("." if character == one else re.escape(character) for character in piece)


def _tangled(parts: Any) -> bool:  # noqa: ANN401 - the reader's own
    """Whether a repeat repeats what is nothing but repeats: there is a text that it can take in as many ways as there are numbers."""
    for code, value in parts:
        name = str(code)
        if name in _REPEATS and value[1] > _FEW and any(_only_repeats(way) for way in _ways(value[2])):
            return True
        if any(_tangled(below) for below in _below(name, value)):
            return True
    return False


def _below(name: str, value: Any) -> list[Any]:  # noqa: ANN401 - the reader's own
    """The sequences within a part."""
    if name in _REPEATS or name == "POSSESSIVE_REPEAT":
        return [value[2]]
    if name == "SUBPATTERN":
        return [value[3]]
    if name == "BRANCH":
        return list(value[1])
    if name == "ATOMIC_GROUP":
        return [value]
    if name in ("ASSERT", "ASSERT_NOT"):
        return [value[1]]
    if name == "GROUPREF_EXISTS":
        return [way for way in value[1:] if way is not None]
    return []


def _ways(parts: Any) -> list[Any]:  # noqa: ANN401 - the reader's own
    """A body's alternatives, groups around the whole of it opened."""
    if len(parts) == 1:
        name, value = str(parts[0][0]), parts[0][1]
        if name in ("SUBPATTERN", "BRANCH"):
            return [way for below in _below(name, value) for way in _ways(below)]
    return [parts]


def _only_repeats(parts: Any) -> bool:  # noqa: ANN401 - the reader's own
    """Whether a sequence has a long repeat, and nothing beside it that has to be there."""
    long = False
    for code, value in parts:
        name = str(code)
        if name in _REPEATS:
            long = long or value[1] > _FEW
            if value[0] and value[1] <= _FEW:
                return False  # so often at least, and never many times more
        elif name == "SUBPATTERN":
            if not _only_repeats(value[3]):
                return False
            long = True
        elif name not in ("AT", "ASSERT", "ASSERT_NOT"):
            return False
    return long
