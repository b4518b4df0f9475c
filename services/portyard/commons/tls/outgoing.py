"""What leaves a TLS connection: data as fast as the peer takes it, close_notify, alerts, and the end itself.

However a connection ends, what was said last must arrive: it is flushed, our half is closed, what the peer still sends is read and
forgotten for a short while, and only then is the socket closed. A close at once could answer the peer's next segment with a reset, and a
reset drops what the peer hasn't read yet.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable
from enum import IntEnum
from typing import Final, cast

from portyard.commons.tls.alerts import Failure
from portyard.commons.tls.engine import Engine
from portyard.commons.tls.flights import Flights
from portyard.commons.tls.terms import Limits, OnEvent, Terms, ignore_events
from portyard.commons.tls.transport import TlsTransport

READ_SIZE: Final = 65_536
"""Bytes taken from a socket at once; also what an incoming BIO can grow to."""


class Phase(IntEnum):
    """Where a connection is; it only ever goes forward."""

    HELLO = 0
    CHOOSING = 1
    HANDSHAKE = 2
    OPEN = 3
    FLUSHING = 4
    """Closed by the application; what it wrote is still being sent."""
    DRAINING = 5
    """Our half is closed; the peer's last words are read and forgotten."""
    LOST = 6


class _Scratch(threading.local):
    """Buffers that are in use only within one callback, so one pair serves every connection of a loop's thread."""

    def __init__(self) -> None:
        self.cipher = memoryview(bytearray(READ_SIZE))
        self.plain = memoryview(bytearray(READ_SIZE))


SCRATCH: Final = _Scratch()


class Outgoing(asyncio.BufferedProtocol):
    """The half of a connection that sends and ends; `TlsConnection` is the whole."""

    __slots__ = (
        "_app",
        "_app_paused",
        "_backlog",
        "_backlog_size",
        "_drained",
        "_engine",
        "_error",
        "_fin",
        "_flights",
        "_input_ended",
        "_last_size",
        "_limits",
        "_loop",
        "_on_event",
        "_phase",
        "_said_bye",
        "_started",
        "_terms",
        "_timer",
        "_write_ended",
        "_write_paused",
        "opened",
        "plain",
    )

    plain: asyncio.Transport
    _loop: asyncio.AbstractEventLoop
    _started: float

    def __init__(self, on_event: OnEvent, limits: Limits) -> None:
        self._on_event, self._limits = on_event, limits
        self._phase = Phase.HELLO
        self._app: asyncio.BaseProtocol | None = None
        self._engine: Engine | None = None
        self._terms: Terms | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._error: Exception | None = None
        self._flights: Flights | None = Flights()  # until the handshake is done
        self.opened: asyncio.Future[TlsTransport] | None = None
        self._backlog: deque[memoryview] | None = None  # made when the peer is slow: most connections never need one
        self._backlog_size = self._drained = self._last_size = 0
        self._fin = self._input_ended = self._said_bye = self._write_ended = False
        self._write_paused = self._app_paused = False

    # plaintext from the application

    def send(self, data: bytes | bytearray | memoryview) -> None:
        """Encrypt and send, or keep what the peer is too slow for. Ignored once closing, as asyncio does."""
        if self._write_ended and self._phase is Phase.OPEN:
            raise RuntimeError("Cannot call write() after write_eof()")
        if self._phase is not Phase.OPEN or not data:
            return
        view = memoryview(data).cast("B")
        if not self._backlog and not self._write_paused:
            view = self._encrypt(view)
        if view:
            if self._backlog is None:
                self._backlog = deque()
            self._backlog.append(view if isinstance(data, bytes) else memoryview(bytes(view)))
            self._backlog_size += len(view)

    def _encrypt(self, view: memoryview) -> memoryview:
        """Send as much as the plain transport takes, and return the rest."""
        engine = self._fed()
        while view and not self._write_paused:
            try:
                taken = engine.encrypt(view)
            except ssl.SSLError as error:
                self._broken(error)
                return view[:0]
            self._flush()
            if not taken:
                break
            view = view[taken:]
        return view

    def _send_backlog(self) -> None:
        while self._backlog and not self._write_paused:
            view = self._backlog.popleft()
            rest = self._encrypt(view)
            self._backlog_size -= len(view) - len(rest)
            if rest and self._backlog is not None:
                self._backlog.appendleft(rest)
                return
        if self._write_ended and not self._backlog and self._phase is Phase.OPEN:
            self._say_close_notify()

    def _flush(self) -> None:
        data = self._fed().take()
        if data:
            self.plain.write(data)

    def write_buffer_size(self) -> int:
        """Bytes not yet with the kernel."""
        return self._backlog_size + self.plain.get_write_buffer_size()

    def is_write_paused(self) -> bool:
        """Whether the application was told to stop writing."""
        return self._app_paused

    # backpressure

    def pause_writing(self) -> None:
        """The plain transport's buffer is full: stop encrypting."""
        self._write_paused = True
        if self._app is not None and not self._app_paused and self._phase <= Phase.OPEN:
            self._app_paused = True
            cast(asyncio.Protocol, self._app).pause_writing()

    def resume_writing(self) -> None:
        """Room again. Acted on in the loop's next turn: asyncio's transport doesn't survive being closed from within this call."""
        if not self._write_paused:
            self._app_paused = True  # the pause came before an upgrade, and went to the application itself
        self._write_paused = False
        self._loop.call_soon(self._guarded, self._use_room)

    def _use_room(self) -> None:
        if self._phase is Phase.DRAINING:
            if self._last_size:
                self._linger()
        elif self._phase is Phase.FLUSHING:
            self._go_on_closing()
        elif self._app is not None:
            self._send_backlog()
            if self._app_paused and not self._write_paused and not self._backlog:
                self._app_paused = False
                cast(asyncio.Protocol, self._app).resume_writing()

    # closing

    def close(self) -> None:
        """Flush, close_notify, half-close, drain, close."""
        if self._phase is not Phase.OPEN:
            return
        self._phase = Phase.FLUSHING
        self._last_size = self.write_buffer_size()
        self._arm(self._limits.flush_s, self._linger)
        self.plain.set_write_buffer_limits(high=0)  # resume_writing now means: all is sent
        self._go_on_closing()

    def _go_on_closing(self) -> None:
        self._send_backlog()
        if self._backlog or self._phase is not Phase.FLUSHING:
            return
        self._say_close_notify()
        self._half_close()

    def _say_close_notify(self) -> None:
        if self._said_bye:
            return
        if not (self._terms is None or self._terms.close_notify):
            if self._phase is Phase.OPEN and self.plain.can_write_eof():
                self.plain.write_eof()  # an end that nobody announces, as a truncation is
            return
        self._said_bye = True
        self._fed().close_notify()
        self._flush()

    def _half_close(self) -> None:
        """Nothing more will be written; see this module's first lines."""
        self._phase = Phase.DRAINING
        if self.plain.is_closing():
            return
        self._last_size = self.plain.get_write_buffer_size()
        done = self._fin or not self.plain.can_write_eof()
        self._arm(self._limits.flush_s if self._last_size or done else self._limits.drain_s, self._linger)
        if done:
            self.plain.close()
            return
        try:
            self.plain.write_eof()
        except OSError:  # the peer reset the connection, and asyncio lets shutdown(2) say so
            self.plain.abort()
        else:
            self.plain.resume_reading()

    def _linger(self) -> None:
        """Time is up, or the last byte is sent: go on waiting for a peer that makes headway, drop any other."""
        size = self.write_buffer_size()
        headway = size < self._last_size
        self._last_size = size
        if headway:
            self._arm(self._limits.flush_s if size else self._limits.drain_s, self._linger)
            return
        if size:
            self._error = self._error or TimeoutError(f"the peer took nothing for {self._limits.flush_s:g} s")
        self.plain.abort()

    def _discard(self, data: memoryview) -> None:
        """Read on for the peer's close_notify; forget the rest."""
        self._drained += len(data)
        if self._drained > self._limits.drain_bytes:
            self.plain.abort()
            return
        if self._error is not None or self._engine is None or self._input_ended:
            return
        self._engine.feed(data)
        try:
            ended = False
            while self._engine.readable and not ended:
                size, ended = self._engine.fill(SCRATCH.plain)
                if not size:
                    break
        except ssl.SSLError:
            return
        if ended:
            self._end_of_input(clean=True)
            if self._phase is Phase.DRAINING and not self.plain.get_write_buffer_size():
                self.plain.close()

    def _end_of_input(self, *, clean: bool) -> None:
        if not self._input_ended and self._error is None:
            self._input_ended = True
            self._on_event("close_notify", received=clean)

    def abort(self) -> None:
        """Close at once."""
        if self._phase is not Phase.LOST:
            self.plain.abort()

    def is_closing(self) -> bool:
        """Whether the end has begun."""
        return self._phase > Phase.OPEN or self.plain.is_closing()

    def can_write_eof(self) -> bool:
        """Only TLS 1.3 has half-closed connections."""
        return self._engine is not None and self._engine.ssl.version() == "TLSv1.3"

    def write_eof(self) -> None:
        """Say close_notify behind all that was written."""
        if self._phase is Phase.OPEN and not self._write_ended:
            self._write_ended = True
            self._send_backlog()

    # failing

    def _broken(self, error: ssl.SSLError) -> None:
        """OpenSSL gave up: its alert is sent before anything is closed."""
        if self._phase <= Phase.OPEN:
            alert = self._fed().take()
            if alert:
                self.plain.write(alert)
            self._fail(error, self._fed().explain(error, alert))
        elif self._phase is Phase.FLUSHING:
            self.plain.abort()

    def _fail(self, error: Exception, failure: Failure, **more: object) -> None:
        self._tell_failed(error, failure, STAGES[self._phase], **more)
        self._backlog, self._backlog_size = None, 0
        self._half_close()

    def _tell_failed(self, error: Exception, failure: Failure, stage: str, **more: object) -> None:
        self._error = error
        if self._flights is not None:
            more["flights"] = self._flights.told()
        self._on_event("failed", stage=stage, **failure._asdict(), seconds=self._seconds(), **more)

    def _guarded(self, step: Callable[[], None]) -> None:
        """Run a step that the plain transport didn't call, with the care that it would have taken."""
        try:
            step()
        except Exception as error:
            self._report("A protocol's callback failed", error)
            self._error = self._error or error
            self.abort()

    def _report(self, message: str, error: Exception) -> None:
        self._loop.call_exception_handler({"message": message, "exception": error, "protocol": self})

    def connection_lost(self, exc: Exception | None) -> None:
        """The end, whatever led to it. Whoever waits for the handshake hears of its failure only now, when nothing lingers any more."""
        if self._phase < Phase.OPEN:
            self._tell_failed(exc or ConnectionResetError("the connection was lost"), _LOST, STAGES[self._phase])
        elif self._phase is Phase.DRAINING:
            exc = None  # all was said; how the peer hung up doesn't matter
        error = self._error or exc
        self._phase = Phase.LOST
        self._disarm()
        if self.opened is not None and not self.opened.done():
            self.opened.set_exception(error or ConnectionResetError("the connection was lost"))
        app, self._app = self._app, None
        self._engine = self._backlog = None  # lets go of OpenSSL's memory at once
        self._on_event = ignore_events
        if app is not None:
            app.connection_lost(error)

    # small change

    def _fed(self) -> Engine:
        assert self._engine is not None
        return self._engine

    def _seconds(self) -> float:
        return time.monotonic() - self._started  # the loop's own time may be as coarse as a millisecond

    def _arm(self, delay_s: float, call: Callable[[], None]) -> None:
        self._disarm()
        self._timer = self._loop.call_later(delay_s, call)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


STAGES: Final = ("hello", "hello", "handshake", "open", "open", "open", "open")
_LOST: Final = Failure("the connection was lost", None, None)
