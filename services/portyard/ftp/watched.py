"""Data connections that ask before each piece: what rules want done between the 150 and the 226.

A transfer that no rule can mean is never watched, and goes at its full speed.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from typing import Any

from msgspec import UNSET
from msgspec.structs import replace

from portyard.commons.scenario.actions import Action, Bandwidth, Corrupt, CutAfter, HalfClose, Latency, Reset, Slice
from portyard.commons.scenario.model import Scalar, Verdict
from portyard.commons.unready import tell_unready
from portyard.commons.wire.obey import faults_of
from portyard.commons.wire.relay import Relay
from portyard.commons.wire.units import Fault
from portyard.ftp.data import CHUNK, PlainData
from portyard.ftp.tls import half_close

PIECE = 4096  # octets that are sent or read between two questions
UNASKED = 1 << 62
_ONE_WAY = (CutAfter, Reset, HalfClose, Corrupt)
_STEADY = (Latency, Bandwidth, Slice)  # they do the same to every octet, for good


class WatchedData(PlainData):
    """A data connection that obeys rules.

    Attributes:
        relay: What faults of bytes are put on; None where no rule had any when the connection was made.
    """

    handshaking = False
    tls_requested = False

    def __init__(self, sock: socket.socket, cmd_channel: Any) -> None:  # noqa: ANN401 - pyftpdlib's, untyped
        self.relay: Relay | None = None
        self._phases: frozenset[str] = frozenset()
        self._holds = 0
        self._opened = False
        self._completed = False
        self._draining = False  # all was sent, and faults still keep some of it
        self._permitted = 0
        self._steady = False  # whether such a fault is on what the client sends
        self._passing: set[Fault] = set()  # the others there: each strikes once, and then may be asked for again
        self._asked = 0  # octets that an upload's relay has leave to carry
        self._foreseen: Verdict | None = None  # what ends an upload as soon as those have arrived
        self._early: list[Action] = []  # faults from before it was known which way the data goes
        super().__init__(sock, cmd_channel)

    # A transfer begins

    def push_with_producer(self, producer: Any) -> None:  # noqa: ANN401 - pyftpdlib's, untyped
        """Begin a download or a listing."""
        self._phases = self.cmd_channel.phases
        self._let_up()
        super().push_with_producer(producer)

    def enable_receiving(self, type: str, cmd: str) -> None:  # noqa: A002 - pyftpdlib's name
        """Begin an upload."""
        super().enable_receiving(type, cmd)
        self._phases = self.cmd_channel.phases
        if self.relay is not None:
            self._arm(self.relay, _follow_upload(self._early))
        if self.handshaking:
            return
        if self._phases:
            self._hold()
        else:
            self._let_up()

    def use_sendfile(self) -> bool:
        """Not where pieces are asked about."""
        return bool(not self._phases and super().use_sendfile())

    # Pieces

    def initiate_send(self) -> None:
        """Send what there is leave for."""
        if self._holds:
            self.modify_ioloop_events(0)
        elif not self._phases:
            super().initiate_send()
        elif self.handshaking:  # asked when something can be sent
            return
        elif self._permitted <= 0:
            self._hold()
        else:
            before = self.tot_bytes_sent
            self.ac_out_buffer_size = min(self._permitted, CHUNK)
            super().initiate_send()
            self._permitted -= self.tot_bytes_sent - before

    def handle_read(self) -> None:
        """Take what there is leave for."""
        if self._holds:
            self.modify_ioloop_events(0)
        elif not self._phases:
            super().handle_read()
        else:
            self._take_permitted()

    handle_read_event = handle_read

    def _take_permitted(self) -> None:
        while self._permitted > 0 and not self._holds:
            before = self.tot_bytes_received
            if not self._take(min(self._permitted, self.ac_in_buffer_size)):
                return
            self._permitted -= self.tot_bytes_received - before
        if not self._holds:  # at once: what TLS has decrypted already makes no socket readable
            self._hold()

    def handle_close(self) -> None:
        """The peer ended it, or everything is sent: the last moment at which a rule can change the outcome."""
        whole = self.receive or not self.producer_fifo
        if "complete" not in self._phases or self._completed or self._closed or not whole:
            self._finish(whole)
            return
        self._completed = True
        self.hold()
        self.cmd_channel.room.yard.spawn(self._complete())

    async def _complete(self) -> None:
        if await self.judge("complete", **self._fields()):
            self._finish(True)

    def _finish(self, whole: bool) -> None:
        """Close and reply; a download's client has been told its end by then, however long a fault keeps that back (RFC 959 §5.1)."""
        relay = self.relay
        if relay is None or self.receive or self._closed or self._draining or not (whole and self._end_sending()):
            super().handle_close()
            return
        self._draining = True
        self._lastdata = relay.carried("down")
        self.hold()
        relay.when_over("down", self._drained)

    def _end_sending(self) -> bool:
        """Whether the client was told, as far as the relay, that nothing more comes."""
        try:
            half_close(self.socket)
        except OSError:
            return False
        return True

    def _drained(self) -> None:
        if not self._closed:
            self.discard_buffers()  # of a file with nothing in it the end came before it was asked for, and that would count as unsent
            super().handle_close()

    def _moved(self) -> int:
        if self._draining and self.relay is not None:
            return self.relay.carried("down")
        return super()._moved()

    # Asking

    def hold(self) -> None:
        """Carry nothing until `release`."""
        self._holds += 1
        self.modify_ioloop_events(0)

    def release(self) -> None:
        """The other half of `hold`."""
        self._holds -= 1
        if self._holds or self._closed or not self._initialized:
            return
        if not self._phases or not self.receive:
            self._let_up()
        if self.receive:
            self.modify_ioloop_events(self.ioloop.READ)
            self.ioloop._call(self, self.handle_read_event)
        else:
            self.modify_ioloop_events(self.ioloop.WRITE)
            self.ioloop._call(self, self.handle_write_event)

    def _hold(self) -> None:
        self.hold()
        self.cmd_channel.room.yard.spawn(self._consider())

    async def _consider(self) -> None:
        if not self._opened:
            self._opened = True
            if "transfer" in self._phases and not await self.judge("transfer", **self._fields()):
                return
        self._permitted = UNASKED
        if "data" in self._phases:
            self._permitted = PIECE
            if not await self._judge_piece():
                return
        if self._permitted == UNASKED or self.tls_requested or self.relay is None:
            self._let_up()
        else:
            self._asked = self.tot_bytes_received
            self._admit(self.relay)
        self.release()

    async def _judge_piece(self) -> bool:
        verdict, self._foreseen = self._foreseen, None
        return await self.judge("data", **self._fields()) if verdict is None else self._obey(verdict)

    def _admit(self, relay: Relay) -> None:
        """Let one more piece come, and no octet behind it, so that a fault at the next piece meets all that follows.

        Where each octet is on its way for long, the next piece is asked about when this one has set out: were it asked about when this
        one has arrived, the line would carry one piece at a time. Before a fault that is still to strike nobody looks ahead.
        """
        self._asked += PIECE
        if self._steady and not any(relay.has(fault, "up") for fault in self._passing):
            self._permitted = UNASKED
            relay.admit(PIECE, self._set_out)
        else:
            self._permitted = self._asked - self.tot_bytes_received
            relay.admit(PIECE)

    def _set_out(self) -> None:
        if not (self._closed or self._holds):
            self.cmd_channel.room.yard.spawn(self._foresee())

    async def _foresee(self) -> None:
        """Ask about the piece that comes from the client next."""
        verdict = await self.cmd_channel.judged("data", **{**self._fields(), "octets": self._asked})
        if self._closed or self._holds or self.relay is None:
            return
        if verdict is not None and _is_last(verdict):
            self._foreseen = verdict
            self._permitted = self._asked - self.tot_bytes_received
            self.ioloop._call(self, self.handle_read_event)
        elif verdict is None or self._obey(verdict):
            self._admit(self.relay)

    def _let_up(self) -> None:
        """What rules have to say is known: the relay holds the client's octets no longer."""
        if self.relay is not None and not self.handshaking:
            self.relay.let_up()

    def bring(self, relay: Relay, faults: Iterable[Action]) -> None:
        """Have it know its relay, which holds what the client sends.

        Args:
            relay: It.
            faults: What is armed on it already.
        """
        self.relay = relay
        self._learn(faults)
        self._early += _one_way(faults)

    def _arm(self, relay: Relay, faults: Iterable[Action]) -> None:
        self._learn(faults)
        for direction, fault in faults_of(faults):
            relay.arm(fault, direction)

    def _learn(self, faults: Iterable[Action]) -> None:
        for action in faults:
            up = [fault for direction, fault in faults_of((action,)) if direction == "up"]
            if isinstance(action, _STEADY) or (isinstance(action, Corrupt) and action.chance):
                self._steady = self._steady or bool(up)
            else:
                self._passing.update(up)

    def _fields(self) -> dict[str, Scalar]:
        return {
            "path": self.cmd_channel.transfer_path if self.file_obj is None else self.file_obj.name,
            "command": self.cmd or self.cmd_channel.transfer_command,
            "direction": "up" if self.receive else "down",
            "octets": self.get_transmitted_bytes(),
        }

    async def judge(self, verb: str, **fields: Scalar) -> bool:
        """Ask, and do as is wanted; whether things take their course."""
        verdict = await self.cmd_channel.judged(verb, **fields)
        if self._closed:
            return False
        return verdict is None or self._obey(verdict)

    def _obey(self, verdict: Verdict) -> bool:
        if self.relay is None:
            tell_unready(self.cmd_channel.pen, verdict.faults)
        elif self._initialized:
            self._arm(self.relay, _follow_upload(verdict.faults) if self.receive else verdict.faults)
        else:
            self._early += _one_way(verdict.faults)
            self._arm(self.relay, verdict.faults)
        if verdict.refuse is not None:
            self.decline(verdict.refuse)
        if verdict.say is not None:
            self.cmd_channel.say_at_the_end(verdict)
            return True
        if verdict.hang_up:
            self.cmd_channel.hang_up()
        elif verdict.silence:
            self.cmd_channel.hush()
        return not _is_last(verdict)

    # What the control connection wants

    def decline(self, reply: str) -> None:
        """End it by a failing reply, which waits for the command when none was said yet."""
        if not self._initialized:
            self.cmd_channel.no_data = reply
            reply = ""
        self.abort(reply)

    def freeze(self) -> None:
        """Carry nothing any more; the connection stays open."""
        self.hold()
        if self._idler is not None:
            self._idler.cancel()

    def part(self) -> None:
        """Close cleanly in the midst of things; a reply isn't due."""
        self._told = self._ours = True
        self.transfer_finished = False
        self._resp = ()
        self.close()


def _is_last(verdict: Verdict) -> bool:
    return bool(verdict.refuse is not None or verdict.hang_up or verdict.silence)


def _follow_upload(faults: Iterable[Action]) -> list[Action]:
    """What faults mean on an upload: those of one direction go with the data, unless it is said which direction."""
    return [replace(fault, direction="up") if _is_free(fault) else fault for fault in faults]


def _one_way(faults: Iterable[Action]) -> list[Action]:
    return [fault for fault in faults if _is_free(fault)]


def _is_free(fault: Action) -> bool:
    return isinstance(fault, _ONE_WAY) and fault.direction is UNSET
