"""All that is done to bytes in one process: the relays and the held connections of its listeners.

Nothing here costs anything while no rule asks for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
from collections.abc import Callable, Iterable

from portyard.commons.wire.pair import Address, pair_for
from portyard.commons.wire.relay import Note, Relay
from portyard.commons.wire.sockets import is_left
from portyard.commons.wire.units import Direction, Fault

READ_SIZE = 256 * 1024  # octets that one call reads at most
TEND_S = 1.0  # how often peers are looked for that left without a word
GRACE_S = 1.0  # how long rooms that are closing may take over their last words


class Wire:
    """Relays and held connections.

    Args:
        rng: Seeded chance; each relay gets a seed of its own from it.
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._loop = asyncio.get_running_loop()
        self._scratch = bytearray(READ_SIZE)
        self._relays: set[Relay] = (
            set()
        )  # not by address: the kernel gives two pairs one port, when their other ends differ
        self._held: dict[socket.socket, Callable[[], None] | None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._empty: asyncio.Future[None] | None = None

    def put_in(
        self,
        client: socket.socket,
        peer: Address,
        faults: Iterable[tuple[Direction, Fault]] = (),
        *,
        rng: random.Random | None = None,
        note: Note | None = None,
        held: bool = False,
    ) -> Relay:
        """Put a relay between an accepted connection and its room.

        Args:
            client: The accepted, non-blocking socket; the relay's from now on.
            peer: Its peer's address.
            faults: What is armed at once; more can be armed later by `Relay.arm`.
            rng: The faults' chance, where it isn't to be this object's.
            note: Told of faults that end something.
            held: Whether nothing is carried up until `Relay.let_up`.

        Returns:
            The relay; its `sock` is what the room is to be given.

        Raises:
            OSError: It can't be made, for want of descriptors say. `client` is still the caller's.
        """
        near, far = pair_for(client, peer)
        rng = rng or random.Random(self._rng.getrandbits(64))
        relay = Relay(client, near, far, rng, self._scratch, self._forget, note)
        self._relays.add(relay)
        self._mind_timer()
        if held:
            relay.hold_up()
        for direction, fault in faults:
            relay.arm(fault, direction)
        relay.start()
        return relay

    def hold(self, sock: socket.socket, over: Callable[[], None] | None = None) -> None:
        """Keep an accepted connection open and never read it, until its peer leaves.

        Args:
            sock: The accepted socket; ours from now on.
            over: Called when it was closed.
        """
        self._held[sock] = over
        self._mind_timer()

    @property
    def relays(self) -> list[Relay]:
        """Those that carry."""
        return list(self._relays)

    async def close(self, grace_s: float = GRACE_S) -> None:
        """Close everything, to be called after the rooms have closed: their last words are passed on."""
        for sock in list(self._held):
            self._let_go(sock)
        for relay in self.relays:
            relay.wind_up()
        if self._relays:
            self._empty = self._loop.create_future()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._empty, grace_s)
        for relay in self.relays:
            relay.close()
        self._mind_timer()

    def _forget(self, relay: Relay) -> None:
        self._relays.discard(relay)
        if not self._relays and self._empty is not None and not self._empty.done():
            self._empty.set_result(None)
        self._mind_timer()

    def _let_go(self, sock: socket.socket) -> None:
        over = self._held.pop(sock)
        sock.close()
        if over is not None:
            over()

    def _mind_timer(self) -> None:
        wanted = bool(self._relays or self._held)
        if wanted and self._timer is None:
            self._timer = self._loop.call_later(TEND_S, self._tend)
        elif self._timer is not None and not wanted:
            self._timer.cancel()
            self._timer = None

    def _tend(self) -> None:
        self._timer = None
        for relay in self.relays:
            relay.tend()
        for sock in [sock for sock in self._held if is_left(sock)]:
            self._let_go(sock)
        self._mind_timer()
