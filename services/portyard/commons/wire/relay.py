"""The relay that is put between a client and its room when a fault is asked for.

    client ⇄ [accepted socket] relay [near end] ⇄ [far end] room

The far end is handed to the room as if it had been accepted. How each side ends is passed on as it was: a FIN ends one direction, a RST
both; a peer that closed altogether answers later octets by a RST, and so does the relay.
"""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Callable, Iterable

from portyard.commons.wire.obey import faults_of
from portyard.commons.wire.pair import Address, RelayedSocket
from portyard.commons.wire.sockets import is_gone, probe, reset_now, unacknowledged
from portyard.commons.wire.units import Direction, End, Fault, How
from portyard.commons.wire.way import Way

CUT_LINGER_S = 2.0  # how long a cut connection's peers may go on sending: unread octets would turn the FIN into a RST
RESET_WAIT_S = 2.0  # how long a RST waits for what was sent before it to be acknowledged
_LOOK_S = 0.001  # no event tells of an acknowledgement

Note = Callable[[str, Direction, int], None]
"""Told of a fault that ended the connection or a direction: its name, the direction, and the octets that were carried."""


class Relay:
    """One relayed connection.

    Args:
        client: The accepted socket; the relay's from now on.
        near: The near end of the pair.
        far: Its far end, the room's.
        rng: The faults' chance.
        scratch: What every relay of this loop reads into.
        over: Told when the connection is over and both sockets are closed.
        note: See Note.

    Attributes:
        sock: What the room is given.
        peer: The client's address.
        closed: Whether it is over.
    """

    def __init__(
        self,
        client: socket.socket,
        near: socket.socket,
        far: RelayedSocket,
        rng: random.Random,
        scratch: bytearray,
        over: Callable[[Relay], None],
        note: Note | None = None,
    ) -> None:
        self.sock = far
        self.peer: Address = far.getpeername()
        self.closed = False
        self._client = client
        self._near = near
        self._rng = rng
        self._over = over
        self._note = note
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._resetting = self._winding_up = False
        self._up = Way("up", client, near, self, scratch)
        self._down = Way("down", near, client, self, scratch)

    # What its owner asks.

    def start(self) -> None:
        """Begin to carry."""
        for way in (self._up, self._down):
            if not self._ending:
                way.start()

    def hold_up(self) -> None:
        """Carry nothing more up until `let_up`, but what `admit` and `admit_record` let pass."""
        self._up.hold()

    def admit(self, octets: int, taken: Callable[[], None] | None = None) -> None:
        """Carry so many octets more up, where that is held.

        Args:
            octets: How many.
            taken: Called when they were read from the client, though faults may keep them from the room for long.
        """
        if self._up.intake is not None:
            self._up.intake.admit(octets, taken)
            self._up.mind_intake()

    def admit_record(self) -> None:
        """Carry the next TLS record up, where that is held and no other is under way."""
        if self._up.intake is not None:
            self._up.intake.admit_record()
            self._up.mind_intake()

    def let_up(self) -> None:
        """Carry everything up from now on."""
        self._up.let_go()

    def arm(self, fault: Fault, *directions: Direction) -> None:
        """Put a fault behind those that are armed already.

        What was sent to the relay before is carried without it; octets are counted from now on. Does nothing to a connection that is over.

        Args:
            fault: It.
            directions: Where; each direction has a flow of its own.
        """
        for direction in directions:
            if not self._ending:
                (self._up if direction == "up" else self._down).arm(fault, self._rng)

    def obey(self, actions: Iterable[object]) -> None:
        """Arm what a rule's actions of the bytes gate ask for.

        uvloop's transports write at the end of the loop's turn: whoever has just written by one lets a turn pass before, or those octets
        count as later ones.
        """
        for direction, fault in faults_of(actions):
            self.arm(fault, direction)

    def has(self, fault: Fault, direction: Direction) -> bool:
        """Whether such a fault is at work there, or still to strike."""
        return (self._up if direction == "up" else self._down).has(fault)

    def when_over(self, direction: Direction, tell: Callable[[], None]) -> None:
        """Have somebody told, once and in a later turn of the loop, that nothing more is carried there.

        Its end was passed on, or the connection is over.
        """
        way = self._up if direction == "up" else self._down
        if way.over or self.closed:
            self._loop.call_soon(tell)
        else:
            way.told = tell

    def carried(self, direction: Direction) -> int:
        """Octets that were passed on so far."""
        return (self._up if direction == "up" else self._down).carried

    def tend(self) -> None:
        """Look for a peer that left without a word that could be read; to be called every second or so."""
        for way, other in ((self._up, self._down), (self._down, self._up)):
            if self._ending or not way.quiet or not is_gone(way.source):
                continue
            if not way.input_over or way.stuck:  # behind an end that is never told
                way.source_lost()
            elif way.over:
                self.close()
            elif not other.over:
                other.drop()

    def wind_up(self) -> None:
        """The service closes: as soon as the room has closed its end, send what it said, waiting for nobody, and close."""
        self._winding_up = True
        if self._down.input_over:
            self._wind_up_now()

    def close(self) -> None:
        """Close both sockets at once, by FIN where nothing is unread."""
        self._end(socket.socket.close)

    # What its ways tell.

    def ended(self, way: Way, end: End) -> None:
        """See Owner."""
        if end.fault and self._note is not None:
            self._note(end.fault, way.direction, way.carried)
        match end.how:
            case How.FIN:
                self._close_when_over()
            case How.CLOSE:
                self._cut(way)
            case How.RESET:
                self._reset()

    def input_ended(self, way: Way) -> None:
        """See Owner."""
        self._other(way).wary = True
        if way is self._down:  # nobody is left to let anything pass
            self.let_up()
        probe(way.source)
        if self._winding_up and way is self._down:
            self._wind_up_now()
        else:
            self._close_when_over()

    def target_lost(self, way: Way) -> None:
        """See Owner."""
        way.drop()
        self._other(way).source_lost()

    # Ends.

    @property
    def _ending(self) -> bool:
        return self.closed or self._resetting

    def _other(self, way: Way) -> Way:
        return self._down if way is self._up else self._up

    def _close_when_over(self) -> None:
        if all(way.over and way.input_over for way in (self._up, self._down)):
            self.close()

    def _cut(self, way: Way) -> None:
        way.finish()
        other = self._other(way)
        other.flush()
        other.finish()
        if not self._ending:
            self._timer = self._loop.call_later(CUT_LINGER_S, self.close)
            self._close_when_over()

    def _wind_up_now(self) -> None:
        if not self._ending:
            self._down.flush()
            self._down.finish()
        self.close()

    def _reset(self) -> None:
        if self._ending:
            return
        self._resetting = True
        for way in (self._up, self._down):
            way.close()
        self._reset_when_acknowledged(self._loop.time() + RESET_WAIT_S)

    def _reset_when_acknowledged(self, deadline: float) -> None:
        if self.closed:
            return
        waiting = unacknowledged(self._client) or unacknowledged(self._near)
        if waiting and self._loop.time() < deadline:
            self._timer = self._loop.call_later(_LOOK_S, self._reset_when_acknowledged, deadline)
        else:
            self._end(reset_now)

    def _end(self, close: Callable[[socket.socket], None]) -> None:
        if self.closed:
            return
        self.closed = True
        if self._timer is not None:
            self._timer.cancel()
        for way in (self._up, self._down):
            way.close()
        close(self._client)
        close(self._near)
        self._over(self)
