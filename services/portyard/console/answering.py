"""From what was asked to an operation, and from its value to an answer: the same for every caller, whatever carries its words."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from http import HTTPStatus

import msgspec

from portyard.commons.clock import ClockError
from portyard.commons.database.engine import StorageFullError
from portyard.commons.mailstore.model import MessageGoneError
from portyard.commons.sandbox.model import SandboxError
from portyard.commons.scenario.model import RuleError
from portyard.console.calls import JSON, Answer, Route
from portyard.console.problems import ProblemError, converted, decoded, explained
from portyard.console.readable import encoded
from portyard.console.shapes import Problem

BODY_LIMIT = 1 << 20  # octets of a request's body

_logger = logging.getLogger(__name__)


def query_of(pairs: Iterable[tuple[str, str]], route: Route) -> msgspec.Struct:
    """The query's parameters as their type.

    Raises:
        ProblemError: 400 or 422, one is given twice, or isn't what the operation takes.
    """
    values: dict[str, list[str]] = {}
    for key, value in pairs:
        values.setdefault(key, []).append(value)
    for key, given in values.items():
        if len(given) > 1:
            raise ProblemError(HTTPStatus.BAD_REQUEST, f"{key} is given twice", key=key, value=given)
    query = converted({key: given[0] for key, given in values.items()}, route.query, strict=False)
    for field in msgspec.structs.fields(query):  # a client's "null" would ask for everything
        if field.encode_name in values and getattr(query, field.name) is None:
            key, (value,) = field.encode_name, values[field.encode_name]
            detail, allowed = f"{key}: {value} is no value of a parameter", "a value, or the parameter left out"
            raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, detail, key=key, value=value, allowed=allowed)
    return query


def body_of(octets: bytes, route: Route) -> msgspec.Struct | None:
    """The body as its type; nothing where the operation takes none, or reads it by itself.

    Raises:
        ProblemError: 400 or 422, it isn't what the operation takes.
    """
    if route.body is not None:
        return decoded(octets, route.body)
    if not route.reads and octets.strip() not in (b"", b"{}", b"null"):
        shown = octets[:80].decode("utf-8", "replace")
        raise ProblemError(HTTPStatus.BAD_REQUEST, "no body is wanted here", key="body", value=shown, allowed="none")
    return None


def answer_of(value: object, route: Route) -> tuple[int, Answer | None]:
    """A value's status and what stands in the answer; None for nothing."""
    match value:
        case Answer():
            return route.status, value
        case None:
            return route.status, None
    status = HTTPStatus.SERVICE_UNAVAILABLE if getattr(value, "ready", True) is False else route.status
    return status, Answer(encoded(value), JSON, {})


def problem_of(error: Exception, method: str, path: str) -> Problem:
    """What an operation raised, as a problem; what nobody foresaw is logged, and told without its words."""
    match error:
        case ProblemError():
            return error.problem
        case SandboxError() | RuleError() | ClockError():
            return explained(error).problem
        case MessageGoneError():
            return ProblemError(HTTPStatus.NOT_FOUND, str(error), key="id").problem
        case StorageFullError():
            detail = f"{error}; sandboxes that are reset or deleted make room"
            return ProblemError(HTTPStatus.INSUFFICIENT_STORAGE, detail).problem
    _logger.error("%s %s failed", method, path, exc_info=error)
    return Problem("Internal Server Error", 500, f"{type(error).__name__}; see the console's log")
