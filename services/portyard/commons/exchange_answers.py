"""The answers that rules give in place of an application's: a status, a whole stub, its framing false where a rule wants it so.

Knows aiohttp's responses, and nothing of when they are given.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus

import msgspec
from aiohttp import web

from portyard.commons.naming import FIELD, UnknownSandboxError
from portyard.commons.scenario.actions import Respond

_STATUS = re.compile(r"([1-9]\d\d)(?:\s+(.*))?", re.DOTALL)
_CONTROLS = dict.fromkeys([*range(32), 127], " ")
_FRAMING = frozenset({"content-length", "transfer-encoding"})
_CHALLENGES = {
    401: {"WWW-Authenticate": 'Basic realm="Portyard"'},  # RFC 9110 §15.5.2
    407: {"Proxy-Authenticate": 'Basic realm="Portyard"'},  # RFC 9110 §15.5.8
}


def status_of(text: str) -> tuple[int, str]:
    """What a rule's reply means: "503", "503 text", or a text alone, which is a 500's."""
    found = _STATUS.fullmatch(text.strip())
    if found is None:
        return 500, text.translate(_CONTROLS)
    status = int(found[1])
    return status, (found[2] or phrase_of(status)).translate(_CONTROLS)


def phrase_of(status: int) -> str:
    """The registered phrase of a status, or a made-up one (RFC 9112 §4 lets it be anything)."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unassigned"


def refusal(text: str) -> web.Response:
    """A rule's reply as a response; a challenge goes with a status that demands one."""
    status, reason = status_of(text)
    content = None if status < 200 or status in (204, 304) else f"{status}: {reason}\n"
    return web.Response(status=status, reason=reason, headers=_CHALLENGES.get(status), text=content)


def stub(request: web.Request, action: Respond) -> web.StreamResponse:
    """A rule's whole answer.

    Where it frames its message itself, or has a body where none may be, it is sent as it stands, and ends the connection.
    """
    status = 200 if action.status is None else action.status
    fields = {name: value.translate(_CONTROLS) for name, value in action.headers.items()}
    body = action.body.encode("utf-8", "surrogateescape")
    misplaced = bool(body) and status in (204, 304)  # RFC 9110 §6.4.1: they have none
    if any(name.lower() in _FRAMING for name in fields) or misplaced or not 200 <= status <= 999:
        return Verbatim(status, fields, b"" if request.method == "HEAD" else body)
    if body and not any(name.lower() == "content-type" for name in fields):
        fields["Content-Type"] = "text/plain; charset=utf-8"
    return web.Response(status=status, reason=phrase_of(status), headers=fields, body=body or None)


class Verbatim(web.StreamResponse):
    """A response whose framing may be a lie: the head and the octets as they stand, then the end of the connection."""

    def __init__(self, status: int, fields: Mapping[str, str], body: bytes) -> None:
        super().__init__(status=status, reason=phrase_of(status), headers=fields)
        self._octets = body
        self.force_close()

    async def prepare(self, request: web.BaseRequest) -> None:
        """Send it all."""
        writer = request._payload_writer
        if not writer.output_size:
            await request._prepare_hook(self)
            self._headers.setdefault("Connection", "close")
            await writer.write_headers(f"HTTP/1.1 {self.status} {self.reason}", self._headers)
            await writer.write_eof(self._octets)

    async def write_eof(self, data: bytes = b"") -> None:
        """It was sent."""


def unknown(error: UnknownSandboxError) -> web.Response:
    """The answer to a request for a sandbox that isn't there (RFC 9457)."""
    problem = {
        "title": "Not Found",
        "status": 404,
        "detail": str(error),
        "key": error.key,
        "value": error.value,
        "allowed": "a sandbox that exists",
        "type": "about:blank",
    }
    headers = {"Content-Type": "application/problem+json", "Vary": FIELD}
    return web.Response(status=404, headers=headers, body=msgspec.json.encode(problem))


class Said(web.StreamResponse):
    """Stands for an answer that was given already, or that nobody gets."""

    async def prepare(self, request: web.BaseRequest) -> None:
        """Nothing is left to say."""
        self._keep_alive = request.keep_alive if self._keep_alive is None else self._keep_alive

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing is left to say."""
