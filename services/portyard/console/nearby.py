"""The control API for a caller in this process: the operations of the table, without a connection and without the library for one.

A test that starts a testbed wants its first sandbox before the rooms are imported. What this can't answer exactly as a connection would
(what streams, what no route takes) it leaves to the connection.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable, Sequence
from functools import cache
from urllib.parse import parse_qsl, unquote

from portyard.commons.importing import imported
from portyard.commons.yard import Yard
from portyard.console.answering import BODY_LIMIT, answer_of, body_of, problem_of, query_of
from portyard.console.calls import Call, Desk, Route
from portyard.console.readable import encoded

PREFIX = "/api/v1"
# Where the routes of a path are, by its third segment below a sandbox and else by its first: a module is imported when it is asked for.
_OF_SANDBOX = {
    "": "sandboxes",
    "accounts": "sandboxes",
    "clock": "sandboxes",
    "reset": "sandboxes",
    "leases": "leases",
    "messages": "mail",
    "queue": "mail",
    "rules": "rules",
    "records": "zones",
    "files": "files",
    "sessions": "journal",
    "events": "journal",
    "events.jsonl": "journal",
    "export": "journal",
}
_REST = "path"  # the variable that takes slashes


class Nearby:
    """The API of one yard.

    Args:
        yard: The yard; its loop is where `answer` runs.
    """

    def __init__(self, yard: Yard) -> None:
        self._desk = Desk(yard)

    async def answer(self, method: str, target: str, octets: bytes, media_type: str) -> tuple[int, bytes, str] | None:
        """The status, the body and the Link field; None where it has to be asked over a connection.

        Args:
            method: As in HTTP.
            target: Path below `/api/v1` and query, both percent-encoded.
            octets: The body; empty for none.
            media_type: What the body is.
        """
        path, _, query = target.partition("?")
        segments = _segments(path)
        if segments is None or len(octets) > BODY_LIMIT:
            return None
        module = module_of(segments)
        if module not in sys.modules:  # off the loop, which has others to serve
            await asyncio.to_thread(imported, module)
        found = find(method, segments)
        if found is None:
            return None
        route, variables = found
        whole = f"{PREFIX}/{target}"
        try:
            asked = query_of(parse_qsl(query, keep_blank_values=True), route)
            body = body_of(octets, route)
            call = Call(self._desk, variables, asked, body, octets, media_type, whole)
            status, answer = answer_of(await route.operation(call), route)
        except ConnectionError:
            raise
        except Exception as error:
            problem = problem_of(error, method, f"{PREFIX}/{path}")
            return problem.status, encoded(problem), ""
        return (status, b"", "") if answer is None else (status, answer.body, answer.headers.get("Link", ""))


def find(method: str, segments: Sequence[str]) -> tuple[Route, dict[str, str]] | None:
    """The route of these segments (decoded) with its variables, where one takes them and doesn't stream."""
    for route, pattern in _table(module_of(segments)):
        if route.method == method:
            variables = _matched(pattern, segments)
            if variables is not None:
                return None if route.streams else (route, variables)
    return None


def module_of(segments: Sequence[str]) -> str:
    """The module that has the routes of such a path."""
    name = "testbed"
    if segments[0] == "sandboxes":
        name = _OF_SANDBOX.get(segments[2] if len(segments) > 2 else "", "sandboxes")
    return f"portyard.console.{name}"


@cache
def _table(module: str) -> tuple[tuple[Route, tuple[str, ...]], ...]:
    routes: Iterable[Route] = imported(module).ROUTES
    return tuple((route, tuple(route.path.lstrip("/").split("/"))) for route in routes)


def _matched(pattern: Sequence[str], segments: Sequence[str]) -> dict[str, str] | None:
    variables: dict[str, str] = {}
    for place, part in enumerate(pattern):
        name = part[1:-1] if part.startswith("{") else ""
        if name == _REST:
            return {**variables, name: "/".join(segments[place:])} if len(segments) >= place else None
        if place >= len(segments) or (not (name and segments[place]) and part != segments[place]):
            return None
        if name:
            variables[name] = segments[place]
    return variables if len(pattern) == len(segments) else None


def _segments(path: str) -> list[str] | None:
    """The path's parts, decoded; None for one that a connection's reader would see otherwise."""
    parts = path.split("/")
    if any(part in (".", "..") for part in parts):
        return None
    try:
        return [unquote(part, errors="strict") for part in parts]
    except UnicodeDecodeError:
        return None
