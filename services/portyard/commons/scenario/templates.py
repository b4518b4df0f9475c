"""`$field` in the text of an answer: filled in, never run. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from portyard.commons.scenario.actions import Action, Respond, Script
from portyard.commons.scenario.model import Scalar
from portyard.commons.scenario.patterns import text_of

_NAME = re.compile(r"\$(?:(\$)|([a-z_][a-z0-9_]*)|\{([a-z_][a-z0-9_]*)\})", re.ASCII)
_CONTROLS = dict.fromkeys([*range(32), 127], " ")


def fill(text: str, values: Mapping[str, Scalar], *, line: bool = False) -> str:
    """The text with the values of its fields; `$$` is one dollar, an unknown name stays as it is.

    Args:
        text: With `$name` or `${name}`.
        values: By name.
        line: Control characters in values become spaces.
    """

    def value(found: re.Match[str]) -> str:
        if found[1]:
            return "$"
        name = found[2] or found[3]
        if name not in values:
            return found[0]
        filled = text_of(values[name])
        return filled.translate(_CONTROLS) if line else filled

    return _NAME.sub(value, text)


def in_ascii(values: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """Values for a text that may have nothing else in it: a question mark stands for each other character."""
    return _within("ascii", values)


def in_utf8(values: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """The same for a text that has to be UTF-8: octets that aren't, and halves of surrogate pairs."""
    return _within("utf-8", values)


def _within(encoding: str, values: Mapping[str, Scalar]) -> dict[str, Scalar]:
    return {
        name: value.encode(encoding, "replace").decode() if isinstance(value, str) and not value.isascii() else value
        for name, value in values.items()
    }


def names_in(text: str) -> set[str]:
    """The fields that a text asks for."""
    return {found[2] or found[3] for found in _NAME.finditer(text) if not found[1]}


def texts_of(action: Action) -> list[str]:
    """Every text of an action that is filled in."""
    if isinstance(action, Script):
        return [text for step in action.steps for text in texts_of(step)]
    if isinstance(action, Respond):
        return [action.body, action.stderr, *action.headers.values()]
    return [getattr(action, name) for name in ("reply", "text") if hasattr(action, name)]


def is_template(action: Action) -> bool:
    """Whether anything of it is to be filled in."""
    return any("$" in text for text in texts_of(action))


def filled(action: Action, values: Mapping[str, Scalar]) -> Action:
    """The action with its texts filled in: what a client said begins no line and ends none, but in a stub's body."""
    if not is_template(action):
        return action
    if isinstance(action, Script):
        return Script(tuple(filled(step, values) for step in action.steps))
    if isinstance(action, Respond):
        headers = {name: fill(text, values, line=True) for name, text in action.headers.items()}
        body, stderr = fill(action.body, values), fill(action.stderr, values)
        return msgspec.structs.replace(action, headers=headers, body=body, stderr=stderr)
    changes = {
        name: fill(getattr(action, name), values, line=True) for name in ("reply", "text") if hasattr(action, name)
    }
    return msgspec.structs.replace(action, **changes)
