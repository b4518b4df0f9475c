"""A control connection that obeys rules: every command, every phase of a transfer and of the connection is asked about first.

While no rule is set anywhere each question is one look at a counter.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from portyard.commons.accounts.model import Account
from portyard.commons.scenario.actions import (
    Action,
    action_name,
)
from portyard.commons.scenario.engine import SessionGate
from portyard.commons.scenario.glance import Glance
from portyard.commons.scenario.model import Scalar, Verdict
from portyard.commons.tls.descriptions import alert_of
from portyard.commons.wire.obey import faults_of
from portyard.commons.yard import Connection
from portyard.ftp.commands import DATA_COMMANDS
from portyard.ftp.core.addresses import HostPort
from portyard.ftp.core.listing import strip_options
from portyard.ftp.core.verbs import BARE, NAMING, PATHS, PHASES, SELF_CONTAINED, fields_of, path_of, verb_of
from portyard.ftp.data import Passive
from portyard.ftp.private import Data
from portyard.ftp.scripted import HUNG_UP, Scripted
from portyard.ftp.session import Session
from portyard.ftp.tls import Terms, TlsChannel

if TYPE_CHECKING:
    from portyard.ftp.edge import Room

_CLAIMS = frozenset({"USER", "HOST"})  # they may name the sandbox whose rules are asked
_ALWAYS_ASKED = _CLAIMS | DATA_COMMANDS
_MARKED = frozenset({"RETR", "STOR"})  # they begin where REST said
# Between a transfer's 1xx and what a rule has its data connection's handshake be. curl sends its ClientHello early, and takes a handshake
# that fails before the 1xx was read for a port that can't be reached: it asks for another one and loses count of the replies.
APART_S = 0.15
_NO_PHASES: frozenset[str] = frozenset()
_NOTHING: dict[str, Scalar] = {}


class Ruled(Scripted):
    """See Session for the arguments.

    Attributes:
        phases: The phases of the transfer at hand that rules could mean.
        transfer_path: What it is about.
        transfer_command: In capitals.
    """

    def __init__(self, room: Room, connection: Connection, sock: socket.socket) -> None:
        self.phases = _NO_PHASES
        self.transfer_path = "/"
        self.transfer_command = ""
        self._lie: Verdict | None = None
        self._faults: tuple[Action, ...] | None = None
        self._kept: list[socket.socket] = []
        self._paths: Glance[str] | None = None  # where rules look at what commands name, once there is one
        super().__init__(room, connection, sock)
        if connection.unready is not None:
            connection.unready.reset = self._reset

    # Asking

    async def judged(self, verb: str, /, **fields: Scalar) -> Verdict | None:
        """What rules want; noted, and waited for as long as they want. None for what always happens."""
        if self.gate is None or self._hushed:
            return None
        verdict = await self.gate.ask(verb, **fields)
        if verdict is not None and not self._closed:
            does = [action_name(action) for action in verdict.actions]
            self.pen.event("fault", verb=verb, rule=verdict.rule, does=does)
            if verdict.delay_s:
                await asyncio.sleep(verdict.delay_s)
        return verdict

    def greet(self) -> None:
        """The greeting, unless rules want another."""
        if self.armed:
            self.wait_for(self._ask_greeting())
        else:
            super().greet()

    async def _ask_greeting(self) -> None:
        self._greeted = True
        verdict = await self.judged("greeting")
        await self._obey_verdict(verdict, super().greet)
        if verdict is not None and verdict.refuse is not None and not self._closed:
            self.reason = HUNG_UP
            self.close_when_done()

    def dispatch(self, text: str, verb: str, argument: str) -> None:
        """Ask, then obey a command; of somebody who is nobody any more none is, and no rule is asked."""
        account = self.account
        if account is not None and self._suspects(verb):
            self.wait_for(self._recognise(account, text, verb, argument))
        else:
            self._ask_and_obey(text, verb, argument)

    async def _recognise(self, account: Account, text: str, verb: str, argument: str) -> None:
        if await self._is_somebody(account):
            self._ask_and_obey(text, verb, argument)

    def _ask_and_obey(self, text: str, verb: str, argument: str) -> None:
        self.phases = _NO_PHASES
        if self._lie is not None and not self._transferring():
            self._lie = None
        gate = self.gate
        if gate is not None and gate.armed and self._heeds(gate, text, verb, argument):
            self.wait_for(self._ask_command(text, verb, argument))
        else:
            super().dispatch(text, verb, argument)

    def _heeds(self, gate: SessionGate, text: str, command: str, argument: str) -> bool:
        """Whether a command has to be asked about, which takes a task of its own."""
        verb = NAMING.get(command)
        if verb is not None:
            path = path_of(self.fs.cwd if self.authenticated else "/", argument)
            paths = self._paths
            if paths is None:
                paths = self._paths = Glance(gate, PATHS, "path", (), _path_field)
            return paths.heeds(path, path, ()) and gate.heeds(verb, {"path": path})
        if command in BARE:
            return gate.heeds(BARE[command], _NOTHING)
        if command in _ALWAYS_ASKED:
            return True
        verb = verb_of(command)
        fields = partial(self._fields_of, verb, command, argument)
        return gate.heeds(verb, fields, None, text if verb in SELF_CONTAINED else None)

    def _folder(self) -> str:
        return self.fs.cwd if self.authenticated else "/"

    def _fields_of(self, verb: str, command: str, argument: str) -> dict[str, Scalar]:
        named = strip_options(argument) if command in ("LIST", "NLST") else argument
        return fields_of(verb, command, named, self._folder(), self._restart_position)

    async def _ask_command(self, text: str, command: str, argument: str) -> None:
        await self._join_claimed(command, argument)
        if self._closed:  # by a rule at the data connection, while this waited
            return
        folder = self._folder()
        verb = verb_of(command)
        fields = self._fields_of(verb, command, argument)
        verdict = await self.judged(verb, **fields)
        if command in DATA_COMMANDS:
            self.transfer_path, self.transfer_command = str(fields.get("path", folder)), command
            self.phases = self._possible_phases()
        if command in _MARKED and verdict is not None and (verdict.refuse is not None or verdict.script is not None):
            self._restart_position = 0  # RFC 3659 §5.3: it is for the command behind it, whatever comes of that
        dispatch = super().dispatch
        await self._obey_verdict(verdict, lambda: dispatch(text, command, argument))
        self._stub = None

    async def _join_claimed(self, command: str, argument: str) -> None:
        """A name that is claimed names the sandbox whose rules are asked, before anything is granted."""
        sandbox = None
        if command == "USER":
            sandbox = await self.room.sandbox_of_login(argument, self.connection.home)
        elif command == "HOST" and not (self.authenticated or self.username):
            sandbox = await self.room.sandbox_of_host(argument)
        if sandbox is not None:
            self.join(sandbox)

    def _possible_phases(self) -> frozenset[str]:
        gate = self.room.yard.gate
        if self.gate is None or self.connection.gate is None:
            return frozenset()
        return frozenset(phase for phase in PHASES if not gate.nothing_for(self.gate.sandbox, "ftp", phase))

    # Obeying

    async def _obey_verdict(self, verdict: Verdict | None, answer: Callable[[], None]) -> None:
        """Do as is wanted in place of, or around, the true answer."""
        if self._closed or self._hushed:
            return
        if verdict is None:
            answer()
            return
        if verdict.faults:
            self.connection.arm(verdict.faults)
            if self._closed:
                return
        if verdict.script is not None:
            await self._play(verdict.script)
            return
        if verdict.refuse is not None:
            self._tell(verdict.refuse)
        elif verdict.say is not None:
            self._lie = verdict
            answer()
            return  # what else is wanted follows the lie
        elif verdict.respond is not None:
            self._stub = verdict.respond.body
            answer()
        elif not (verdict.silence or verdict.hang_up):
            answer()
        self._end_as(verdict)

    def _end_as(self, verdict: Verdict) -> None:
        if verdict.hang_up:
            self.hang_up()
        elif verdict.silence:
            self.hush()

    # Replies

    def respond(self, resp: str, logfun: object = None) -> None:
        """A reply, or the lie that a rule wants in its place: the preliminary reply's or the last one's."""
        lie = self._lie
        if self._hushed:
            return
        if lie is None or lie.say is None or lie.say.startswith("1") != resp.startswith("1"):
            super().respond(resp)
            return
        self._lie = None
        self._tell(lie.say)
        self._end_as(lie)

    def push(self, data: str) -> None:
        """The first lines of a reply of several; they go with the truth."""
        if not (self._hushed or (self._lie is not None and not self._transferring())):
            super().push(data)

    def say_at_the_end(self, verdict: Verdict) -> None:
        """The transfer's last reply will be a lie."""
        self._lie = verdict

    def _ended(self) -> None:
        for sock in self._kept:
            sock.close()
        self._kept.clear()
        super()._ended()

    # Data connections

    def dtp_handler(self, sock: socket.socket, channel: Session) -> Data:
        """A data connection; where faults may be put on it, the relay is between."""
        if self._faults is None:
            data = Data(sock, self)
            if self._dtp_connector is not None and data.connected:
                data.untold = "local_port", sock.getsockname()[1]
            return data
        faults, self._faults = self._faults, None
        client = socket.socket(
            fileno=sock.detach()
        )  # the relay's alone: the library closes an active connection's twice
        client.setblocking(False)
        try:
            peer, own = client.getpeername(), client.getsockname()
            relay = self.room.wire.put_in(client, peer, faults_of(faults), note=self._note_fault, held=True)
        except OSError as error:  # out of descriptors
            self.note_error(f"no relay for a data connection: {error.strerror}")
            return Data(client, self)
        data = Data(relay.sock, self)
        data.untold = ("peer_port", peer[1]) if self._dtp_connector is None else ("local_port", own[1])
        data.bring(relay, faults)
        return data

    def _note_fault(self, fault: str, direction: str, octets: int) -> None:
        self.pen.event("fault", does=[fault], direction=direction, octets=octets, channel="data")

    def take_data(self, acceptor: Passive, sock: socket.socket, address: tuple[Any, ...]) -> None:
        """The client's data connection came."""
        if self.armed:
            self.room.yard.spawn(self._ask_passive(acceptor, sock, address))
        else:
            super().take_data(acceptor, sock, address)

    async def _ask_passive(self, acceptor: Passive, sock: socket.socket, address: tuple[Any, ...]) -> None:
        try:
            verdict = await self._ask_data("passive")
        except asyncio.CancelledError:  # the service closes
            sock.close()
            raise
        wanted = not self._closed and self._dtp_acceptor is acceptor
        if not wanted:
            sock.close()
        elif verdict is not None and verdict.refuse is not None:
            sock.close()
            self._dtp_acceptor = None
            if self.drop_pending():
                self._tell(verdict.refuse)
                self._work()
            else:
                self.no_data = verdict.refuse
        elif verdict is not None and (verdict.silence or verdict.hang_up):
            self._kept.append(sock)
        else:
            super().take_data(acceptor, sock, address)
        if wanted and verdict is not None:
            self._end_as(verdict)

    def connect_to(self, target: HostPort) -> None:
        """Make an active data connection."""
        if self.armed:
            self.wait_for(self._ask_active(target))
        else:
            super().connect_to(target)

    async def _ask_active(self, target: HostPort) -> None:
        connect = super().connect_to
        verdict = await self._ask_data("active")
        if verdict is None:
            connect(target)
        elif verdict.refuse is not None:
            self._tell(verdict.refuse)
            self._end_as(verdict)
        elif verdict.silence or verdict.hang_up:
            self._end_as(verdict)
        else:
            connect(target)

    async def _ask_data(self, mode: str) -> Verdict | None:
        """Ask about a data connection, and see whether faults may ever be put on it."""
        verdict = await self.judged("data_connect", mode=mode)
        self._faults = verdict.faults if verdict is not None else ()
        sandbox = self.gate.sandbox if self.gate is not None else ""
        if not self._faults and not await self.room.yard.gate.asks_for_bytes("ftp", sandbox):
            self._faults = None
        return verdict

    # TLS

    async def choose_terms(self, channel: str, server_name: str, asking: TlsChannel) -> Terms | None:
        """See Session; by rule before all."""
        verdict = None
        if self.armed:
            verdict = await self.judged("tls", server_name=server_name, channel=channel)
        if verdict is None:
            return await super().choose_terms(channel, server_name, asking)
        if verdict.silence:  # the handshake stalls until its time is up
            return None
        if channel == "data":
            await asyncio.sleep(APART_S)
        if verdict.refuse is not None:
            asking.refuse_handshake(alert_of(verdict.refuse))
            return None
        if verdict.hang_up:
            asking.handle_tls_failed(OSError("hung up, as a rule wants it"))
            return None
        if verdict.recipe is not None:
            return await self.terms_of(verdict.recipe, asking)
        return await super().choose_terms(channel, server_name, asking)


def _path_field(path: str) -> dict[str, Scalar]:
    return {"path": path}
