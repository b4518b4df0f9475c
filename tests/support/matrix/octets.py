"""Faults of bytes at `connect`, in either direction, as a raw socket sees them in every room; those in the midst are in midst.py."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from tests.support.matrix.dns import QUERY, framed
from tests.support.matrix.place import DELAY_S, LEAST_S, Cell, Client, Place

_UPGRADE = (
    b"GET /echo HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


@dataclass(frozen=True)
class Speech:
    """How a room is made to speak.

    Attributes:
        port: Where.
        ask: What a client says.
        answer: A pattern that the answer begins with.
        greets: The room speaks first, a line.
    """

    port: str
    ask: bytes
    answer: bytes
    greets: bool = True


SPEECHES: Mapping[str, Speech] = {
    "smtp": Speech("smtp", b"NOOP\r\n", rb"250 "),
    "pop3": Speech("pop3", b"CAPA\r\n", rb"\+OK"),
    "imap": Speech("imap", b"a NOOP\r\n", rb"a OK"),
    "ftp": Speech("ftp", b"NOOP\r\n", rb"200 "),
    "ssh": Speech("ssh", b"SSH-2.0-matrix\r\n", rb".....\x14"),
    "http": Speech("http", b"GET /get HTTP/1.1\r\nHost: localhost\r\n\r\n", rb"HTTP/1.1 200 ", greets=False),
    "websocket": Speech("ws", _UPGRADE, rb"HTTP/1.1 101 ", greets=False),
    "dns": Speech("dns-tcp", framed(QUERY), rb".." + re.escape(QUERY[:2]), greets=False),
}


Look = tuple[dict[str, object], Callable[[Client], None]]
"""What a rule says of a fault besides its direction, and what the client sees of it."""
Ask = tuple[dict[str, object], Callable[[Speech, Client], None]]
"""The same where the client has something to say first."""


def octet_cells(room: str, place: Place) -> Iterator[Cell]:
    """Every fault in every direction that it has; what is right is looked up first."""
    speech = SPEECHES[room]
    with _spoken(speech, place) as client:
        truth = client.until(rb"\A.{8}")
    for fault, (then, see) in down(truth).items():
        rule = {fault: {**then, "direction": "down"}}
        yield Cell(room, "connect", f"{fault} down", rule, partial(_downwards, speech, see))
    for fault, (then, look) in up(len(speech.ask)).items():
        rule = {fault: {**then, "direction": "up"}}
        yield Cell(room, "connect", f"{fault} up", rule, partial(_upwards, speech, look))


def down(truth: bytes, heeded: int = 2) -> dict[str, Look]:
    """Every fault on what comes, where these eight octets would.

    Args:
        truth: They.
        heeded: How often something can be said behind a half-close: a room that has said all it had to closes, and answers by a RST.
    """
    return {
        "latency": ({"delay_s": 3 * DELAY_S}, partial(_is_late, truth)),
        "bandwidth": ({"octets_per_s": 40}, partial(_is_late, truth)),
        "slice": ({"octets": 2, "gap_s": 0.05}, partial(_is_sliced, truth)),
        "stall": ({"after_octets": 3}, partial(_stalls, truth[:3])),
        "cut_after": ({"octets": 5}, partial(_is_cut, truth[:5])),
        "reset": ({"after_octets": 3}, partial(_is_reset, truth[:3])),
        "half_close": ({"after_octets": 3}, partial(_is_half_closed, truth[:3], heeded)),
        "corrupt": ({"octets": 1, "mask": 255}, partial(_is_corrupt, truth)),
    }


def up(size: int, vital: int = 2) -> dict[str, Ask]:
    """Every fault on what is said.

    Args:
        size: Of what is said.
        vital: Where in it an octet stands that mustn't change.
    """
    return {
        "latency": ({"delay_s": 3 * DELAY_S}, _answers_late),
        "bandwidth": ({"octets_per_s": max(1, int(size / 0.3))}, _answers_late),
        "slice": ({"octets": 1, "gap_s": 0.3 / size}, _answers_late),
        "stall": ({"after_octets": size // 2}, _never_answers),
        "cut_after": ({"octets": size // 2}, _ends_unanswered),
        "reset": ({"after_octets": size // 2}, _is_reset_unanswered),
        "half_close": ({"after_octets": size}, _answers_and_ends),
        "corrupt": ({"after_octets": vital, "octets": 1, "mask": 1}, _answers_something_else),
    }


def _spoken(speech: Speech, place: Place) -> Client:
    """A client that has said what makes the room speak."""
    begun = time.monotonic()
    client = Client(place.connect(speech.port))
    client.begun = begun
    if not speech.greets:
        client.say(speech.ask)
    return client


# Down: what the client hears


def _downwards(speech: Speech, see: Callable[[Client], None], place: Place) -> None:
    with _spoken(speech, place) as client:
        see(client)


def _hears(client: Client, truth: bytes) -> None:
    heard = client.until(rb"\A.{%d}" % len(truth))
    assert heard == truth, heard


def _is_late(truth: bytes, client: Client) -> None:
    _hears(client, truth)
    assert time.monotonic() - client.begun >= LEAST_S


def _is_sliced(truth: bytes, client: Client) -> None:
    """Whoever reads late finds several slices, but never a part of one; nor six octets before two gaps have passed."""
    client.heard = client.heard or client.sock.recv(4096)
    assert len(client.heard) % 2 == 0, client.heard
    _hears(client, truth[:6])
    assert time.monotonic() - client.begun >= LEAST_S


def _stalls(truth: bytes, client: Client) -> None:
    _hears(client, truth)
    client.is_quiet()


def _is_cut(truth: bytes, client: Client) -> None:
    heard = client.rest()
    assert heard == truth, heard


def _is_reset(truth: bytes, client: Client) -> None:
    client.is_reset()
    assert client.heard == truth, client.heard


def _is_half_closed(truth: bytes, heeded: int, client: Client) -> None:
    _is_cut(truth, client)
    for _ in range(heeded):  # the other direction goes on: the second would meet the RST that answers the first
        client.say(b"x")


def _is_corrupt(truth: bytes, client: Client) -> None:
    _hears(client, bytes([truth[0] ^ 0xFF]) + truth[1:4])


# Up: what the room makes of what it hears


def _upwards(speech: Speech, see: Callable[[Speech, Client], None], place: Place) -> None:
    with Client(place.connect(speech.port)) as client:
        if speech.greets:
            client.until(rb"\A[^\n]*\n")
        see(speech, client)


def _answers_late(speech: Speech, client: Client) -> None:
    begun = time.monotonic()
    client.say(speech.ask)
    client.until(rb"\A" + speech.answer)
    assert time.monotonic() - begun >= LEAST_S


def _never_answers(speech: Speech, client: Client) -> None:
    client.say(speech.ask)
    client.is_quiet()


def _ends_unanswered(speech: Speech, client: Client) -> None:
    client.say(speech.ask)
    heard = client.rest(politely=False)  # of what was said a part is never read
    assert heard == b"", heard


def _is_reset_unanswered(speech: Speech, client: Client) -> None:
    client.say(speech.ask)
    client.is_reset()
    assert client.heard == b"", client.heard


def _answers_and_ends(speech: Speech, client: Client) -> None:
    client.say(speech.ask)
    client.until(rb"\A" + speech.answer)
    client.rest()


def _answers_something_else(speech: Speech, client: Client) -> None:
    client.say(speech.ask)
    try:
        heard = client.until_quiet()
    except AssertionError:  # or ends
        heard, client.heard = client.heard, b""
    assert not re.match(speech.answer, heard, re.DOTALL), heard
