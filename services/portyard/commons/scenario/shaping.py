"""What a persona says, held against its room's shape: what doesn't fit is told by key, value and what is allowed. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from portyard.commons.allowed import allowed_at
from portyard.commons.scenario.model import RuleError
from portyard.commons.scenario.quirks import QuirkError

_STEP = re.compile(r"\.?([^.\[\]]+)|\[(\d+|\.\.\.)\]")
_AT_KEY = re.compile(r"(?P<text>.*) - at `key` in `\$(?P<path>[^`]*)`", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(?P<key>[^`]+)`")
_SOME = "..."  # how msgspec says that it doesn't know which place of a table it was


class PersonaError(RuleError):
    """A persona is malformed, isn't there, or can't be changed."""


def converted(values: Mapping[str, Any], shape: type[msgspec.Struct], at: str) -> msgspec.Struct:
    """The values as the shape.

    Args:
        values: What was written.
        shape: What it should be.
        at: What it is called in errors; empty for the root.

    Raises:
        PersonaError: It isn't.
    """
    try:
        return msgspec.convert(values, shape)
    except msgspec.ValidationError as error:
        raise _unfit(error, values, shape, at) from None


def _unfit(
    error: msgspec.ValidationError, values: Mapping[str, Any], shape: type[msgspec.Struct], at: str
) -> PersonaError:
    if error.__cause__ is not None:
        steps, allowed, reason = _of_the_shape(error.__cause__, shape)
        return PersonaError(_joined(at, steps), _found(values, steps), allowed, reason)
    text, _, path = str(error).partition(" - at `$")
    if named := _AT_KEY.match(str(error)):
        text, path = named["text"], f"{named['path']}[{_SOME}]"
    expected = text.removeprefix("Expected ").partition(", got")[0].replace("`", "")
    if "matching regex" in text:
        text = "it isn't of this form"
    if missing := _MISSING.match(text):
        path = f"{path.rstrip('`')}.{missing['key']}"
        expected, text = "a value", "it is missing"
    steps = [name or number for name, number in _STEP.findall(path.rstrip("`"))]
    about_keys = allowed_at(shape, steps) if named and "enum" in text else ""
    if steps[-1:] == [_SOME]:
        steps[-1:] = [_misfit(values, shape, steps[:-1])]
    allowed = about_keys if named else allowed_at(shape, steps)
    return PersonaError(_joined(at, steps), _found(values, steps), allowed or expected, text[0].lower() + text[1:])


def _of_the_shape(cause: BaseException, shape: type[msgspec.Struct]) -> tuple[list[str], str, str]:
    """What the shape itself refused: where, what is allowed, and why. The words of a plain ValueError begin with the key."""
    reason = str(cause)
    if isinstance(cause, QuirkError):
        return cause.key.split(".", 1), cause.allowed, reason
    steps = reason.partition(" ")[0].split(".", 1)
    names = {field.encode_name for field in msgspec.structs.fields(shape)}
    steps = steps if steps[0] in names else []
    return steps, (allowed_at(shape, steps) if len(steps) == 1 else "") or reason, reason


def _misfit(values: Mapping[str, Any], shape: type[msgspec.Struct], steps: list[str]) -> str:
    """The key of a table with which the shape doesn't take it."""
    for key, value in _found(values, steps).items():
        alone: Any = {key: value}
        for step in reversed(steps):
            alone = {step: alone}
        try:
            msgspec.convert(alone, shape)
        except msgspec.ValidationError:
            return str(key)
    return _SOME


def _joined(at: str, steps: list[str]) -> str:
    return ".".join(step for step in (at, *steps) if step and step != _SOME)


def _found(values: Any, steps: list[str]) -> Any:  # noqa: ANN401 - what a user wrote
    """What stood at a path."""
    for step in steps:
        if isinstance(values, dict):
            values = values.get(step)
        elif isinstance(values, list) and step.isdecimal() and int(step) < len(values):
            values = values[int(step)]
    return values
