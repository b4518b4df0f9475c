"""One connection of a web application that the listener accepted: its limits, what rules mean there, and each exchange in the journal.

Knows aiohttp's server side and nothing of what an application serves. Every request handler finds its connection by `connection_of`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, cast

from aiohttp import HttpVersion11, web
from aiohttp.streams import EMPTY_PAYLOAD
from yarl import URL

from portyard.commons.exchange import House, Rest, ruled
from portyard.commons.exchange_answers import unknown
from portyard.commons.exchange_notes import told_error
from portyard.commons.exchange_outlook import Outlook
from portyard.commons.exchange_writer import HUNG_UP, HungUpError, RuledWriter
from portyard.commons.gentle import GentleTransport
from portyard.commons.hosted_dates import date
from portyard.commons.hosted_requests import SERVER, prefix_of
from portyard.commons.hosting_bodies import BodyNotes
from portyard.commons.hosting_notes import HeadNotes, note_request, tell_response
from portyard.commons.hosting_parser import FIRST_OCTETS, HostingLimits, careful_parser
from portyard.commons.hosting_refusals import BROKEN_BODY, no_tunnel, reason_of, refusal_of
from portyard.commons.naming import MARKS, UnknownSandboxError, may_name, split_prefix
from portyard.commons.sandbox.model import DEFAULT
from portyard.commons.scenario.model import Scalar
from portyard.commons.scenario.templates import in_utf8
from portyard.commons.yard import Connection

LOGGER = logging.getLogger("portyard.hosting")


class HostedProtocol(web.RequestHandler):
    """One connection of an application.

    Args:
        manager: The application's server.
        connection: What the listener knows of it; its log is closed with the connection.
        limits: What the peer may ask of us.
        journalled: Whether requests and responses are noted in the log.
        app: The application.
        house: What rules and sandboxes mean to the room; None for one that obeys none and is in none.

    Attributes:
        came: The header fields of the last request, the same object for as long as they are the same.
        described: What they tell to rules, and the fields of which that is true.
        outlook: What rules may mean of its exchanges.
    """

    sandbox = DEFAULT
    rest: Rest | None = None
    hushed = False
    reason = ""
    gentle: GentleTransport | None = None
    came: tuple[tuple[bytes, bytes], ...] = ()
    _home = DEFAULT  # the sandbox of requests that name none
    _settled = ""  # the sandbox that the last request was in
    _answered = 0
    _begun = False

    def __init__(
        self,
        manager: web.Server,
        connection: Connection,
        limits: HostingLimits,
        *,
        journalled: bool,
        app: web.Application,
        house: House | None = None,
    ) -> None:
        super().__init__(
            manager,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=limits.idle_s,
            lingering_time=limits.linger_s,
            max_line_size=limits.line,
            max_field_size=limits.line,
            max_headers=limits.fields,
            access_log=None,  # type: ignore[arg-type]  # documented: None turns the access log off
            logger=LOGGER,
        )
        self._parser = careful_parser(self, limits)
        self._max_msg_queue_size = 1
        self._msg_queue_resume_size = 0
        self.connection = connection
        self.journalled = journalled
        self.logins: set[str] = set()
        self.heads = HeadNotes(connection.log)
        self.bodies = BodyNotes(connection.log, limits.shown if journalled else 0)
        self.described: tuple[object, dict[str, Scalar]] = (None, {})
        self.outlook = self._outlook(house)
        self._app, self._house = app, house
        assert self._request_handler is not None
        assert self._request_factory is not None
        self._within = self._request_handler
        self._make_request = self._request_factory
        self._request_handler = self._exchange
        if journalled or house is not None:
            self._request_factory = self._request
        self._linger_s = limits.linger_s

    def _outlook(self, house: House | None) -> Outlook | None:
        gate = self.connection.gate
        if gate is not None:
            gate.spelling = in_utf8
        return None if gate is None or house is None else Outlook(gate, house.verbs, house.describe)

    def over(self, transport: asyncio.Transport) -> GentleTransport:
        """What is put between a transport and this protocol."""
        return GentleTransport(transport, self._linger_s)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to serve."""
        if self.connection.gate is not None:
            self._home = self.sandbox = self.connection.gate.sandbox
        self.gentle = self.over(cast("asyncio.Transport", transport))
        super().connection_made(cast("asyncio.Transport", self.gentle))

    def data_received(self, data: bytes) -> None:
        """Hand on, unless we only wait for the peer to close."""
        if self.gentle is None or self.gentle.lingering or self.hushed:
            return
        if not self._begun and data:
            self._begun = True
            if data[0] not in FIRST_OCTETS:
                data = data[:64] + b"\r\n\r\n"  # TLS, say: no request line will ever end, so let it be refused now
        super().data_received(data)

    def eof_received(self) -> bool | None:  # type: ignore[override]  # aiohttp's closes at once, and its answers are lost
        """The peer sends no more; what it asked for as a whole is still answered."""
        assert self.gentle is not None
        self.gentle.peer_ended = True
        if not self.gentle.lingering:
            self.reason = "peer closed"
        if self.gentle.lingering or self.hushed or self._parser is None or self._parser._payload_parser is not None:
            return False  # the last answer is out, none is to come, or half a body was in
        return not self._upgraded and self._answered < self._request_count

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send what is left of a response; the last one that a half-closed peer waits for ends the connection."""
        writer = request._payload_writer
        try:
            finished = await super().finish_response(request, resp, start_time)
            if isinstance(writer, RuledWriter) and writer.lie is not None:
                writer.another()  # the truth went into this one, which wrote nothing
                self._sign(writer.lie)
                finished = await super().finish_response(request, writer.lie, start_time)
            return finished
        finally:
            self._answered += 1
            if self.gentle is not None and self.gentle.peer_ended and self._answered >= self._request_count:
                self.close()

    async def hush(self) -> None:
        """Say nothing any more: what comes is dropped, until the peer leaves, which ends the caller.

        Raises:
            HungUpError: The peer has left already, or sends no more.
        """
        if self.gentle is None or self.gentle.peer_ended or self.gentle.is_closing():
            raise HungUpError
        self.hushed = True
        self.gentle.resume_reading()
        await asyncio.get_running_loop().create_future()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Close the session's record with the connection."""
        super().connection_lost(exc)
        if self.gentle is not None:
            self.gentle.ended()
        if self.journalled:
            self.bodies.close()
        self.connection.log.close(self.reason or ("" if exc is None else type(exc).__name__))

    def authenticated(self, account: str, mechanism: str) -> None:
        """Note a login once per connection, since every request carries it again."""
        if account not in self.logins:
            self.logins.add(account)
            self.connection.log.authenticated(account, mechanism)
        if self.connection.gate is not None:
            self.connection.gate.account = account

    def _part(self) -> None:
        """Note that what was noted last, a request, may be in another sandbox than what was before."""
        if self.journalled:
            self.connection.log.part()

    def join(self, sandbox: str) -> None:
        """Note which sandbox the requests are in, when it changes."""
        self.connection.log.join(sandbox)
        self._settled = sandbox
        if sandbox != self.sandbox:
            self.sandbox = sandbox
            if self.connection.gate is not None:
                self.connection.gate.sandbox = sandbox

    def _request(self, message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:  # noqa: ANN401
        """A request whose path has lost the prefix that names its sandbox, with a writer that asks."""
        prefix = ""
        if self._house is not None and message.path.startswith(MARKS):
            target, prefix = split_prefix(message.path)
            path, query = target.partition("#")[0].partition("?")[0], message.url.raw_query_string
            message = message._replace(path=target, url=URL.build(path=path, query_string=query, encoded=True))
        if message.raw_headers != self.came:
            self.came = message.raw_headers
        if self.outlook is not None:
            self.outlook.foreseen = None
        ruled_writer = RuledWriter(self, writer.loop)
        request = self._make_request(message, payload, protocol, ruled_writer, task)
        ruled_writer.begin(request, prefix)
        return request

    async def _exchange(self, request: Any) -> web.StreamResponse:  # noqa: ANN401 - a web.Request, by the application's factory
        """Note a request and deal with it; a body that breaks its own framing or coding is the peer's fault."""
        prefix = prefix_of(request)
        if request._version > HttpVersion11:
            request._version = HttpVersion11  # RFC 9110 §2.5: the highest that is spoken here
        if self.journalled:
            note_request(self.heads, request, prefix, self.came)
            if request._payload is not EMPTY_PAYLOAD and request.can_read_body:
                self.bodies.asked(request.content)
        try:
            if request.method == "CONNECT":
                self._part()
                await self.resolve(request)
                return no_tunnel(request, self.refusal)
            if self._house is None:
                self._part()
                return await self._within(request)
            return await self._housed(request, self._house, prefix)
        except HungUpError:
            self.reason = self.reason or HUNG_UP
            raise
        except BROKEN_BODY as error:
            refusal = web.Response(
                status=400, text=f"400: the body breaks its framing or its coding: {reason_of(error, None)}\n"
            )
            refusal.force_close()  # where the next request would begin isn't known
            return refusal

    async def _housed(self, request: web.Request, house: House, prefix: str) -> web.StreamResponse:
        """Find a request's sandbox, and deal with it as the rules want it."""
        headers, login = request.headers, house.login(request)
        if prefix or login is not None or may_name(headers):
            self._part()
            try:
                self.join(await house.naming.sandbox_of(headers, prefix, login, self._home, self.connection.home))
            except UnknownSandboxError as error:
                self.join(self._home)
                await self.resolve(request)
                return unknown(error)
        else:
            if self._settled != self._home:  # else nothing is parted: it goes on where it was
                self._part()
            self.join(self._home)
        if self.rest is None and (self.outlook is None or not self.outlook.minds(request, self.came)):
            return await self._within(request)
        return await ruled(self, request, house, self._within)

    async def resolve(self, request: web.Request) -> None:
        """Let the application finish a response that none of its handlers made."""
        found = await self._app.router.resolve(request)
        found.add_app(self._app)
        request._match_info = found

    def note_head(
        self, request: web.BaseRequest, status_line: str, headers: Mapping[str, str], octets: bytes | None
    ) -> None:
        """Note a response's head, which goes out as these octets."""
        if self.journalled:
            if self.bodies.content is not None:
                self.bodies.received()
            heads = self.heads
            if octets is None or octets != heads.answered:
                tell_response(heads, status_line, headers, octets)
                self.bodies.coded = "Content-Encoding" in headers
            heads.tell("reply", heads.response)

    def log_exception(self, *args: Any, **more: Any) -> None:  # noqa: ANN401 - as logging takes them
        """Log a failure of ours; a body that breaks its own framing or coding was answered and isn't one."""
        if not isinstance(more.get("exc_info"), BROKEN_BODY):
            super().log_exception(*args, **more)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to what isn't a request (the peer's fault, no traceback) or to a failure of ours (with its traceback)."""
        if status >= 500:
            return self._own_fault(request, status, exc, message)
        status = refusal_of(exc, status)
        response = self.refusal(status, reason_of(exc, message))
        request._version = HttpVersion11  # RFC 9110 §2.5: the parser's stand-in for a request says 1.0
        self._sign(response)
        response.force_close()  # where the next request would begin isn't known
        if self.journalled:
            self.connection.log.event("error", text=told_error(reason_of(exc, message)))
        return response

    def _sign(self, response: web.StreamResponse) -> None:
        """Say who answers and when: no application is asked where there was no request."""
        response.headers.setdefault("Server", SERVER)
        if self._house is not None and self._house.clocks is not None:
            date(response, self._house.clocks, self.sandbox)

    def refusal(self, status: int, reason: str) -> web.Response:
        """The answer to what isn't a request, in the application's form."""
        return web.Response(status=status, text=f"{status}: {reason}\n")

    def _own_fault(
        self, request: web.BaseRequest, status: int, exc: BaseException | None, message: str | None
    ) -> web.StreamResponse:
        if isinstance(exc, ConnectionError) or self.transport is None:
            raise ConnectionResetError("the peer went away")
        self.connection.log.event("error", text=f"{type(exc).__name__}: {exc}")
        return super().handle_error(request, status, exc, message)
