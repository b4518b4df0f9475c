"""Refusals as values: RFC 9457 problem details that name the key, the value and what is allowed."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, TypeVar

import msgspec

from portyard.commons.allowed import allowed_at
from portyard.commons.clock import ClockError
from portyard.commons.given_twice import ONCE, GivenTwiceError, read_json
from portyard.commons.hints import did_you_mean
from portyard.commons.sandbox.model import DomainTakenError, NoSuchSandboxError, SandboxError, SandboxTakenError
from portyard.commons.scenario.model import RuleError
from portyard.console.shapes import Problem

T = TypeVar("T")

MEDIA_TYPE = "application/problem+json"  # RFC 9457 §6.1
_MISSING = re.compile(r"Object missing required field `(?P<key>[^`]+)`")
_TYPES = re.compile(r"`([a-z]+(?: \| [a-z]+)*)`")
_NO_CHOICE = re.compile(r"Invalid enum value .*", re.DOTALL)
_NO_MOMENT = re.compile(r"Invalid RFC3339 encoded datetime")
_WORDS = {  # for Python's names of what JSON has
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
    "datetime": "a moment",
}


class ProblemError(Exception):
    """The request is refused, and this is why."""

    def __init__(self, status: HTTPStatus, detail: str, **fields: Any) -> None:  # noqa: ANN401 - JSON values
        super().__init__(detail)
        self.problem = Problem(title=status.phrase, status=int(status), detail=detail, **fields)


def converted(values: Mapping[str, Any], kind: type[T], *, strict: bool) -> T:
    """The values as a struct.

    Raises:
        ProblemError: 400 for an unknown or missing key, 422 for a wrong value.
    """
    names = names_of(kind)
    for key in values.keys() - set(names):
        detail = f"no such key: {key}{did_you_mean(key, names)}"
        raise ProblemError(HTTPStatus.BAD_REQUEST, detail, key=key, value=values[key], allowed=names)
    try:
        return msgspec.convert(dict(values), kind, strict=strict)
    except msgspec.ValidationError as error:
        raise _problem_of(error, values, kind) from None


def decoded(body: bytes, kind: type[T]) -> T:
    """A JSON body as a struct.

    Raises:
        ProblemError: 400 for what isn't a JSON object, or has a key twice, or as `converted`.
    """
    values = json_of(body or b"null", "a JSON object")
    if not isinstance(values, dict):
        detail, allowed = "the body isn't a JSON object", "a JSON object"
        raise ProblemError(HTTPStatus.BAD_REQUEST, detail, key="body", allowed=allowed)
    return converted(values, kind, strict=True)


def json_of(body: bytes, allowed: str, root: str = "") -> Any:  # noqa: ANN401 - JSON values
    """What a JSON body says.

    Args:
        body: The body.
        allowed: What it should have been.
        root: What a list is called in a problem's key.

    Raises:
        ProblemError: 400, it isn't JSON, or an object in it has a key twice.
    """
    try:
        values = msgspec.json.decode(body)
        read_json(body, root)
    except GivenTwiceError as error:
        raise twice(error) from None
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise ProblemError(
            HTTPStatus.BAD_REQUEST, f"the body isn't JSON: {error}", key="body", allowed=allowed
        ) from None
    return values


def twice(error: GivenTwiceError) -> ProblemError:
    """Which key stands twice, as a problem."""
    fields = {"value": error.values} if error.values else {}
    return ProblemError(HTTPStatus.BAD_REQUEST, str(error), key=error.key, allowed=ONCE, **fields)


def explained(error: SandboxError | RuleError | ClockError) -> ProblemError:
    """What a store refused, as a problem: all of them name key, value and what is allowed."""
    match error:
        case NoSuchSandboxError():
            status = HTTPStatus.NOT_FOUND
        case SandboxTakenError() | DomainTakenError():
            status = HTTPStatus.CONFLICT
        case _:
            status = HTTPStatus.UNPROCESSABLE_ENTITY
    where = f"{error.key}: " if error.key else ""
    fields = {"key": error.key or None, "value": _plain(error.value), "allowed": error.allowed}
    return ProblemError(status, f"{where}{error.reason}", **fields)


def _plain(value: object) -> object:
    """The value as JSON can show it: it has no inf and no nan, which TOML has."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    try:
        msgspec.json.encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError, UnicodeEncodeError):
        return repr(value)[:200]
    return value


def names_of(kind: type) -> list[str]:
    """The keys that a struct takes."""
    return [field.encode_name for field in msgspec.structs.fields(kind)]


def _in_words(types: re.Match[str]) -> str:
    """Types as who writes JSON knows them; that a key may be null, or left out, is no news."""
    names = [name for name in types[1].split(" | ") if name != "null"] or ["null"]
    words = [_WORDS.get(name, name) for name in names]
    return " or ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _problem_of(error: msgspec.ValidationError, values: Mapping[str, Any], kind: type) -> ProblemError:
    text = str(error)
    if missing := _MISSING.match(text):
        detail = f"{missing['key']} is missing"
        allowed = allowed_at(kind, [missing["key"]]) or names_of(kind)
        return ProblemError(HTTPStatus.BAD_REQUEST, detail, key=missing["key"], allowed=allowed)
    told, _, path = text.partition(" - at `$.")
    key = path.rstrip("`")
    value = values.get(re.split(r"[.\[]", key)[0])
    expected = _NO_MOMENT.sub("This is no moment", _NO_CHOICE.sub("This is no choice", _TYPES.sub(_in_words, told)))
    plain = expected.removeprefix("Expected ").partition(", got")[0].replace("`", "")
    allowed = allowed_at(kind, [step for step in re.split(r"[.\[\]]+", key) if step]) or plain
    detail = f"{key}: {expected[0].lower()}{expected[1:]}"
    return ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, detail, key=key, value=value, allowed=allowed)
