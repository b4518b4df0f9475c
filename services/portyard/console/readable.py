"""Text and JSON that anybody can read: names and lines may hold octets that are no UTF-8, as the halves of surrogate pairs."""

from __future__ import annotations

from typing import Any

import msgspec


def readable(text: str) -> str:
    r"""Text that UTF-8 can hold: such an octet is told by its number, `\xe9`, as everywhere in the journal."""
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # a half that stands for no octet
        return text.encode("utf-8", "backslashreplace").decode()


def encoded(value: object) -> bytes:
    """A value as JSON."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return msgspec.json.encode(_plain(msgspec.to_builtins(value)))


def _plain(value: Any) -> Any:  # noqa: ANN401 - JSON values
    match value:
        case str():
            return readable(value)
        case dict():
            return {_plain(key): _plain(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_plain(inner) for inner in value]
    return value
