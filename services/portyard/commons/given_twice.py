"""Texts of which an object, or a table, has one key twice: which key it is.

JSON's readers keep the last of the two and say nothing (RFC 8259 §4: the behaviour is unpredictable). TOML's refuse them, and don't always
say which key it was. Pure.
"""

from __future__ import annotations

import ast
import contextlib
import re
import tomllib
from collections.abc import Iterator
from typing import Any, Final

ONCE: Final = "each key once"

_OVERWRITTEN = re.compile(r"Cannot overwrite a value \(at (?:line (?P<line>\d+),|end of document)")
_AT = r" \(at (?:line (?P<line>\d+), column (?P<column>\d+)|end of document)"
_INLINE = re.compile(rf"Duplicate inline table key '(?P<key>.*)'{_AT}", re.DOTALL)
_DECLARED = re.compile(rf"Cannot declare \((?P<key>.*)\) twice{_AT}", re.DOTALL)
_CLOSED = re.compile(
    rf"Cannot mutate immutable namespace \((?P<key>.*)\){_AT}", re.DOTALL
)  # a whole table, and then more of it
_PART = r"(?:[\w-]+|\"[^\"\n]*\"|'[^'\n]*')"
_PAIR = re.compile(rf"[ \t]*(?P<key>{_PART}(?:[ \t]*\.[ \t]*{_PART})*)[ \t]*=")
# What brackets may stand in without being any, then the brackets and what parts the pairs between them.
_TOKEN = re.compile(
    r"\"{3}(?:\\.|[^\\])*?\"{3,5}|'{3}.*?'{3,5}|\"(?:\\.|[^\"\\\n])*\"|'[^'\n]*'|#[^\n]*|(?P<mark>[\[\]{},])", re.DOTALL
)
_HERE: Final = "__portyard_here"  # a key that nobody writes
_MOST_LINES: Final = 100  # of a value, above which its key is looked for


class GivenTwiceError(ValueError):
    """An object has one key twice.

    Attributes:
        key: Which one, from the text's root on: `then.delay`, `rule[1].on`.
        values: What stands behind it, in their order; none where that isn't known.
    """

    def __init__(self, key: str, values: list[Any] | None = None, where: str = "") -> None:
        super().__init__(f"{key} is given twice{where}")
        self.key = key
        self.values = values or []


def read_json(text: str | bytes, root: str = "") -> Any:  # noqa: ANN401 - JSON values
    """What a JSON text says.

    Args:
        text: The text; UTF-8.
        root: What a list is called at its root.

    Raises:
        GivenTwiceError: A key stands twice in one object.
        ValueError: It isn't JSON.
        RecursionError: It is too deep.
    """
    import json  # behind an embedded testbed's first answer

    twice: list[_Twice] = []

    def made(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        values = dict(pairs)
        if len(values) < len(pairs):
            values = _Twice(pairs)
            twice.append(values)
        return values

    value = json.loads(text, object_pairs_hook=made)
    if twice:
        raise next(_told(value, root if isinstance(value, list) else ""))
    return value


def twice_in_toml(text: str) -> GivenTwiceError | None:
    """What is to be said of a text that is no TOML because of a key that stands twice; None where that isn't why."""
    text = text.replace("\r\n", "\n")
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        return _of_toml(str(error), text)
    except RecursionError:
        pass
    return None


class _Twice(dict[str, Any]):
    """An object that has a key twice."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        keys = [key for key, _ in pairs]
        self.key = next(key for place, key in enumerate(keys) if key in keys[:place])
        self.given = [value for key, value in pairs if key == self.key]


def _told(value: object, at: str) -> Iterator[GivenTwiceError]:
    """Of every object with a key twice; the outermost before those within it."""
    if isinstance(value, _Twice):
        yield GivenTwiceError(_below(at, value.key), value.given)
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _told(inner, _below(at, key))
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from _told(inner, f"{at}[{place}]")


def _below(at: str, key: str) -> str:
    return f"{at}.{key}" if at else key


def _of_toml(words: str, text: str) -> GivenTwiceError | None:
    if found := _OVERWRITTEN.match(words):
        last = _line(found, text)
        return GivenTwiceError(_key_of_value(text.split("\n")[:last]), where=f" (line {last})")
    if found := _INLINE.match(words):
        key = _key_in_line(text[: _end(found, text)]) or found["key"]
        return GivenTwiceError(key, where=f" (line {_line(found, text)})")
    if found := _DECLARED.match(words) or _CLOSED.match(words):
        last = _line(found, text)
        key = _key_in_line(text[: _end(found, text)])
        key = key or _key_of_table(text.split("\n")[: last - 1], ast.literal_eval(f"({found['key']})"))
        return GivenTwiceError(key, where=f" (line {last})")
    return None


def _line(found: re.Match[str], text: str) -> int:
    return int(found["line"] or text.rstrip("\n").count("\n") + 1)


def _key_of_value(lines: list[str]) -> str:
    """The key of a value that ends with the last of these lines.

    It begins a line before which all is whole: there another pair could stand, and would be in the same table.
    """
    for place in range(len(lines) - 1, max(-1, len(lines) - 1 - _MOST_LINES), -1):
        if pair := _PAIR.match(lines[place]):
            try:
                before = tomllib.loads("\n".join([*lines[:place], f"{_HERE} = 0\n"]))
            except tomllib.TOMLDecodeError:
                continue  # within a value of several lines
            return next(_path_of_here(before, pair["key"]))
    return "a key"


def _end(found: re.Match[str], text: str) -> int:
    """Where the reader stood."""
    if not found["line"]:
        return len(text)
    before = text.split("\n")[: int(found["line"]) - 1]
    return sum(len(line) + 1 for line in before) + int(found["column"]) - 1


def _key_in_line(text: str) -> str:
    """The key of the pair that a text ends with, in a table that is written in line; empty where that can't be told.

    In the pair's place another is put, and what is open closed behind it.
    """
    begun: list[tuple[str, int]] = []  # what is open, and where its last pair or value begins
    for token in _TOKEN.finditer(text):
        match token["mark"]:
            case "[" | "{" as opening:
                begun.append(("]" if opening == "[" else "}", token.end()))
            case "]" | "}" if begun:
                begun.pop()
            case "," if begun:
                begun[-1] = begun[-1][0], token.end()
    pair = _PAIR.match(text, begun[-1][1]) if begun else None
    if pair is None:
        return ""
    closing = "".join(close for close, _ in reversed(begun))
    try:
        return next(_path_of_here(tomllib.loads(f"{text[: pair.start()]} {_HERE} = 0 {closing}\n"), pair["key"]))
    except tomllib.TOMLDecodeError:
        return ""


def _key_of_table(lines: list[str], parts: tuple[str, ...]) -> str:
    """What a table is called behind these lines: of several of one name, the last."""
    value: Any = None
    with contextlib.suppress(tomllib.TOMLDecodeError):  # they end within a value of several lines
        value = tomllib.loads("\n".join(lines))
    at = ""
    for part in parts:
        at = _below(at, part)
        value = value.get(part) if isinstance(value, dict) else None
        if isinstance(value, list) and part is not parts[-1]:
            at, value = f"{at}[{len(value) - 1}]", value[-1]
    return at


def _path_of_here(value: object, key: str, at: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        if _HERE in value:
            yield _below(at, key)
        for name, inner in value.items():
            yield from _path_of_here(inner, key, _below(at, name))
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from _path_of_here(inner, key, f"{at}[{place}]")
