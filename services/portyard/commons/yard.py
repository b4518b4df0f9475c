"""What a room is given when it opens: the yard it stands in. Every field is an interface, so a test gives what it likes."""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from portyard.commons.accounts.model import Accounts
from portyard.commons.card import Port, Service
from portyard.commons.clock import Clock
from portyard.commons.clocks import SqlClocks
from portyard.commons.database.engine import Database
from portyard.commons.directory import Directory
from portyard.commons.filestore.model import Filestore
from portyard.commons.journal.model import Journal, SessionLog
from portyard.commons.mailstore.model import Mailstore, Watcher
from portyard.commons.sandbox.model import DEFAULT, Sandboxes
from portyard.commons.scenario.engine import Gate, SessionGate
from portyard.commons.scenario.store import SqlRules
from portyard.commons.settings import Settings
from portyard.commons.unready import Unready


@dataclass(frozen=True, slots=True)
class Connection:
    """An accepted connection, identified.

    Attributes:
        service: The service whose listener took it.
        port: The listener's entry on the card (its `tls` mode and name).
        peer: The client's address and port.
        local: Our address and port.
        log: The session's pen; `opened` is noted already, `close` is the room's duty when the connection ends.
        gate: The session's gate: what the rules want of it.
        arm: Puts faults of bytes (`commons.scenario.actions`) on the connection, or has the journal tell that it can't.
        home: The sandbox whose listener took it: what names no sandbox means this one.
        unready: What `arm` does where no relay stands before the room, or None: who adopts the socket tells it how to send a RST.
    """

    service: Service
    port: Port
    peer: tuple[str, int]
    local: tuple[str, int]
    log: SessionLog
    gate: SessionGate | None = None
    arm: Callable[[tuple[object, ...]], None] = lambda _: None
    home: str = DEFAULT
    unready: Unready | None = None

    @property
    def sandbox(self) -> str:
        """Which one it is in by now: its listener's, until TLS named another."""
        return self.home if self.gate is None else self.gate.sandbox


class Tls(Protocol):
    """The one TLS setup: certificates and the layer over a plain transport."""

    @property
    def ca_pem(self) -> bytes:
        """The CA's certificate."""

    def crl_pem(self) -> bytes:
        """The CA's list of revoked certificates, PEM. May sign: call it off the loop."""

    def crl_der(self) -> bytes:
        """The same in DER, as `application/pkix-crl`. May sign: call it off the loop."""

    def ocsp_response(self, request: bytes) -> bytes:
        """The answer to an OCSP request, DER both (RFC 6960). Signs: call it off the loop."""

    def prepare(self) -> None:
        """Make what every handshake needs, where that was put off. Not for a loop's thread."""

    def server_context(self, recipe: str = "good") -> ssl.SSLContext:
        """The context of a named certificate."""

    async def context_for(self, recipe: str = "good") -> ssl.SSLContext:
        """The same, off the loop where it has to be made first."""

    async def join(self, connection: Connection, server_name: str) -> None:
        """Let a connection join the sandbox whose domain its client named (SNI), and put that domain on the good leaf."""

    def client_context(self) -> ssl.SSLContext:
        """A context that trusts the CA, for hops inside the testbed."""

    def certificate_files(self, recipe: str = "good") -> tuple[Path, Path]:
        """The chain's and the key's file, for libraries that want paths."""

    def implicit(self, protocol: asyncio.Protocol, connection: Connection) -> asyncio.BaseProtocol:
        """The layer for a port that speaks TLS from the first octet; `protocol.connection_made` follows a good handshake."""

    async def upgrade(
        self,
        transport: asyncio.Transport,
        protocol: asyncio.Protocol,
        connection: Connection,
        pending: bytes = b"",
    ) -> asyncio.Transport:
        """Upgrade an accepted connection; returns the transport to use from now on. The plaintext buffer was dropped before.

        `pending` are octets that came after the word that invited the handshake: the head of the ClientHello.

        Raises:
            ssl.SSLError, ConnectionError, TimeoutError: The handshake failed; the connection is closed and the journal told.
        """

    async def upgrade_client(
        self, transport: asyncio.Transport, protocol: asyncio.Protocol, server_hostname: str
    ) -> asyncio.Transport:
        """Upgrade a connection that we made, verifying against the CA."""


class Handler(Protocol):
    """A running room service. `factory` on its card makes one: `async (yard, service) -> Handler`.

    A handler that drives sockets by itself (not through asyncio transports) has `adopt` instead of being asked for a protocol, and sets
    `adopts = True`.
    """

    adopts: bool

    def protocol(self, connection: Connection) -> asyncio.Protocol:
        """The protocol for an accepted connection (TLS of an implicit port is already below it)."""

    def adopt(self, connection: Connection, sock: object) -> None:
        """Take over a raw, non-blocking, accepted socket (handlers with `adopts = True`)."""

    def datagram(self, connection_port: Port) -> asyncio.DatagramProtocol:
        """The protocol of a UDP port."""

    async def close(self) -> None:
        """Stop background work; connections are closed by then."""


@dataclass(frozen=True, slots=True)
class Yard:
    """What rooms share.

    Attributes:
        settings: The validated settings.
        clock: The testbed's time.
        rng: Seeded chance.
        state: The state directory.
        secret: 32 octets of the state directory by which testbed processes prove themselves to each other.
        rules: The rules of every sandbox.
        gate: The process's gate.
        clocks: Every sandbox's time.
        spawn: Starts a background task that is awaited (cancelled) at close and whose failure is logged.
        settle: Returns once what any process of the state directory has noted by now is readable.
    """

    settings: Settings
    clock: Clock
    rng: random.Random
    state: Path
    secret: bytes
    journal: Journal
    accounts: Accounts
    sandboxes: Sandboxes
    mail: Mailstore
    watcher: Watcher
    files: Filestore
    tls: Tls
    directory: Directory
    mail_database: Database
    control_database: Database
    rules: SqlRules
    gate: Gate
    clocks: SqlClocks
    spawn: Callable[[Coroutine[Any, Any, None]], None]
    settle: Callable[[], Awaitable[None]]
