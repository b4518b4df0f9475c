"""One direction of a relay: reads one socket, passes units through the chain of faults, writes the other socket when they are due.

No task and no thread: callbacks of the loop's, the same on asyncio's own and on uvloop. Without a fault octets are copied at once, and wait
here only when the target doesn't take them.
"""

from __future__ import annotations

import asyncio
import random
import socket
from collections import deque
from collections.abc import Callable, Iterator
from typing import Protocol

from portyard.commons.wire.chain import Chain
from portyard.commons.wire.intake import Intake
from portyard.commons.wire.sockets import end_writing, is_gone
from portyard.commons.wire.units import FOREVER, Direction, End, Fault, How, Piece, Unit

PLAIN_WAITING = 256 * 1024  # octets that wait for a slow target; beyond it the source waits in TCP
DELAYED_WAITING = (
    1024 * 1024
)  # more under faults: a long line holds what is on its way (1 MiB a second at one second's delay)
UNITS_A_TURN = 64  # so that slices of one octet leave the loop to others


class Owner(Protocol):
    """Who owns a way: the relay."""

    def ended(self, way: Way, end: End) -> None:
        """An end came out of the chain; by FIN it is delivered already."""

    def input_ended(self, way: Way) -> None:
        """The source has no more to say."""

    def target_lost(self, way: Way) -> None:
        """The target can't be written to: its peer is gone."""


class Way:
    """Octets from a source to a target.

    Args:
        direction: Its name.
        source: What is read, non-blocking.
        target: What is written, non-blocking.
        owner: Told what matters to both ways.
        scratch: What every way of this loop reads into.

    Attributes:
        carried: Octets written so far.
        input_over: The source's end (or loss) was read.
        over: The target was told the end, or is lost; whatever is still read is dropped.
        stuck: What comes next never will.
        intake: What may be read while it is held; None where everything may.
        wary: The target has ended its own direction, and may have closed altogether: it would answer octets by a RST.
        told: Called once, when nothing is carried any more; None for nobody.
    """

    __slots__ = (
        "_chain",
        "_closed",
        "_loop",
        "_lost",
        "_octets",
        "_owner",
        "_queue",
        "_reading",
        "_scratch",
        "_sent_at",
        "_started",
        "_timer",
        "_unit",
        "_writing",
        "carried",
        "direction",
        "input_over",
        "intake",
        "over",
        "source",
        "stuck",
        "target",
        "told",
        "wary",
    )

    def __init__(
        self, direction: Direction, source: socket.socket, target: socket.socket, owner: Owner, scratch: bytearray
    ) -> None:
        self.direction = direction
        self.source = source
        self.target = target
        self.carried = 0
        self.input_over = self.over = self.stuck = self.wary = False
        self.intake: Intake | None = None
        self.told: Callable[[], None] | None = None
        self._owner = owner
        self._scratch = memoryview(scratch)
        self._loop = asyncio.get_running_loop()
        self._chain = Chain()
        self._queue: deque[Iterator[Unit]] = deque()
        self._unit: Unit | None = None  # the next one to be sent
        self._sent_at = 0.0
        self._octets = 0  # read and not yet sent
        self._timer: asyncio.Handle | None = None
        self._started = self._reading = self._writing = self._closed = self._lost = False

    # What the relay asks.

    def start(self) -> None:
        """Begin to read."""
        self._started = True
        self._mind_reading()

    def arm(self, fault: Fault, rng: random.Random) -> None:
        """Put a fault at the chain's end. It concerns what comes from now on: what the source has sent already passes without it.

        Does nothing where it is at work already: a rule may ask for it at each command of a connection.
        """
        if self.over or self._closed or self.has(fault):
            return
        for _ in range(UNITS_A_TURN):
            if not self._reading or self._full or not self._read_once():
                break
        if self.over or self._closed:
            return
        now = self._loop.time()
        self._chain = self._chain.and_then(fault, rng, now)
        self._queue.append(self._chain.begin(now))
        self._send_due()

    def has(self, fault: Fault) -> bool:
        """Whether it is at work, or still to strike."""
        return self._chain.has(fault, self._loop.time())

    def flush(self) -> None:
        """Send now what would have been sent in time, as far as the target takes it."""
        while not (self.over or self._closed):
            unit = self._next()
            if not isinstance(unit, Piece) or unit.at == FOREVER or not self._write(unit):
                return

    def finish(self) -> None:
        """End the target's input; drop what waits and what is still to come."""
        if not (self.over or self._closed):
            end_writing(self.target)
            self.drop()

    def drop(self) -> None:
        """Write nothing any more, and read only to see the end."""
        self.over = True
        self.stuck = False
        self._queue.clear()
        self._unit = None
        self._octets = 0
        self._disarm()
        self._mind_writing(wanted=False)
        self._mind_reading()
        self._tell()

    def hold(self) -> None:
        """Read nothing, not even the end, but what `intake` admits; what the source sends meanwhile waits in the kernel."""
        self.intake = Intake()
        self.mind_intake()

    def let_go(self) -> None:
        """Hold no longer."""
        self.intake = None
        self.mind_intake()

    def mind_intake(self) -> None:
        """To be called when `intake` admits more."""
        if self._started:
            self._mind_reading()

    def source_lost(self) -> None:
        """The source's peer is gone: carry what it said, then a RST."""
        self.intake = None
        self._lost = True  # a failed write has taken the error away, and reading meets a plain end
        while not (self.input_over or self._closed) and self._read_once():
            pass
        if not self._closed:
            self._lose()

    def close(self) -> None:
        """Let go of both sockets; they are the relay's to close."""
        self._closed = True
        self._disarm()
        self._queue.clear()
        self._unit = None
        self._mind_writing(wanted=False)
        self._mind_reading()
        self._tell()

    def _tell(self) -> None:
        told, self.told = self.told, None
        if told is not None:
            self._loop.call_soon(told)

    @property
    def quiet(self) -> bool:
        """Nothing is read at present, so that the kernel has to be asked whether the source is still there."""
        return not self._reading

    # Reading.

    @property
    def _full(self) -> bool:
        return self._octets >= (DELAYED_WAITING if self._chain else PLAIN_WAITING)

    @property
    def _held(self) -> bool:
        return self.intake is not None and not self.intake.wanted

    def _mind_reading(self) -> None:
        wanted = not (self._closed or self.input_over) and (self.over or not (self._full or self._held))
        if wanted and not self._reading:
            self._loop.add_reader(self.source, self._readable)
        elif self._reading and not wanted:
            self._loop.remove_reader(self.source)
        self._reading = wanted

    def _readable(self) -> None:
        while self._reading and self._read_once() and is_gone(self.source):
            pass  # uvloop tells of a reset once, even when octets came before it: go on to the error

    def _read_once(self) -> bool:
        """False where there is nothing to be read."""
        try:
            size = self.source.recv_into(self._scratch, self._readable_octets())
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:  # ECONNRESET, or the line is dead (ETIMEDOUT, EHOSTUNREACH)
            self._lose()
            return False
        if not size:
            self._take_end(How.RESET if self._lost else How.FIN)
            return False
        if self.intake is not None and not self.over:
            self.intake.took(self._scratch[:size])
            self._mind_reading()
        if not self.over:
            self._take(self._scratch[:size])
        if self.intake is not None and not self.over:
            self.intake.tell()
        return not self._closed

    def _readable_octets(self) -> int:
        """How many one call may read; 0 for as many as there is room for."""
        return 0 if self.intake is None or self.over else min(self.intake.wanted, len(self._scratch))

    def _take(self, data: memoryview) -> None:
        if not (self._chain or self._queue or self._unit):
            data = data[self._send(data) :]
            if not data or self.over or self._closed:
                return
        self._octets += len(data)
        self._queue.append(self._chain.carry(Piece(self._loop.time(), bytes(data))))
        self._send_due()
        if not self._closed:
            self._mind_reading()

    def _take_end(self, how: How) -> None:
        self.input_over = True
        self._mind_reading()
        if not self.over:
            self._queue.append(self._chain.carry(End(self._loop.time(), how)))
            self._send_due()
        if not self._closed:
            self._owner.input_ended(self)

    def _lose(self) -> None:
        """A RST comes behind what was sent before it, and overtakes only what never comes."""
        self._lost = True
        if self.over or self.stuck:
            self.input_over = True
            self._mind_reading()
            self._owner.ended(self, End(0, How.RESET))
        elif not self.input_over:
            self._take_end(How.RESET)

    # Writing.

    def _send_due(self) -> None:
        if self._writing or self._timer is not None:
            return
        for _ in range(UNITS_A_TURN):
            unit = self._next()
            if unit is None:
                break
            due = self._due(unit)
            if due > self._loop.time():
                self._wait_until(due)
                break
            if isinstance(unit, End):
                self._end(unit)
                return
            if not self._write(unit):
                break
        else:
            self._timer = self._loop.call_soon(self._on_time)
        if not self._closed:
            self._mind_reading()

    def _next(self) -> Unit | None:
        while self._unit is None and self._queue:
            self._unit = next(self._queue[0], None)
            if self._unit is None:
                self._queue.popleft()
            elif isinstance(self._unit, Piece) and not self._unit.data:
                self._unit = None
        return self._unit

    def _due(self, unit: Unit) -> float:
        return max(unit.at, self._sent_at + unit.gap_s) if isinstance(unit, Piece) and unit.gap_s else unit.at

    def _wait_until(self, at: float) -> None:
        if at == FOREVER:
            self.stuck = True
            if self._lost:
                self._lose()
        else:
            self._timer = self._loop.call_at(at, self._on_time)

    def _on_time(self) -> None:
        self._timer = None
        self._send_due()

    def _write(self, piece: Piece) -> bool:
        """False where it didn't all go, or must not go on."""
        sent = self._send(piece.data)
        if self.over or self._closed:
            return False
        self._octets -= sent
        if sent < len(piece.data):
            self._unit = Piece(piece.at, piece.data[sent:])  # what is left of it goes when it can: no gap before it
            self._mind_writing(wanted=True)
            return False
        self._unit = None
        if piece.gap_s:
            self._sent_at = self._loop.time()
        return True

    def _send(self, data: bytes | memoryview) -> int:
        try:
            sent = self.target.send(data)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError:  # EPIPE, ECONNRESET
            self._owner.target_lost(self)
            return 0
        self.carried += sent
        if self.wary and is_gone(self.target):
            self._owner.target_lost(self)
        return sent

    def _end(self, end: End) -> None:
        if end.how is How.FIN and self._lost:
            end = End(end.at, How.RESET)
        if end.how is How.FIN:
            end_writing(self.target)
            self.drop()
        self._owner.ended(self, end)

    def _mind_writing(self, *, wanted: bool) -> None:
        if wanted and not self._writing:
            self._loop.add_writer(self.target, self._writable)
        elif self._writing and not wanted:
            self._loop.remove_writer(self.target)
        self._writing = wanted

    def _writable(self) -> None:
        self._mind_writing(wanted=False)
        self._send_due()

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
