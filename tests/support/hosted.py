"""A hosted room on a loopback port with the least yard it needs: for tests that are about the room alone."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec

from portyard.commons.accounts.model import Account
from portyard.commons.card import Card, Service
from portyard.commons.filestore.disk import DiskFilestore
from portyard.commons.hosting import Hosting
from portyard.commons.journal.pages import formed
from portyard.commons.sandbox.model import DEFAULT, Sandbox
from portyard.commons.scenario.checking import check
from portyard.commons.scenario.parsing import make_rule
from portyard.commons.settings import Limits, Settings
from portyard.commons.yard import Connection, Yard
from tests.support.yard import Served as YardServed
from tests.support.yard import open_yard, serve


class FakeSheet:
    """What a FakeLog is noted on: each event goes to it at once."""

    def __init__(self, log: FakeLog) -> None:
        self._log = log
        self.noted: list[Any] = []
        self.due = 0
        self.moment = time.time_ns

    def attend(self) -> None:
        _, how, octets = self.noted
        self.noted.clear()
        self._log.noter(how)(octets)


@dataclass
class FakeLog:
    """A session's pen that keeps what it wrote."""

    id: str = "s1"
    sandbox: str = "default"
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    closed: asyncio.Event = field(default_factory=asyncio.Event)

    def event(self, kind: str, **fields: object) -> None:
        plain = {
            key: msgspec.json.decode(value) if isinstance(value, msgspec.Raw) else value
            for key, value in fields.items()
        }
        self.events.append((kind, plain))

    def told(self, kind: str, fields: bytes) -> None:
        self.event(kind, **msgspec.json.decode(fields))

    def noter(self, form: int) -> Callable[[bytes], None]:
        def note(octets: bytes) -> None:
            kind, fields = formed(form, octets)
            self.event(kind, **fields)

        return note

    def sheet(self) -> FakeSheet:
        return FakeSheet(self)

    def command(self, text: str) -> None:
        self.event("command", text=text)

    def reply(self, text: str) -> None:
        self.event("reply", text=text)

    def part(self) -> None:
        """Nothing is joined anew here."""

    def join(self, sandbox: str) -> None:
        if sandbox != self.sandbox:
            self.sandbox = sandbox
            self.event("join", sandbox=sandbox)

    def authenticated(self, account: str, mechanism: str) -> None:
        self.event("auth", account=account, mechanism=mechanism)

    def close(self, reason: str = "") -> None:
        if not self.closed.is_set():
            self.event("closed", reason=reason)
            self.closed.set()

    def texts(self, kind: str) -> list[str]:
        return [fields["text"] for found, fields in self.events if found == kind]


class FakeAccounts:
    """Alice and bob."""

    def __init__(self) -> None:
        self.known = [
            Account(number, "default", name, "portyard.test", f"{name}-secret")
            for number, name in enumerate(("alice", "bob"), 1)
        ]

    def at(self, home: str) -> FakeAccounts:
        assert home == DEFAULT
        return self

    async def find(self, login: str) -> Account | None:
        return next((a for a in self.known if login in (a.local_part, a.address)), None)

    async def verify(self, login: str, password: str) -> Account | None:
        return next((a for a in self.known if login in (a.local_part, a.address) and a.password == password), None)


class FakeSandboxes:
    """`default`, `t1` and `t2`; each owns `<name>.test`."""

    def __init__(self) -> None:
        self.known = {name: Sandbox(name, 1, "any", (f"{name}.test",)) for name in (DEFAULT, "t1", "t2")}

    async def get(self, name: str) -> Sandbox | None:
        return self.known.get(name)

    async def owner(self, domain: str) -> Sandbox | None:
        return next((found for found in self.known.values() if domain in found.domains), None)


class FrozenClocks:
    """Every sandbox's clock stands."""

    def now(self, sandbox: str) -> datetime:
        return datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)

    def stamp(self, sandbox: str) -> float | None:
        return self.now(sandbox).timestamp()


@dataclass
class Served:
    """A running room: where it is, its yard, and the log of every connection so far."""

    port: int
    yard: Yard
    logs: list[FakeLog]
    hosting: Hosting

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def fake_yard(folder: Path, limits: Limits | None = None) -> Yard:
    return cast(
        "Yard",
        SimpleNamespace(
            settings=Settings(limits=limits or Limits()),
            clocks=FrozenClocks(),
            rng=random.Random(7),
            secret=b"s" * 32,
            accounts=FakeAccounts(),
            sandboxes=FakeSandboxes(),
            files=DiskFilestore(folder),
        ),
    )


@contextlib.asynccontextmanager
async def served(
    card: Card,
    open_service: Callable[[Yard, Service], Awaitable[Hosting]],
    folder: Path,
    limits: Limits | None = None,
) -> AsyncIterator[Served]:
    """The card's only service on an ephemeral loopback port."""
    service = card.services[0]
    yard = fake_yard(folder, limits)
    hosting = await open_service(yard, service)
    logs: list[FakeLog] = []

    def accept() -> asyncio.Protocol:
        log = FakeLog()
        logs.append(log)
        connection = Connection(service, service.ports[0], ("127.0.0.1", 0), ("127.0.0.1", 0), log)
        return hosting.protocol(connection)

    server = await asyncio.get_running_loop().create_server(accept, "127.0.0.1", 0)
    try:
        yield Served(server.sockets[0].getsockname()[1], yard, logs, hosting)
    finally:
        server.close()
        await hosting.close()
        await server.wait_closed()


@dataclass(frozen=True, slots=True)
class Ruled:
    """A whole yard with the room in it, and the rules that a test sets there."""

    place: YardServed
    card: Card

    @property
    def port(self) -> int:
        return self.place.port(self.card.services[0].ports[0].name)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def rule(self, on: str, then: object, sandbox: str = "default", **fields: object) -> None:
        """Set a rule as the control API does: held against what the room announces."""
        rule = make_rule(on, then, **fields)
        assert self.card.vocabulary is not None
        check(rule, {self.card.name: self.card.vocabulary})
        await self.place.yard.rules.add(sandbox, rule)

    async def hits(self, sandbox: str = "default") -> list[int]:
        await self.place.yard.rules.flush()
        return [stored.hits for stored in await self.place.yard.rules.load(sandbox)]

    async def talk(self, sandbox: str = "default") -> list[tuple[str, dict[str, object]]]:
        """Every event of the sandbox's first session, as kind and fields."""
        await self.place.yard.journal.flush()
        sessions = await self.place.yard.journal.sessions(sandbox, room=self.card.name)
        events = await self.place.yard.journal.events(sessions[-1].id) if sessions else []
        return [(event.kind, event.fields) for event in events]

    async def eventually(self, kind: str, sandbox: str = "default") -> list[tuple[str, dict[str, object]]]:
        """The first session's events, once the last one is of a kind."""
        while True:
            events = await self.talk(sandbox)
            if events and events[-1][0] == kind:
                return events
            await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def ruled_room(folder: Path, card: Card) -> AsyncIterator[Ruled]:
    """The room in a whole yard."""
    async with open_yard(folder) as yard, serve(yard, card) as place:
        yield Ruled(place, card)
