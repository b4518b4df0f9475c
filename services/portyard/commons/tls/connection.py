"""One TLS connection: the protocol that the loop's plain transport drives.

Hello, choice, handshake, data, close: each phase hands over to the next, and no phase comes back. Incoming bytes are read into a buffer
that all connections of a thread share, so an idle connection holds no buffers of its own. Outgoing plaintext is encrypted only as fast as
the plain transport takes it.
"""

from __future__ import annotations

import asyncio
import inspect
import ssl
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any, Final, cast

from portyard.commons.tls.alerts import Alert, Failure, alert_name, alert_record, tls_error
from portyard.commons.tls.engine import Engine
from portyard.commons.tls.hello import MAX_HELLO, BadHello, ClientHello, HelloReader, NeedMore, NotTls
from portyard.commons.tls.outgoing import READ_SIZE, SCRATCH, STAGES, Outgoing, Phase
from portyard.commons.tls.terms import Choice, Choose, HungUp, Limits, OnEvent, Plaintext, Refused, Terms, ignore_events
from portyard.commons.tls.transport import TlsTransport

Attach = Callable[[asyncio.Transport], asyncio.BaseProtocol]


class TlsConnection(Outgoing):
    """TLS over a plain transport, from either side. Made by `portyard.commons.tls.layer`."""

    __slots__ = (
        "_attach",
        "_buffered",
        "_choose",
        "_choosing",
        "_held",
        "_reader",
        "_reading_paused",
        "_scratch",
        "_server_name",
    )

    def __init__(
        self,
        attach: Attach,
        on_event: OnEvent,
        limits: Limits,
        *,
        choose: Choose | None = None,
        engine: Engine | None = None,
        app: asyncio.BaseProtocol | None = None,
        held: bool = False,
    ) -> None:
        """Serve with `choose`, or connect with `engine`.

        Args:
            attach: Called once, after a good handshake: makes the application's protocol.
            on_event: Told of everything.
            limits: How long a peer may keep us waiting.
            choose: The server's answer to a ClientHello.
            engine: The client's side, ready.
            app: A protocol that is connected already (an upgrade); it hears of the end even if the handshake fails.
            held: Deliver nothing before `release`.
        """
        super().__init__(on_event, limits)
        self._attach, self._held = attach, held
        self._choose, self._engine, self._app = choose, engine, app
        self._reader = HelloReader() if choose else None
        self._choosing: asyncio.Task[None] | None = None
        self._server_name: str | None = None
        self._buffered = self._reading_paused = False

    # what the plain transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the handshake."""
        self.plain = cast(asyncio.Transport, transport)
        self._loop = asyncio.get_running_loop()
        self._scratch = SCRATCH.cipher
        self._started = time.monotonic()
        self._arm(self._limits.handshake_s, self._handshake_timed_out)
        if self._engine is not None:
            self._phase = Phase.HANDSHAKE
            self._handshake_step()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Lend the thread's buffer; it is given back before anybody else can ask."""
        return self._scratch

    def buffer_updated(self, nbytes: int) -> None:
        """Take what was read."""
        self.receive(self._scratch[:nbytes])

    def receive(self, data: memoryview) -> None:
        """Take bytes of the peer's, wherever they were read."""
        if self._phase is Phase.OPEN:
            self._fed().feed(data)
            self._deliver()
            return
        if self._flights is not None:
            self._flights.passed("in", len(data), self._seconds())
        if self._phase is Phase.HANDSHAKE:
            self._fed().feed(data)
            self._handshake_step()
        elif self._phase is Phase.HELLO:
            self._read_hello(data)
        elif self._phase is Phase.CHOOSING:
            self._keep_for_later(data)
        else:
            self._discard(data)

    def eof_received(self) -> bool:
        """The peer's TCP half is closed. True, always: when to close is decided here."""
        self._fin = True
        if self._phase < Phase.OPEN:
            self._fail(ConnectionResetError("the peer closed during the handshake"), _GONE)
        elif self._phase is Phase.OPEN:
            self._deliver()
        elif self._phase is Phase.DRAINING:
            self._end_of_input(clean=False)
            self.plain.close()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """The end; see `Outgoing`."""
        if self._choosing is not None:
            self._choosing.cancel()
        super().connection_lost(exc)
        self._attach, self._choose, self._reader, self._choosing = _attach_nobody, None, None, None

    # hello and handshake

    def _read_hello(self, data: memoryview) -> None:
        assert self._reader is not None
        try:
            found = self._reader.feed(data)
        except BadHello as error:
            self._refuse(error.alert, error.reason)
            return
        if isinstance(found, NeedMore):
            return
        if isinstance(found, NotTls):
            self._not_tls(found)
            return
        self._server_name, self._phase = found.server_name, Phase.CHOOSING
        self._on_event("hello", hello=found, seconds=self._seconds())
        self._ask(found)

    def _ask(self, hello: ClientHello) -> None:
        """Have the answer to the hello chosen, at once or in a task of its own."""
        assert self._choose is not None
        try:
            answer = self._choose(hello)
        except Exception as error:
            self._choice_failed(error)
            return
        if inspect.isawaitable(answer):
            self._choosing = self._loop.create_task(self._choose_later(answer))
        else:
            self._begin(answer)

    async def _choose_later(self, answer: Awaitable[Choice]) -> None:
        try:
            choice = await answer
        except Exception as error:
            self._choosing = None
            self._choice_failed(error)
            return
        self._choosing = None
        if self._phase is Phase.CHOOSING:
            self.plain.resume_reading()
            self._guarded(lambda: self._begin(choice))

    def _keep_for_later(self, data: memoryview) -> None:
        """While a choice is awaited reading goes on, so that a peer's leaving is seen; but not without bound."""
        assert self._reader is not None
        self._reader.raw += data
        if len(self._reader.raw) > MAX_HELLO + READ_SIZE:
            self.plain.pause_reading()

    def _choice_failed(self, error: Exception) -> None:
        if isinstance(error, Refused):
            self._refuse(error.alert, f"refused: {error}")
            return
        if isinstance(error, HungUp):
            self._fail(tls_error("hung up"), Failure("hung up by a rule", None, None))
            return
        self._report("Choosing a TLS context failed", error)
        self._refuse(Alert.INTERNAL_ERROR, "our own error")

    def _begin(self, choice: Choice) -> None:
        """The choice is made: give OpenSSL the very bytes that were read."""
        assert self._reader is not None
        if isinstance(choice, Plaintext):
            self._go_on_in_plaintext(choice, bytes(self._reader.raw))
            return
        try:
            self._terms = choice if isinstance(choice, Terms) else Terms(choice)
            self._engine = Engine(self._terms.context, server_side=True)
        except Exception as error:
            self._choice_failed(error)
            return
        self._engine.feed(self._reader.raw)
        self._reader, self._phase = None, Phase.HANDSHAKE
        self._handshake_step()

    def _go_on_in_plaintext(self, choice: Plaintext, heard: bytes) -> None:
        """Step out from between transport and application; an upgrade's application waits for TLS, and is told that there is none."""
        self._on_event("plaintext", seconds=self._seconds())
        if self._app is not None:
            self.plain.write(choice.words)
            self._fail(tls_error("answered in plaintext"), Failure("answered in plaintext", None, None))
            return
        self._disarm()
        self._phase, self._reader, self._on_event = Phase.LOST, None, ignore_events
        app = self._attach(self.plain)
        if isinstance(app, asyncio.BufferedProtocol):
            raise TypeError("an application with buffers of its own is given none in plaintext")
        if not self.plain.is_closing():
            cast(asyncio.Protocol, app).data_received(heard)

    def _handshake_step(self) -> None:
        engine = self._fed()
        try:
            done = engine.handshake()
        except ssl.SSLError as error:
            self._broken(error)
            return
        if sent := engine.take():
            self.plain.write(sent)
            if self._flights is not None:
                self._flights.passed("out", len(sent), self._seconds())
        if done:
            self._open()

    def _open(self) -> None:
        self._phase = Phase.OPEN
        self._disarm()
        agreed = self._fed().agreed(self._server_name)
        flights, self._flights = self._flights, None
        told = flights.told() if flights is not None else None
        self._on_event("handshake", **asdict(agreed), seconds=self._seconds(), flights=told)
        transport = TlsTransport(self, self._loop)
        self.set_app(self._attach(transport))
        if self.opened is not None and not self.opened.done():
            self.opened.set_result(transport)
        self._deliver()

    def release(self) -> None:
        """Deliver, from the next turn of the loop on, what was held for an upgrade."""
        self._held = False
        self._loop.call_soon(self._guarded, self._deliver)

    def _handshake_timed_out(self) -> None:
        error = TimeoutError(f"no TLS handshake within {self._limits.handshake_s:g} s")
        self._tell_failed(error, _TIMED_OUT, STAGES[self._phase])
        self._phase = Phase.DRAINING
        self.plain.abort()

    # plaintext for the application

    def _deliver(self) -> None:
        """Decrypt and hand over until nothing is left or the application says stop."""
        engine = self._engine
        if engine is None:
            return
        try:
            while self._delivering() and engine.readable and self._deliver_some(engine):
                pass
        except ssl.SSLError as error:
            self._broken(error)
            return
        if self._phase is Phase.OPEN:
            self._flush()  # a KeyUpdate is answered while reading
            self._send_backlog()  # a renegotiation may have been waited for
            if self._fin and self._delivering():
                self._app_eof(clean=False)

    def _delivering(self) -> bool:
        return self._phase is Phase.OPEN and not (self._reading_paused or self._held or self._input_ended)

    def _deliver_some(self, engine: Engine) -> bool:
        """One callback's worth; False where no whole record is left."""
        app = self._app
        if self._buffered:
            buffered = cast(asyncio.BufferedProtocol, app)
            target = memoryview(buffered.get_buffer(-1)).cast("B")
            if not target:
                raise RuntimeError("get_buffer() returned an empty buffer")
            size, ended = engine.fill(target)
            if size:
                buffered.buffer_updated(size)
        else:
            target = SCRATCH.plain
            size, ended = engine.fill(target)
            if size:
                cast(asyncio.Protocol, app).data_received(bytes(target[:size]))
        if ended and self._delivering():
            self._app_eof(clean=True)
        return size == len(target)

    def _app_eof(self, *, clean: bool) -> None:
        self._end_of_input(clean=clean)
        if not cast(asyncio.Protocol, self._app).eof_received():
            self.close()

    # refusing

    def _not_tls(self, found: NotTls) -> None:
        """A peer that talks in the clear gets no bytes that it couldn't read."""
        error = tls_error(f"the peer's first bytes are {found.kind}, not a TLS ClientHello")
        if found.kind == "alert" and len(found.start) >= 7:
            failure = Failure("alert before the hello", alert_name(found.start[6]), "peer")
        elif found.kind == "sslv2":
            failure = Failure("SSLv2 hello", "protocol_version", "us")
            self.plain.write(alert_record(Alert.PROTOCOL_VERSION))
        else:
            failure = Failure(f"{found.kind} instead of a ClientHello", None, None)
        self._fail(error, failure, start=found.start)

    def _refuse(self, alert: Alert, reason: str) -> None:
        """End a handshake that no TLS object has seen yet."""
        if self._phase < Phase.HANDSHAKE:
            self.plain.write(alert_record(alert))
            self._fail(tls_error(reason), Failure(reason, alert.name.lower(), "us"))

    # what the application's transport asks

    def set_app(self, app: asyncio.BaseProtocol) -> None:
        """Deliver to this protocol from now on."""
        self._app = app
        self._buffered = isinstance(app, asyncio.BufferedProtocol)

    def app(self) -> asyncio.BaseProtocol:
        """Who is delivered to."""
        return cast(asyncio.BaseProtocol, self._app)

    def is_reading(self) -> bool:
        """Whether the application takes data."""
        return self._phase is Phase.OPEN and not self._reading_paused

    def pause_reading(self) -> None:
        """Read nothing more from the socket."""
        if self._phase is Phase.OPEN and not self._reading_paused:
            self._reading_paused = True
            self.plain.pause_reading()

    def resume_reading(self) -> None:
        """Read on."""
        if self._phase is Phase.OPEN and self._reading_paused:
            self._reading_paused = False
            self.plain.resume_reading()
            self._loop.call_soon(self._guarded, self._deliver)

    def extra_info(self, name: str, default: Any) -> Any:  # noqa: ANN401 - asyncio's own type
        """What is known of the connection under a name of asyncio's."""
        ask = _EXTRA.get(name)
        if ask is None:
            return self._server_name or default if name == "server_name" else self.plain.get_extra_info(name, default)
        return default if self._engine is None else ask(self._engine)


_EXTRA: Final[dict[str, Callable[[Engine], Any]]] = {
    "ssl_object": lambda engine: engine.ssl,
    "sslcontext": lambda engine: engine.context,
    "cipher": lambda engine: engine.ssl.cipher(),
    "peercert": lambda engine: engine.ssl.getpeercert(),
    "compression": lambda engine: engine.ssl.compression(),
}
_GONE: Final = Failure("the peer closed", None, None)
_TIMED_OUT: Final = Failure("timed out", None, None)


def _attach_nobody(transport: asyncio.Transport) -> asyncio.BaseProtocol:
    raise ConnectionResetError("the connection is lost")
