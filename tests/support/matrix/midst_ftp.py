"""Faults of bytes on FTP's data connections: a download's from its first octet on, an upload's from the connection on."""

from __future__ import annotations

import contextlib
import re
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from tests.support.matrix.octets import down
from tests.support.matrix.place import DELAY_S, LEAST_S, PASSWORD, Cell, Client, Place, dial

CARGO = b"cargo aboard"
HALF = len(CARGO) // 2


@dataclass(frozen=True)
class Download:
    """What comes from `transfer` on."""

    room: str = "ftp"
    verb: str = "transfer"
    ways: tuple[str, ...] = ("down",)

    def cells(self, place: Place) -> Iterator[Cell]:
        """See Moment."""
        with _client(place) as client:
            _store(place, client, "down")
        for fault, (then, see) in down(CARGO[:8], heeded=1).items():
            look = partial(_downloads, see)
            yield Cell(self.room, self.verb, f"{fault} down", {fault: {**then, "direction": "down"}}, look)


@dataclass(frozen=True)
class Upload:
    """What is sent, with a fault from `data_connect` on, or from `transfer`."""

    room: str = "ftp"
    verb: str = "data_connect"
    ways: tuple[str, ...] = ("up",)

    def cells(self, place: Place) -> Iterator[Cell]:
        """See Moment."""
        views: dict[str, tuple[dict[str, object], Callable[[Place, Client], None]]] = {
            "latency": ({"delay_s": 3 * DELAY_S}, _is_stored_late),
            "bandwidth": ({"octets_per_s": 40}, _is_stored_late),
            "slice": ({"octets": 1, "gap_s": 0.3 / len(CARGO)}, _is_stored_late),
            "stall": ({"after_octets": HALF}, _never_ends),
            "cut_after": ({"octets": HALF}, _is_cut),
            "reset": ({"after_octets": HALF}, _is_reset),
            "half_close": ({"after_octets": HALF}, partial(_is_stored, CARGO[:HALF])),
            "corrupt": (
                {"after_octets": 2, "octets": 1, "mask": 1},
                partial(_is_stored, CARGO[:2] + bytes([CARGO[2] ^ 1]) + CARGO[3:]),
            ),
        }
        for fault, (then, see) in views.items():
            look = partial(_uploads, see)
            yield Cell(self.room, self.verb, f"{fault} up", {fault: {**then, "direction": "up"}}, look)


def _client(place: Place) -> Client:
    client = Client(place.connect("ftp"))
    client.line(b"220 ")
    user = f"USER m-midst-ftp@{place.domain}\r\n".encode()
    for say, beginning in ((user, b"331 "), (f"PASS {PASSWORD}\r\n".encode(), b"230 "), (b"TYPE I\r\n", b"200 ")):
        client.say(say)
        client.line(beginning)
    return client


def _begin(place: Place, client: Client, command: str) -> Client:
    """The data connection of a transfer that has begun."""
    client.say(b"EPSV\r\n")
    found = re.search(rb"\|\|\|(\d+)\|", client.line(b"229 "))
    assert found
    data = Client(dial(place.ports["ftp"][0], int(found[1])))
    client.say(command.encode() + b"\r\n")
    client.line(b"1")
    return data


def _store(place: Place, client: Client, name: str) -> None:
    with _begin(place, client, f"STOR {name}") as data:
        data.say(CARGO)
        data.sock.shutdown(socket.SHUT_WR)
        client.line(b"226 ")


def _downloads(see: Callable[[Client], None], place: Place) -> None:
    with _client(place) as client, _begin(place, client, "RETR down") as data:
        see(data)


def _uploads(see: Callable[[Place, Client], None], place: Place) -> None:
    with _client(place) as client:
        client.data = _begin(place, client, "STOR up")
        with contextlib.suppress(BrokenPipeError):  # the rule may have ended it
            client.data.say(CARGO)
        see(place, client)


def _is_stored_late(place: Place, client: Client) -> None:
    client.data.sock.shutdown(socket.SHUT_WR)
    client.line(b"226 ")
    assert time.monotonic() - client.data.begun >= LEAST_S


def _never_ends(place: Place, client: Client) -> None:
    client.data.sock.shutdown(socket.SHUT_WR)
    client.is_quiet()


def _is_cut(place: Place, client: Client) -> None:
    assert client.data.rest(politely=False) == b""
    _is_stored(CARGO[:HALF], place, client)


def _is_reset(place: Place, client: Client) -> None:
    client.data.is_reset()
    client.line(b"426 ")


def _is_stored(content: bytes, place: Place, client: Client) -> None:
    """This is what the file holds."""
    with contextlib.suppress(OSError):  # the rule may have ended it
        client.data.sock.shutdown(socket.SHUT_WR)
    client.line(b"226 ")
    with _begin(place, client, "RETR up") as data:
        got = data.rest()
        assert got == content, got
