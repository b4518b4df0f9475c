"""The room on asyncio: an aiosmtpd server object for each connection, with our core, framing and TLS layer in place of its loop."""

from __future__ import annotations

import asyncio
import itertools
import logging
import uuid
from collections.abc import Coroutine, Sequence
from functools import partial
from typing import Any

from aiosmtpd.smtp import MISSING, SMTP
from aiosmtpd.smtp import Session as AiosmtpdSession

from portyard.commons.card import Port, Service, TlsMode
from portyard.commons.conversation import Conversation
from portyard.commons.conversations import UnderWay, ended_where_it_cannot_begin
from portyard.commons.locks import Locks
from portyard.commons.records.sql import COUNTER as RECORDS
from portyard.commons.sandbox.sql import COUNTER as SANDBOXES
from portyard.commons.scenario.personas import facts, worn
from portyard.commons.scenario.quirks import Seats
from portyard.commons.stream import Stream
from portyard.commons.yard import Connection, Handler, Yard
from portyard.smtp.core.context import Context, Limits, Role, limits_with, role_with
from portyard.smtp.core.framing import Framing
from portyard.smtp.core.hop import print_pass
from portyard.smtp.core.model import Peer
from portyard.smtp.core.quirks import Quirks
from portyard.smtp.core.roles.mda import Delivery
from portyard.smtp.core.roles.msa import Submission
from portyard.smtp.core.roles.mta import Exchange
from portyard.smtp.core.session import Session
from portyard.smtp.core.stores import Door
from portyard.smtp.courier import LocalCourier, MxCourier
from portyard.smtp.hooks import HookedDoor
from portyard.smtp.outlet import Outlets
from portyard.smtp.relay import SCHEDULE_S, Plan, Relay
from portyard.smtp.resolver import DnsResolver, Resolver, load_dns
from portyard.smtp.spool import SqlSpool

PARTING = b"421 4.3.2 the service is stopping or failed\r\n"


async def open_service(
    yard: Yard,
    service: Service,
    *,
    resolver: Resolver | None = None,
    schedule_s: Sequence[float] = (),
    handler: object = None,
) -> Handler:
    """The room's factory, see its card.

    Args:
        yard: The yard.
        service: "msa", "mta" or "mda".
        resolver: Finds a domain's servers; the DNS room's when None.
        schedule_s: Seconds between tries, on each sandbox's clock; the settings' when empty, or else the built-in ones.
        handler: An aiosmtpd handler whose hooks are asked first.
    """
    logging.getLogger("mail.log").setLevel(logging.WARNING)  # aiosmtpd's own talk of what it would do
    host = f"{service.name}.{yard.settings.domain}"
    if service.role == "mda":
        return SmtpService(
            yard, service, host, Delivery(yard.sandboxes, yard.accounts, yard.mail, yard.clocks, host), handler
        )

    def now(sandbox: str) -> float:
        return yard.clocks.now(sandbox).timestamp()

    relay = Relay(
        Plan(service.role, yard.secret, now, schedule_s or yard.settings.retry_s or SCHEDULE_S),
        LocalCourier(yard.directory)
        if service.role == "mta"
        else MxCourier(yard.directory, resolver or _resolver(yard), yard.sandboxes, yard.settings.relay_allow),
        Outlets(host, yard.tls, print_pass(yard.secret), yard.gate.insiders),
        yard.sandboxes,
        Locks(yard.state / "locks"),
    )
    spool = await SqlSpool.open(yard.mail_database, service.role, yard.state / "spool", now, relay.backlog, relay.wake)
    if service.role == "mta":
        door: Door = Exchange(yard.sandboxes, yard.accounts, spool, yard.clocks, host)
    else:
        door = Submission(yard.sandboxes, spool, yard.clocks, host)
    room = SmtpService(yard, service, host, door, handler)
    room.start(relay.run(spool))
    if service.role == "msa" and resolver is None:
        yard.spawn(asyncio.to_thread(load_dns))
    return room


def _resolver(yard: Yard) -> DnsResolver:
    """What asks the DNS room, and remembers while nothing changes that it answers from; rules may have it lie each time."""
    records = yard.control_database.reader(RECORDS)
    sandboxes = yard.control_database.reader(SANDBOXES)

    def state() -> tuple[object, bool]:
        return (records(), sandboxes(), yard.directory.generation), not yard.gate.armed

    return DnsResolver(yard.directory, yard.gate.insiders, state)


class SmtpService:
    """A running role: makes a conversation for each connection, and runs its relay. See Handler."""

    adopts = False

    def __init__(self, yard: Yard, service: Service, host: str, door: Door, handler: object = None) -> None:
        self.yard = yard
        self.role = Role(
            name=service.role,
            host=host,
            lmtp=service.role == "mda",
            auth=service.role == "msa",
            require_tls=yard.settings.require_tls and service.role == "msa",
        )
        self.limits = Limits(message=yard.settings.limits.message, recipients=yard.settings.limits.recipients)
        self.door = door
        self.seats = Seats()
        self.handler = handler
        self.under_way = UnderWay()
        # True chance once for each process, then a count: an id that came twice would lose mail, and chance costs a system call.
        self._ids = (f"{prefix}{number:08x}" for prefix in (uuid.uuid4().hex,) for number in itertools.count(1))
        self._relay: asyncio.Task[None] | None = None

    def start(self, relaying: Coroutine[Any, Any, None]) -> None:
        """Run the relay until `close`; the yard hears of its failure."""
        self._relay = asyncio.get_running_loop().create_task(relaying)
        self.yard.spawn(_watch(self._relay))

    def mint(self) -> str:
        """A delivery id."""
        return next(self._ids)

    def protocol(self, connection: Connection) -> asyncio.Protocol:
        """See Handler."""
        return SmtpServer(self, connection)

    def adopt(self, connection: Connection, sock: object) -> None:
        """See Handler; never called, `adopts` is False."""
        raise NotImplementedError

    def datagram(self, connection_port: Port) -> asyncio.DatagramProtocol:
        """See Handler; there is no UDP port."""
        raise NotImplementedError

    async def close(self) -> None:
        """End every conversation with its parting word, then the relay; what it had under way stays in the spool."""
        await self.under_way.close()
        if self._relay is not None:
            self._relay.cancel()
            await asyncio.wait((self._relay,))


class SmtpServer(SMTP):
    """One connection. What aiosmtpd keeps of it (`session`, `envelope`, `transport`, the handler's hooks) is true; who reads and answers is
    the conversation: aiosmtpd's own loop, line by line, is never started.
    """  # noqa: D205

    def __init__(self, service: SmtpService, connection: Connection) -> None:
        super().__init__(
            service.handler,
            data_size_limit=service.limits.message,
            enable_SMTPUTF8=True,
            hostname=service.role.host,
            ident="Portyard",
            loop=asyncio.get_running_loop(),
        )
        self._service = service
        self._connection = connection
        self._stream = Stream(self._converse, service.under_way.started, service.under_way.lingering)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.BaseProtocol."""
        self.transport = transport
        self._begin_session()
        self.envelope = self._create_envelope()
        self._stream.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        self._stream.data_received(data)

    def eof_received(self) -> bool | None:
        """See asyncio.Protocol."""
        return self._stream.eof_received()

    def connection_lost(self, error: Exception | None) -> None:
        """See asyncio.BaseProtocol."""
        self.transport = None
        self._stream.connection_lost(error)

    def pause_writing(self) -> None:
        """See asyncio.BaseProtocol."""
        self._stream.pause_writing()

    def resume_writing(self) -> None:
        """See asyncio.BaseProtocol."""
        self._stream.resume_writing()

    async def call_hook(self, command: str, *arguments: Any) -> str | None:  # noqa: ANN401 - aiosmtpd's own type
        """A hook's status, or None where the handler has no such hook."""
        status = await self._call_handler_hook(command, *arguments)
        return None if status is MISSING else str(status)

    def new_envelope(self) -> Any:  # noqa: ANN401 - aiosmtpd's own type
        """Begin an empty envelope."""
        self.envelope = self._create_envelope()
        return self.envelope

    async def _converse(self, stream: Stream) -> None:
        """Run the core on this connection until somebody closes."""
        connection = self._connection
        with ended_where_it_cannot_begin(connection, stream):
            session = Session(self._context())
        await Conversation(
            stream,
            session,
            Framing(),
            connection.log,
            upgrade=self._upgrade,
            parting=PARTING,
            gate=connection.gate,
            arm=connection.arm,
            shown=self._service.yard.settings.limits.journal_reply,
        ).run()

    def _context(self) -> Context:
        """What the core is told of this connection."""
        service, connection, yard = self._service, self._connection, self._service.yard
        quirks = worn(connection.gate, Quirks)
        return Context(
            role=role_with(service.role, quirks),
            limits=limits_with(service.limits, quirks),
            accounts=yard.accounts.at(connection.home),
            door=service.door if service.handler is None else HookedDoor(service.door, self),
            secret=yard.secret,
            mint=service.mint,
            join=partial(join, connection, also=not service.role.auth),
            part=connection.log.part,
            peer=Peer(connection.peer[0], tls=self._tls_below(), home=connection.home),
            gate=connection.gate,
            quirks=quirks,
            facts=facts(service.role.host, connection.peer[0], connection.log.id, yard.clocks.now(connection.sandbox)),
            seats=service.seats,
        )

    def _begin_session(self) -> AiosmtpdSession:
        self.session = session = self._create_session()
        session.peer = self._connection.peer  # type: ignore[assignment]  # aiosmtpd, too, puts the address pair here
        return session

    def _tls_below(self) -> str:
        """What the trace says of TLS on a port that speaks it from the first octet."""
        if self._connection.port.tls is not TlsMode.IMPLICIT:
            return ""
        ssl_object = self._stream.info("ssl_object")
        if ssl_object is None:  # a rule has the port speak in plaintext
            return ""
        name, *_ = ssl_object.cipher() or ("",)
        return f"{ssl_object.version()} {name}"

    async def _upgrade(
        self, transport: asyncio.Transport, protocol: asyncio.Protocol, pending: bytes
    ) -> asyncio.Transport:
        self.transport = await self._service.yard.tls.upgrade(transport, protocol, self._connection, pending)
        session = self._begin_session()  # RFC 3207 §4.2
        session.ssl = {"ssl_object": self.transport.get_extra_info("ssl_object")}
        return self.transport


def join(connection: Connection, sandbox: str, *, also: bool) -> None:
    """The session belongs to a sandbox, or (by a recipient) to one more."""
    connection.log.join(sandbox, also=also)
    if connection.gate is not None:
        connection.gate.sandbox = sandbox


async def _watch(task: asyncio.Task[None]) -> None:
    await asyncio.wait((task,))
    if not task.cancelled():
        task.result()
