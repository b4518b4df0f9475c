"""Outgoing connections: the client's core over a stream, kept for a short while, a few at once for each destination."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from portyard.commons.authority import authority
from portyard.commons.effects import Close, Send, StartTls
from portyard.commons.events import Event, Gone, Timeout, TlsStarted
from portyard.commons.insiders import bound_towards, end_of
from portyard.commons.scenario.engine import Insiders
from portyard.commons.stream import Stream
from portyard.commons.yard import Tls
from portyard.smtp.core.client import LOST, Client, Failed, Finished, Outgoing, Ready, Step
from portyard.smtp.core.framing import Framing
from portyard.smtp.core.model import Reply, reply

AT_ONCE: Final = 4
"""Connections to one destination at once: enough to share its group commits."""
KEPT: Final = 16
"""Idle connections to one destination, which belong to one sandbox each."""
KEEP_S: Final = 3.0
"""Seconds that an idle connection is kept for the next message."""
CONNECT_S: Final = 10.0
"""Seconds for a TCP connection; everything we may connect to is near."""
REPLY_S: Final = 300.0
"""Seconds for a reply (RFC 5321 §4.5.3.2.1)."""

_logger = logging.getLogger(__name__)


class UnreachableError(Exception):
    """No connection that would take a transaction.

    Attributes:
        reply: What to hold against the destination.
        greeted: A server answered; it is up but turned us away.
    """

    def __init__(self, answer: Reply, *, greeted: bool = False) -> None:
        super().__init__(answer.text)
        self.reply = answer
        self.greeted = greeted


@dataclass(frozen=True, slots=True)
class Address:
    """One server.

    Attributes:
        host: IP address.
        port: Number.
        name: The name that its certificate must have.
        ours: It belongs to the testbed: TLS is verified against our CA, and the private parameter is sent.
    """

    host: str
    port: int
    name: str
    ours: bool


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a domain's mail goes: addresses in the order in which to try them."""

    addresses: tuple[Address, ...]
    lmtp: bool = False


class Outlet:
    """One connection.

    Args:
        stream: Connected.
        client: Its core.
        tls: For the upgrade.
        name: The name that the server's certificate must have.
        source: Our end, where the testbed's servers were told whose it is.
    """

    def __init__(
        self, stream: Stream, client: Client, tls: Tls, name: str, source: tuple[str, int] | None = None
    ) -> None:
        self.source = source
        self._stream = stream
        self._client = client
        self._tls = tls
        self._name = name
        self._framing = Framing()
        self.alive = True

    async def open(self) -> None:
        """Greeting, hello, TLS, hello.

        Raises:
            UnreachableError: The server turned us away.
        """
        outcome = await self._follow(())
        if isinstance(outcome, Failed):
            raise UnreachableError(outcome.reply, greeted=outcome.reply is not LOST)

    async def send(self, outgoing: Outgoing) -> tuple[Reply, ...]:
        """One transaction; the last word on each recipient."""
        outcome = await self._follow(self._client.begin(outgoing))
        return outcome.replies if isinstance(outcome, Finished) else (LOST,) * len(outgoing.recipients)

    async def close(self) -> None:
        """Say goodbye and close."""
        if self.alive:
            self.alive = False
            with contextlib.suppress(OSError):
                for step in self._client.end():
                    if isinstance(step, Send):
                        self._stream.write(step.data)
        await self._stream.close(1.0)

    async def _follow(self, steps: Sequence[Step]) -> Ready | Finished | Failed:
        """Do what the core says until it comes to an outcome."""
        pending = deque(steps)
        while True:
            outcome: Ready | Finished | Failed | None = None
            while pending:
                step = pending.popleft()
                if isinstance(step, Ready | Finished | Failed):
                    outcome = outcome or step
                else:
                    pending.extend(await self._do(step))
            if outcome is not None:
                return outcome
            pending.extend(self._client.receive(await self._next_event()))

    async def _do(self, step: Send | StartTls | Close) -> Sequence[Step]:
        try:
            match step:
                case Send(data):
                    self._stream.write(data)
                    await self._stream.drain()
                case StartTls():
                    return await self._start_tls()
                case Close():
                    self.alive = False
                    self._stream.abort()
        except OSError:
            return self._lost()
        return ()

    async def _start_tls(self) -> Sequence[Step]:
        async def upgrade(
            transport: asyncio.Transport, protocol: asyncio.Protocol, pending: bytes
        ) -> asyncio.Transport:
            return await self._tls.upgrade_client(transport, protocol, self._name)

        self._framing.clear()  # RFC 3207 §4.2
        try:
            await self._stream.upgrade(upgrade)
        except OSError as error:  # ssl.SSLError is one
            self.alive = False
            return (Failed(reply(454, "4.7.5", f"TLS with {self._name} failed: {error}")),)
        return self._client.receive(TlsStarted("", ""))

    async def _next_event(self) -> Event:
        while True:
            event = self._framing.next_event()
            if event is not None:
                return event
            try:
                data = await self._stream.read(REPLY_S)
            except TimeoutError:
                return Timeout()
            if not data:
                return Gone()
            self._framing.feed(data)

    def _lost(self) -> Sequence[Step]:
        self.alive = False
        return self._client.receive(Gone())


@dataclass(frozen=True, slots=True)
class _Kept:
    """An idle connection."""

    outlet: Outlet
    address: Address
    sandbox: str
    timer: asyncio.TimerHandle


@dataclass(slots=True)
class _Pool:
    """One destination's connections. Each carries one sandbox's mail only: its transcript is that sandbox's to read."""

    slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))
    idle: list[_Kept] = field(default_factory=list)

    def take(self, sandbox: str) -> _Kept | None:
        """The one that a sandbox used last, or None."""
        place = next((n for n in reversed(range(len(self.idle))) if self.idle[n].sandbox == sandbox), None)
        return None if place is None else self.idle.pop(place)


class Outlets:
    """Every outgoing connection of one process.

    Args:
        host: What we call ourselves.
        tls: The one TLS setup.
        proof: By which a server of the testbed in another process knows us.
        insiders: Where our ends are noted for the testbed's servers, before they accept.
    """

    def __init__(self, host: str, tls: Tls, proof: str = "", insiders: Insiders | None = None) -> None:
        self._host = host
        self._tls = tls
        self._proof = proof
        self._insiders: Insiders = set() if insiders is None else insiders
        self._pools: dict[Destination, _Pool] = {}
        self._closing: set[asyncio.Task[None]] = set()

    async def send(self, destination: Destination, outgoing: Outgoing, sandbox: str) -> tuple[Reply, ...]:
        """Run one transaction on a connection that the sandbox kept, or a new one; the last word on each recipient.

        Raises:
            UnreachableError: No server of the destination took a connection.
        """
        pool = self._pools.setdefault(destination, _Pool())
        async with pool.slots:
            while kept := pool.take(sandbox):
                kept.timer.cancel()
                replies = await self._run(pool, kept.outlet, kept.address, outgoing, sandbox)
                # A kept connection may have been closed under us. A testbed peer knows what it has taken already, so trying again is safe.
                if not (kept.address.ours and all(answer is LOST for answer in replies)):
                    return replies
            outlet, address = await self._connect(destination)
            return await self._run(pool, outlet, address, outgoing, sandbox)

    async def close(self) -> None:
        """Close what is idle."""
        for pool in self._pools.values():
            for kept in pool.idle:
                kept.timer.cancel()
                self._retire(kept.outlet)
            pool.idle.clear()
        await asyncio.gather(*self._closing, return_exceptions=True)

    async def _run(
        self, pool: _Pool, outlet: Outlet, address: Address, outgoing: Outgoing, sandbox: str
    ) -> tuple[Reply, ...]:
        try:
            replies = await outlet.send(outgoing)
        except BaseException:
            outlet.alive = False
            self._retire(outlet)
            raise
        if outlet.alive:
            timer = asyncio.get_running_loop().call_later(KEEP_S, self._expire, pool, outlet)
            pool.idle.append(_Kept(outlet, address, sandbox, timer))
            if len(pool.idle) > KEPT:
                oldest = pool.idle.pop(0)
                oldest.timer.cancel()
                self._retire(oldest.outlet)
        else:
            self._retire(outlet)
        return replies

    async def _connect(self, destination: Destination) -> tuple[Outlet, Address]:
        failure = UnreachableError(reply(451, "4.4.4", "the destination has no address"))
        for address in destination.addresses:
            try:
                return await self._open(address, lmtp=destination.lmtp), address
            except (OSError, TimeoutError) as error:
                why = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or "timed out"
                failure = UnreachableError(reply(451, "4.4.1", f"{authority(address.host, address.port)}: {why}"))
            except UnreachableError as error:  # RFC 5321 §5.1: the next one may take it
                failure = error
        raise failure

    async def _open(self, address: Address, *, lmtp: bool) -> Outlet:
        loop = asyncio.get_running_loop()
        sock = _near(address) if address.ours else None
        source = end_of(sock) if sock else None
        try:
            async with asyncio.timeout(CONNECT_S):
                if sock and source:
                    self._insiders.add(source)
                    await loop.sock_connect(sock, (address.host, address.port))
                    _, stream = await loop.create_connection(Stream, sock=sock)
                else:
                    _, stream = await loop.create_connection(Stream, address.host, address.port)
        except BaseException:
            if sock:
                sock.close()
            self._insiders.discard(source or ("", 0))
            raise
        on_this_machine = source is not None and source[0] == address.host
        proof = self._proof if address.ours and not on_this_machine else ""
        client = Client(self._host, lmtp=lmtp, starttls=address.ours, proof=proof)
        outlet = Outlet(stream, client, self._tls, address.name, source)
        try:
            await outlet.open()
        except BaseException:
            outlet.alive = False
            self._retire(outlet)
            raise
        return outlet

    def _expire(self, pool: _Pool, outlet: Outlet) -> None:
        pool.idle[:] = [kept for kept in pool.idle if kept.outlet is not outlet]
        self._retire(outlet)

    def _retire(self, outlet: Outlet) -> None:
        task = asyncio.get_running_loop().create_task(self._close(outlet))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _close(self, outlet: Outlet) -> None:
        try:
            await outlet.close()
        finally:
            self._insiders.discard(outlet.source or ("", 0))


def _near(address: Address) -> socket.socket | None:
    """A socket whose own end is known before it connects; None where that can't be, and connecting will say why."""
    try:
        return bound_towards(address.host, address.port)
    except OSError:
        return None
