"""What goes over a connection by itself: answers whose body follows bit by bit, and the leave to send one."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from portyard.console.problems import ProblemError

if TYPE_CHECKING:  # a caller in this process needs no library to be answered
    from aiohttp import web

_CONTINUE: Final = "100-continue"


async def begin(request: web.Request, response: web.StreamResponse) -> bool:
    """Send the head of an answer that is streamed.

    Returns:
        Whether its body is wanted: HEAD's answer has none (RFC 9110 §9.3.2), and what came all the same would be the next answer's head.
    """
    if request.version < (1, 1) and response.content_length is None:
        response.force_close()  # RFC 9112 §6.3: without chunks the body ends with the connection
    await response.prepare(request)
    return request.method != "HEAD"


def has_begun(request: web.Request) -> bool:
    """Whether octets of its answer are out."""
    return request.writer.output_size > 0


async def held_back(request: web.Request) -> None:
    """Neither ask for a body nor refuse it before it is known who asks, and for what: in place of the library's own answer to Expect."""


def check_expectation(request: web.Request) -> None:
    """Refuse what a client expects and won't get.

    Raises:
        ProblemError: 417.
    """
    expected = request.headers.get("Expect")
    if expected is not None and expected.lower() != _CONTINUE:  # RFC 9110 §10.1.1
        detail = f"Expect: there is no such expectation: {expected}"
        raise ProblemError(HTTPStatus.EXPECTATION_FAILED, detail, key="Expect", value=expected, allowed=_CONTINUE)


async def ask_for_body(request: web.Request) -> None:
    """Tell a client that waits for leave to send its body to do so, now that nothing speaks against it."""
    if request.version >= (1, 1) and request.headers.get("Expect", "").lower() == _CONTINUE:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # the answer's own octets are counted, and none is out
