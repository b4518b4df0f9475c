"""Runs a core over a stream: octets to framing to session, effects to the wire, everything to the journal.

Knows tasks and streams; knows no protocol. The core never awaits a socket; this never decides.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable

from portyard.commons.effects import (
    Abort,
    Arm,
    Authenticated,
    Close,
    Effect,
    Expect,
    Framing,
    Hear,
    Hush,
    Joins,
    Note,
    Pause,
    Send,
    Session,
    StartTls,
    Unwatch,
    Watch,
)
from portyard.commons.events import Event, Gone, MailboxChanged, Timeout, TlsStarted
from portyard.commons.journal.model import SessionLog
from portyard.commons.mailstore.model import Watcher
from portyard.commons.scenario.engine import SessionGate
from portyard.commons.scenario.obeying import continued, ruled
from portyard.commons.stream import Stream, Upgrade

_END = 128  # octets in which the last lines are looked for of an answer that isn't shown whole
_UNSAID = (MailboxChanged, Timeout, TlsStarted)  # events that no client sent

_logger = logging.getLogger(__name__)


class Conversation:
    """One session of one peer.

    Args:
        stream: The connection.
        session: The core.
        framing: The core's framing.
        log: The journal's pen.
        upgrade: Puts TLS below the stream; None where the room never upgrades.
        watcher: Where `Watch` is heard; None where the room never watches.
        parting: What the peer is told when we fail or shut down, in the protocol's own words.
        gate: The session's gate: asked for the greeting here, for the rest by the core.
        arm: Puts faults of bytes on the connection.
        shown: Octets of one answer that the journal shows; the rest is counted.
    """

    def __init__(
        self,
        stream: Stream,
        session: Session,
        framing: Framing,
        log: SessionLog,
        *,
        upgrade: Upgrade | None = None,
        watcher: Watcher | None = None,
        parting: bytes = b"",
        gate: SessionGate | None = None,
        arm: Callable[[tuple[object, ...]], None] = lambda _: None,
        shown: int = 1024,
    ) -> None:
        self._gate = gate
        self._arm = arm
        self._hushed = False
        self._hearing: Hear | None = None
        self._stream = stream
        self._session = session
        self._framing = framing
        self._log = log
        self._upgrade = upgrade
        self._watcher = watcher
        self._parting = parting
        self._watching: asyncio.Task[None] | None = None
        self._changed = False
        self._upgraded: TlsStarted | None = None
        self._reason = ""
        self._over = False
        self._told = False
        self._shown: list[bytes] = []  # what the journal shows of the answer under way
        self._most_shown = self._room = shown  # octets that it may, and that it may still show
        self._unkept = 0  # octets of an answer behind those that the journal shows
        self._last = b""  # the last of them

    async def run(self) -> None:
        """Talk until somebody closes; never raises but when cancelled."""
        try:
            await self._obey(greeted(self._gate, self._session))
            self._write_down("greeting")
            while not self._over:
                await self._handle(await self._next_event())
        except (ConnectionError, TimeoutError) as error:
            self._end(str(error) or type(error).__name__)
            await self._hear_gone()
        except asyncio.CancelledError:
            self._part("shutdown")
            raise
        except Exception as error:
            _logger.exception("session %s failed", self._log.id)
            self._log.event("error", text=f"{type(error).__name__}: {error}")
            self._part("internal error")
        finally:
            await self._finish()

    async def _handle(self, event: Event) -> None:
        if isinstance(event, Gone):
            self._end("peer closed")
            await self._hear_gone()
            return
        if not isinstance(event, _UNSAID):
            self._log.command(self._session.transcript(event))
        if self._hearing is None:
            await self._obey(self._session.receive(event))
        else:
            await self._obey(self._resumed(self._hearing, event))
        self._write_down("reply")

    def _resumed(self, hearing: Hear, event: Event) -> AsyncIterator[Effect]:
        """The rest of an answer that waits for a line, or the session's own where it isn't that line."""
        if isinstance(event, MailboxChanged):
            return self._session.receive(event)
        self._hearing = None
        return continued(hearing, event) or self._session.receive(event)

    async def _hear_gone(self) -> None:
        """Let the core put its things away; whatever it wants to send goes nowhere."""
        if not self._told:
            self._told = True
            async for _ in self._session.receive(Gone()):
                pass

    async def _next_event(self) -> Event:
        while self._hushed:
            if await self._stream.read() == b"":
                return Gone()
        while True:
            if self._upgraded is not None:
                event, self._upgraded = self._upgraded, None
                return event
            framed = self._framing.next_event()
            if framed is not None:
                return framed
            if self._changed:
                self._changed = False
                return MailboxChanged()
            try:
                data = await self._stream.read(self._session.timeout_s)
            except TimeoutError:
                self._reason = "timeout"
                return Timeout()
            if data:
                self._framing.feed(data)
            elif data is not None:
                return Gone()

    async def _obey(self, effects: AsyncIterator[Effect]) -> None:
        async for effect in effects:
            match effect:
                case Send(data, note):
                    self._remember(data, note)
                    self._stream.write(data)
                    await self._stream.drain()
                case Expect(mode):
                    self._framing.expect(mode)
                case StartTls():
                    await self._start_tls()
                case Watch(mailbox_id):
                    self._watch(mailbox_id)
                case Unwatch():
                    self._unwatch()
                case Authenticated(account, mechanism, sandbox):
                    self._logged_in(account, mechanism, sandbox)
                case Joins(sandbox, anew):
                    if anew:
                        self._log.part()
                    self._join(sandbox)
                case Pause(seconds):
                    await asyncio.sleep(seconds)
                case Hush():
                    self._hushed = True
                case Hear():
                    self._hearing = effect
                case Arm(faults):
                    self._arm_behind(faults)
                case Note(kind, fields):
                    self._log.event(kind, **fields)
                case Close():
                    self._end("closed by us")
                case Abort():
                    self._end("aborted by us")
                    self._stream.abort()
            if self._over or self._hushed:  # of an answer that was broken off in its midst nothing more is said
                break
        if isinstance(effects, AsyncGenerator):
            await effects.aclose()

    def _arm_behind(self, faults: tuple[object, ...]) -> None:
        self._stream.flush()  # what was said before is carried unharmed
        self._arm(faults)

    def _logged_in(self, account: str, mechanism: str, sandbox: str) -> None:
        self._join(sandbox)
        self._log.authenticated(account, mechanism)
        if self._gate is not None:
            self._gate.account = account

    def _end(self, reason: str) -> None:
        self._reason = self._reason or reason
        self._over = True

    def _join(self, sandbox: str) -> None:
        self._log.join(sandbox)
        if self._gate is not None:
            self._gate.sandbox = sandbox

    async def _start_tls(self) -> None:
        assert self._upgrade is not None, "the core upgrades but the edge gave no way to"
        self._write_down("reply")
        self._framing.clear()  # RFC 3207 §4.2, RFC 2595 §4, RFC 3501 §6.2.1: nothing read in plaintext is a command
        try:
            await self._stream.upgrade(self._upgrade)
        except ssl.SSLError as error:  # the peer's alert, or ours on its way to the peer: nothing to add in plaintext
            raise ConnectionAbortedError(f"tls handshake failed: {error.reason}") from error
        ssl_object = self._stream.info("ssl_object")
        name, *_ = ssl_object.cipher() or ("",)
        self._upgraded = TlsStarted(ssl_object.version() or "", name)

    def _watch(self, mailbox_id: int) -> None:
        self._unwatch()
        assert self._watcher is not None, "the core watches but the edge gave no watcher"
        self._watching = asyncio.get_running_loop().create_task(self._follow(self._watcher.watch(mailbox_id)))

    async def _follow(self, changes: AsyncIterator[None]) -> None:
        async for _ in changes:
            self._changed = True
            self._stream.wake()

    def _unwatch(self) -> None:
        self._changed = False
        if self._watching is not None:
            self._watching.cancel()
            self._watching = None

    def _part(self, reason: str) -> None:
        self._reason = reason
        if self._parting:
            self._remember(self._parting, None)
            self._stream.write(self._parting)
            self._write_down("reply")

    async def _finish(self) -> None:
        self._unwatch()
        self._write_down("reply")
        try:
            await self._hear_gone()  # before the peer sees the end: who comes next finds nothing locked
        finally:
            try:
                await self._stream.part()
            finally:
                self._log.close(self._reason)

    def _remember(self, data: bytes, note: str | None) -> None:
        shown = data if note is None else note.encode() + b"\r\n"
        room = self._room - len(shown)
        if room >= 0 and data:
            self._shown.append(shown)
            self._room = room
        elif data:
            self._cut(data, shown if note is None else b"")  # half a note would tell nothing

    def _cut(self, data: bytes, shown: bytes) -> None:
        """Remember what there is room for; of what follows, nothing."""
        kept = shown[: self._room]
        if kept:
            self._shown.append(kept)
        self._unkept += len(data) - len(kept)
        last = data[max(len(kept), len(data) - _END) :]
        self._last = last if len(last) == _END else (self._last + last)[-_END:]
        self._room = 0

    def _write_down(self, kind: str) -> None:
        shown = self._shown
        if not (shown or self._unkept):
            return
        told = shown[0] if len(shown) == 1 else b"".join(shown)
        if kind == "reply" and not self._unkept:
            self._log.reply(told)
        else:
            self._write_more(kind, told.decode("utf-8", "backslashreplace"))
        shown.clear()
        self._room = self._most_shown

    def _write_more(self, kind: str, text: str) -> None:
        """A greeting, or what isn't shown whole."""
        if self._unkept:
            self._log.event(kind, text=text, unkept=self._unkept, **_ended(self._last, self._unkept))
            self._unkept, self._last = 0, b""
        else:
            self._log.event(kind, text=text.removesuffix("\r\n"))


def _ended(last: bytes, unkept: int) -> dict[str, object]:
    """How an answer ended: its last lines, none where the one that is cut was the last; or that it was broken off in a line's midst.

    Args:
        last: The last octets of those that aren't shown.
        unkept: How many there are.
    """
    if not last.endswith(b"\r\n"):
        return {"broken_off": True}
    end = last[last.find(b"\n") + 1 :]
    return {"end": end.decode()} if end.isascii() and (end or len(last) == unkept) else {}


def greeted(gate: SessionGate | None, session: Session) -> AsyncIterator[Effect]:
    """The greeting as the rules want it."""
    return ruled(gate, "greeting", session.open(), _last_line, _line)


async def _line(text: str) -> AsyncIterator[Effect]:
    """A greeting that a rule wrote."""
    yield Send(text.encode() + b"\r\n")


async def _last_line(text: str) -> AsyncIterator[Effect]:
    """A greeting that refuses: nothing follows it."""
    yield Send(text.encode() + b"\r\n")
    yield Close()
