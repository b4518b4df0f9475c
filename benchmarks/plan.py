"""How much is measured: the sizes of a full and of a quick run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Plan:
    """The sizes of one run.

    Attributes:
        quick: A small version, to see that everything works; its figures are coarse.
        rounds: Times that each server has its turn; the figures are medians over them.
        warm_messages: Messages that each server takes before the first round.
        round_s: Seconds of one server's turn.
        connections: Connections at once.
        starts: Times that the testbed is started.
        loaded_messages: Messages after which memory is read again.
        fetch_megabytes: Size of the message that is fetched.
        fetches: Times that it is fetched.
        mailbox: Messages of the large mailbox.
        asks: Times that SELECT and SEARCH are asked.
        idles: Deliveries that an idling session waits for.
        handshakes: TLS connections.
        rooms: The rooms whose journal and rules are measured; all where there are none.
        room_s: Seconds for each of them; 0 for what the measurement thinks right.
    """

    quick: bool
    rounds: int
    warm_messages: int
    round_s: float
    connections: int
    starts: int
    loaded_messages: int
    fetch_megabytes: int
    fetches: int
    mailbox: int
    asks: int
    idles: int
    handshakes: int
    rooms: tuple[str, ...] = ()
    room_s: float = 0.0


FULL = Plan(
    quick=False,
    rounds=5,
    warm_messages=400,
    round_s=1.5,
    connections=8,
    starts=5,
    loaded_messages=5000,
    fetch_megabytes=25,
    fetches=7,
    mailbox=20_000,
    asks=9,
    idles=200,
    handshakes=400,
)
QUICK = Plan(
    quick=True,
    rounds=1,
    warm_messages=50,
    round_s=0.5,
    connections=8,
    starts=1,
    loaded_messages=500,
    fetch_megabytes=25,
    fetches=2,
    mailbox=2000,
    asks=3,
    idles=40,
    handshakes=80,
)
