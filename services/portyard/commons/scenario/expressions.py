"""Globs and regular expressions that end, whatever is written and whatever is looked at. Pure.

Python's own matcher goes back and tries again: a short expression can hold up every session of a process for ever. RE2's passes over the
text once. What it can't have (look-around, back references, atomic groups) is refused when it is written.
"""

from __future__ import annotations

import importlib
import re
import warnings
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

Fits = Callable[[str], bool]
"""Whether a text is meant."""

PATTERN_LIMIT = 1000  # characters of an expression or glob
LOOKED_AT = 16_384  # characters of a text in which an expression, and what stands between a glob's stars, is looked for
PROGRAM_LIMIT = (
    3000  # instructions; where the memory below is too small for them, each is tried at each octet: 0.3 s at worst
)
_MEMORY = 4 << 20  # octets that one expression may take, if it ever needs them

# The standard library's own reader of expressions; private by name, the same since Python 3.11. The index of rules reads with it, too.
_parser: Any = importlib.import_module("re._parser")
_NOT_HERE = {
    "ASSERT": "looks ahead or behind",
    "ASSERT_NOT": "looks ahead or behind",
    "GROUPREF": "asks for what a group held",
    "GROUPREF_EXISTS": "asks for what a group held",
    "ATOMIC_GROUP": "has an atomic group",
    "POSSESSIVE_REPEAT": "has a possessive repeat",
}
_FUTURE = re.compile(r"\[\[|--|&&|~~|\|\|")
# What Python reads and RE2 understands otherwise.
_OTHERWISE = (
    (re.compile(r"\[:\^?\w+:\]", re.ASCII), "classes are written as \\d, \\s, \\w or [a-z]"),
    (re.compile(r"(?<!\\)\{,\d*\}", re.ASCII), "the least number is missing: write {0,…}"),
    (re.compile(r"(?<!\\)(?:\\\\)*\\Z"), "$ is the end of the text; there is no \\Z"),
)


class ExpressionError(ValueError):
    """The text is no expression, or none that ends; the message says why."""


def compiled(text: str, *, ignore_case: bool = False) -> Fits:
    r"""Whether a regular expression is found in a text's first LOOKED_AT characters.

    Args:
        text: As Python writes it and RE2 understands it: `\d`, `\s`, `\w` and `\b` know ASCII only, `$` is the very end.
        ignore_case: Whether letters compare without case.

    Raises:
        ExpressionError: It is none, or one that RE2 doesn't have.
    """
    if len(text) > PATTERN_LIMIT:
        raise ExpressionError(f"longer than {PATTERN_LIMIT} characters")
    _check_parts(text)
    search = _search(text, ignore_case)
    return lambda value: search(_octets(value[:LOOKED_AT])) is not None


@lru_cache(maxsize=1 << 10)
def glob(text: str, one: str = "?") -> Fits:
    """Whether a glob is the whole of a text.

    `*` takes as little as it can and never gives back, so that many end as one does.

    Args:
        text: With `*` for any text; where the text is longer than LOOKED_AT, what stands between stars is looked for up to there.
        one: What stands for any character; empty for nothing.
    """
    first, *rest = text.split("*")
    if not rest:
        exactly = _compiled(_characters(first, one)).fullmatch
        return lambda value: exactly(value) is not None
    *midst, last = rest
    beginning = _characters(first, one) + "".join(f"(?>.*?{_characters(piece, one)})" for piece in midst if piece)
    whole = _compiled(f"{beginning}.*{_characters(last, one)}").fullmatch
    begins, ends = _compiled(beginning).match, _compiled(_characters(last, one)).fullmatch

    def fits(value: str) -> bool:
        if len(value) <= LOOKED_AT:
            return whole(value) is not None
        begun = begins(value[:LOOKED_AT])
        return begun is not None and ends(value, max(begun.end(), len(value) - len(last))) is not None

    return fits


def _compiled(expression: str) -> re.Pattern[str]:
    return re.compile(expression, re.DOTALL)


def _characters(piece: str, one: str) -> str:
    return "".join("." if character == one else re.escape(character) for character in piece)


def _check_parts(text: str) -> None:
    try:
        parts = _quietly(text) if _FUTURE.search(text) else _parser.parse(text)
    except (re.error, RecursionError, OverflowError) as error:
        raise ExpressionError(str(error)) from None
    for name in _names(parts):
        if why := _NOT_HERE.get(name):
            raise ExpressionError(f"it {why}, and could take for ever; write what the text itself looks like")
    for otherwise, hint in _OTHERWISE:
        if otherwise.search(text):
            raise ExpressionError(hint)


def _quietly(text: str) -> Any:  # noqa: ANN401 - the reader's own
    """Read what Python warns of, since it may read it otherwise one day; filters belong to all threads, so only where need be."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return _parser.parse(text)


def _search(text: str, ignore_case: bool) -> Callable[[bytes], object]:
    import re2  # 4 ms and 3 MB, for a testbed that has an expression alone

    options = re2.Options()
    options.max_mem = _MEMORY
    options.log_errors = False  # they are told to who wrote it
    options.never_capture = True
    options.case_sensitive = not ignore_case
    try:
        expression = re2.compile(_octets(text), options)
    except re2.error as error:
        raise ExpressionError(_told(error)) from None
    if expression.programsize > PROGRAM_LIMIT:
        raise ExpressionError("too big: its repeats come to too many characters")
    search: Callable[[bytes], object] = expression.search
    return search


def _told(error: Exception) -> str:
    """RE2's own words."""
    words = error.args[0] if error.args else ""
    return words.decode("utf-8", "replace") if isinstance(words, bytes) else str(words)


@lru_cache(maxsize=16)  # a value is often held against many expressions
def _octets(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")  # a file's name that isn't UTF-8 has halves of pairs


def _names(parts: Any) -> Iterator[str]:  # noqa: ANN401 - the reader's own
    """What every part of an expression is called, those within others too."""
    for code, value in parts:
        name = str(code)
        yield name
        for below in _below(name, value):
            yield from _names(below)


def _below(name: str, value: Any) -> list[Any]:  # noqa: ANN401 - the reader's own
    """The sequences within a part."""
    if name in ("MAX_REPEAT", "MIN_REPEAT"):
        return [value[2]]
    if name == "SUBPATTERN":
        return [value[3]]
    if name == "BRANCH":
        return list(value[1])
    return []
