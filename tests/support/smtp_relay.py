"""A relay with its spool in a yard, its clock moved by hand, and the servers that it hands over to, played."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from portyard.commons.locks import Locks
from portyard.commons.opening import open_yard as open_real_yard
from portyard.commons.yard import Yard
from portyard.smtp.core.model import Mailbox, Recipient
from portyard.smtp.core.stores import Arrival
from portyard.smtp.courier import Courier, Route
from portyard.smtp.outlet import Address, Destination, Outlets
from portyard.smtp.relay import Plan, Relay
from portyard.smtp.spool import Entry, Queued, SqlSpool, queue
from tests.support.mail_chain import queue_changes
from tests.support.yard import settings_for

BOB, EVE = Mailbox("bob", "b.test"), Mailbox("eve", "b.test")


class HandClock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.time = datetime(2030, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time

    def advance(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


class PlayedServer:
    """A server that answers RCPT and the end of data as it is told, and notes what it took.

    Attributes:
        answers: For each end of data, in order; then 250.
        taken: (recipients, octets) of each message that was answered 250.
    """

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.refused: dict[str, str] = {}
        self.taken: list[tuple[tuple[str, ...], bytes]] = []
        self.mails: list[str] = []
        self.connections = 0
        self.drop_after_data = 0

    @contextlib.asynccontextmanager
    async def listen(self, ours: bool = True) -> AsyncIterator[Destination]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            yield Destination((Address("127.0.0.1", port, "mta", ours=ours),))

    @staticmethod
    @contextlib.contextmanager
    def away() -> Iterator[Destination]:
        """Where nobody listens, and nobody else can meanwhile."""
        with socket.socket() as bound:
            bound.bind(("127.0.0.1", 0))
            yield Destination((Address("127.0.0.1", bound.getsockname()[1], "mta", ours=True),))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        writer.write(b"220 played\r\n")
        recipients: list[str] = []
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                line = (await reader.readuntil(b"\r\n")).decode()[:-2]
                verb = line[:4]
                answer = "250 ok"
                if verb == "EHLO":
                    answer = "250-played\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SMTPUTF8"
                elif verb == "MAIL":
                    self.mails.append(line)
                    recipients = []
                elif verb == "RCPT":
                    answer = self.refused.get(line, "250 ok")
                    recipients += [line] if answer == "250 ok" else []
                elif verb == "DATA" and not recipients:
                    answer = "503 nobody"
                elif verb == "DATA":
                    writer.write(b"354 go\r\n")
                    octets = await reader.readuntil(b"\r\n.\r\n")
                    answer = self.answers.pop(0) if self.answers else "250 taken"
                    if answer.startswith("250"):
                        self.taken.append((tuple(recipients), octets[:-3]))
                    if self.drop_after_data:
                        self.drop_after_data -= 1
                        break
                elif verb == "QUIT":
                    break
                writer.write(answer.encode() + b"\r\n")
        writer.close()


class FixedCourier:
    """Knows one way for all; `asked` tells how often it was asked."""

    def __init__(self, route: Route) -> None:
        self.fixed = route
        self.asked = 0
        self._again = asyncio.Event()

    async def route(self, recipient: Queued) -> Route:
        self.asked += 1
        self._again.set()
        return self.fixed

    async def until_asked(self, times: int) -> None:
        while self.asked < times:
            self._again.clear()
            await self._again.wait()


class Hop:
    """A spool with its relay in a yard."""

    def __init__(self, yard: Yard, clock: HandClock, spool: SqlSpool) -> None:
        self.yard, self.clock, self.spool = yard, clock, spool

    async def commit(
        self, delivery_id: str = "one", *mailboxes: Mailbox, octets: bytes = b"x\r\n", generation: int = 1
    ) -> None:
        recipients = tuple(Recipient(mailbox, "default", generation) for mailbox in mailboxes or (BOB,))
        await self.spool.commit(Arrival(delivery_id, Mailbox("a", "a.test"), False, False, recipients, octets))

    async def until(self, check: Callable[[Sequence[Entry]], bool]) -> Sequence[Entry]:
        async for _ in queue_changes(self.yard):
            found = await queue(self.yard.mail_database)
            if check(found):
                return found
        raise AssertionError


@contextlib.asynccontextmanager
async def hop_of(
    state: Path, courier: Courier, schedule_s: Sequence[float] = (10.0, 100.0), name: str = "mta"
) -> AsyncIterator[Hop]:
    clock = HandClock()
    async with open_real_yard(settings_for(state), (), clock) as yard:
        plan = Plan(name, yard.secret, lambda _: clock.now().timestamp(), schedule_s)
        relay = Relay(plan, courier, Outlets("me.test", yard.tls), yard.sandboxes, Locks(state / "locks"))
        spool = await SqlSpool.open(yard.mail_database, name, state / "spool", plan.now, relay.backlog, relay.wake)
        task = asyncio.create_task(relay.run(spool))
        try:
            yield Hop(yard, clock, spool)
        finally:
            task.cancel()
            await asyncio.wait((task,))


def attempted(times: int) -> Callable[[Sequence[Entry]], bool]:
    return lambda entries: bool(entries) and all(entry.attempts == times for entry in entries)
