"""What a type takes, in words for who gave it something else; msgspec's tell what is broken, not what would be right. Pure."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Literal

import msgspec

ALLOWED = "allowed"
"""The key of a Meta's `extra` under which a type says what it takes."""
_MOMENT = "a moment such as 2030-01-02T03:04:05Z"


def allowed_at(shape: Any, steps: list[str]) -> str:  # noqa: ANN401 - any type
    """What may stand at a path of a type: its choices, its range or its description; "" where that can't be told.

    Args:
        shape: The type.
        steps: Keys, numbers in lists, and "..." for any place of either.
    """
    for step in steps:
        if _is_struct(shape):
            shape = next((field.type for field in msgspec.structs.fields(shape) if field.encode_name == step), None)
        else:
            inner = typing.get_args(shape)
            shape = inner[0 if step.isdecimal() or step == "..." else -1] if inner else None
    return ", ".join(dict.fromkeys(_told(shape)))


def _told(shape: Any) -> Iterator[str]:  # noqa: ANN401 - any type
    if typing.get_origin(shape) is Literal:
        for value in typing.get_args(shape):
            yield value if isinstance(value, str) else msgspec.json.encode(value).decode()
    elif shape is datetime:
        yield _MOMENT
    elif described := _described(shape):
        yield described
    else:
        for inner in typing.get_args(shape):
            yield from _told(inner)


def _described(shape: Any) -> str:  # noqa: ANN401 - any type
    """Of a text of a form its description, of a number between bounds these; of what says so by itself that."""
    for meta in getattr(shape, "__metadata__", ()):
        if isinstance(meta, msgspec.Meta):
            if meta.extra and ALLOWED in meta.extra:
                return str(meta.extra[ALLOWED])
            if meta.pattern is not None and meta.description:
                return meta.description
            if meta.ge is not None and meta.le is not None:
                return f"a number from {_plain(meta.ge)} to {_plain(meta.le)}"
    return ""


def _plain(bound: float) -> float:
    return int(bound) if bound == int(bound) else bound


def _is_struct(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)
