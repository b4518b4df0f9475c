"""A client of the control API: the standard library only, one kept connection a thread and process."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import selectors
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlencode, urlsplit
from weakref import WeakSet

from portyard.commons.authority import authority

BINARY = "application/octet-stream"
REPEATABLE = frozenset({"GET", "PUT", "DELETE"})  # RFC 9110 §9.2.2: what does no more when it is done twice
REQUEST_S = 30.0  # beyond a wait's own timeout
PREFIX = "/api/v1/"
Said = tuple[int, bytes, str]
"""An answer's status, body and Link field."""
Near = Callable[[str, str, bytes, str, float], Said | None]
"""From method, path and query below `/api/v1`, body, its media type and seconds at most to the answer."""


class ControlError(Exception):
    """The testbed refused; the message is its own: key, value and what is allowed.

    Attributes:
        status: The HTTP status.
        problem: The problem details (RFC 9457) as they came.
    """

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        super().__init__(_told(status, problem))
        self.status = status
        self.problem = problem

    def __reduce__(self) -> tuple[type[ControlError], tuple[int, dict[str, Any]]]:
        """It may come out of another process."""
        return type(self), (self.status, self.problem)


def _told(status: int, problem: dict[str, Any]) -> str:
    text = str(problem.get("detail") or problem.get("title") or f"status {status}")
    if problem.get("key"):
        text += f" ({problem['key']} = {problem.get('value')!r}"
        allowed = problem.get("allowed")
        told = ", ".join(map(str, allowed)) if isinstance(allowed, list) else str(allowed or "")
        text += f"; allowed: {told})" if told else ")"
    return text


class _Kept:
    """A thread's connection, which ends with the thread: test runs have more threads than descriptors."""

    def __init__(self, connection: http.client.HTTPConnection) -> None:
        self.connection = connection

    def __del__(self) -> None:
        self.connection.close()


class Control:
    """The API of one testbed.

    Args:
        url: Where the console is, such as `http://127.0.0.1:8025`.
        token: The bearer token, where the testbed wants one.
        inside: Whoever asks is in the containers' network, where services have their own addresses and standard ports.

    Attributes:
        why_gone: Why nobody answers any more, where that is known.
        near: Answers without a connection where the testbed is in this process; None for what needs one.
    """

    def __init__(self, url: str, token: str | None = None, *, inside: bool = False) -> None:
        parts = urlsplit(url if "//" in url else f"//{url}")
        if not parts.hostname or parts.scheme not in ("", "http"):  # the console has no TLS of its own
            raise ValueError(f"url = {url!r}: expected something like http://127.0.0.1:8025")
        self.host = parts.hostname
        self.port = parts.port or 8025
        self.url = f"http://{authority(self.host, self.port)}"
        self._token = token
        self.inside = inside
        self.why_gone: Callable[[], BaseException | None] = lambda: None
        self.near: Near = lambda *_: None
        self._kept = threading.local()
        self._open: WeakSet[_Kept] = WeakSet()

    def get(self, path: str, *, timeout_s: float = 0.0, **query: object) -> Any:  # noqa: ANN401 - JSON
        """An answer as JSON; `None` values are left out of the query, a trailing underscore out of a name."""
        return self._ask("GET", _target(path, query), None, timeout_s)

    def listed(self, path: str, **query: object) -> Iterator[Any]:
        """The whole of a list that has pages, each asked for when the one before is through; `query` as for `get`."""
        target = _target(path, query)
        while target:
            _, octets, link = self._exchange("GET", target, None, 0.0)
            yield from json.loads(octets)
            target = _next(link)

    def post(self, path: str, body: object = None) -> Any:  # noqa: ANN401 - JSON
        """Make something; its answer as JSON."""
        return self._ask("POST", path, body, 0.0)

    def put(self, path: str, body: object) -> Any:  # noqa: ANN401 - JSON
        """Replace something."""
        return self._ask("PUT", path, body, 0.0)

    def put_raw(self, path: str, octets: bytes) -> Any:  # noqa: ANN401 - JSON
        """Write octets as they are."""
        return json.loads(self._exchange("PUT", path, octets, 0.0, BINARY)[1])

    def reached(self, endpoints: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Endpoints with `host` and `host_number` as they are reached from here."""
        if not self.inside:
            return list(endpoints)
        return [{**each, "host": each["address"], "host_number": each["number"]} for each in endpoints]

    def delete(self, path: str) -> None:
        """Take something away."""
        self._ask("DELETE", path, None, 0.0)

    def raw(self, path: str) -> bytes:
        """An answer's octets."""
        return self._exchange("GET", path, None, 0.0)[1]

    def close(self) -> None:
        """Close the connections of all threads."""
        self._drop()
        every = None
        while every is None:
            with contextlib.suppress(RuntimeError):  # another thread has just added its own
                every = list(self._open)
        for kept in every:
            kept.connection.close()

    def _drop(self) -> None:
        kept: _Kept | None = self._kept.__dict__.pop("one", None)
        if kept is not None:
            kept.connection.close()

    def _ask(self, method: str, path: str, body: object, timeout_s: float) -> Any:  # noqa: ANN401 - JSON
        octets = self._exchange(method, path, None if body is None else json.dumps(body).encode(), timeout_s)[1]
        return json.loads(octets) if octets else None

    def _exchange(
        self, method: str, path: str, data: bytes | None, timeout_s: float, kind: str = "application/json"
    ) -> Said:
        answered = self.near(method, path, data or b"", kind, timeout_s + REQUEST_S)
        said = answered or self._connected(method, path, data, timeout_s, kind)
        if said[0] >= 400:
            raise ControlError(said[0], _problem(said[1]))
        return said

    def _connected(self, method: str, path: str, data: bytes | None, timeout_s: float, kind: str) -> Said:
        headers = {"Content-Type": kind} if data is not None else {}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        target = PREFIX + path
        try:
            return self._once(method, target, data, headers, timeout_s)
        except ConnectionError as error:  # the kept connection was given up in that moment
            if method not in REPEATABLE:
                raise (self.why_gone() or error) from None
        try:
            return self._once(method, target, data, headers, timeout_s)
        except ConnectionError as error:
            raise (self.why_gone() or error) from None

    def _once(self, method: str, target: str, data: bytes | None, headers: dict[str, str], timeout_s: float) -> Said:
        if getattr(self._kept, "process", None) != os.getpid():
            self._drop()  # a forked process has its parent's, who goes on with it
            self._kept.process = os.getpid()
        kept: _Kept | None = getattr(self._kept, "one", None)
        if kept is not None and kept.connection.sock is not None and _has_something(kept.connection.sock):
            self._drop()  # the end, since nothing was asked: what changes something is not to be sent there
            kept = None
        if kept is None:
            kept = self._kept.one = _Kept(http.client.HTTPConnection(self.host, self.port))
            self._open.add(kept)
        connection = kept.connection
        connection.timeout = timeout_s + REQUEST_S
        if connection.sock is not None:
            connection.sock.settimeout(connection.timeout)
        try:
            connection.request(method, target, data, headers)
            answer = connection.getresponse()
            return answer.status, answer.read(), answer.getheader("Link", "")
        except BaseException:  # a test's time may be up, or somebody interrupts it
            self._drop()  # whatever it still holds belongs to no later request
            raise


def _has_something(sock: socket.socket) -> bool:
    with selectors.DefaultSelector() as selector:
        selector.register(sock, selectors.EVENT_READ)
        return bool(selector.select(0))


def _target(path: str, query: Mapping[str, object]) -> str:
    given = {name.rstrip("_"): value for name, value in query.items() if value is not None}
    return f"{path}?{urlencode(given)}" if given else path


def _next(link: str) -> str:
    """Where a list goes on (RFC 8288 §3), below the prefix; empty where it ends."""
    target, _, relation = link.partition(">")
    return target.removeprefix("<").removeprefix(PREFIX) if relation == '; rel="next"' else ""


def _problem(octets: bytes) -> dict[str, Any]:
    try:
        problem = json.loads(octets)
    except ValueError:
        return {"title": octets.decode(errors="replace")[:200]}
    return problem if isinstance(problem, dict) else {"title": str(problem)}


def segment(text: str) -> str:
    """Text as one segment of a path."""
    return quote(text, safe="")
