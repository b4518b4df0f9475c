"""DNS over TCP, octet by octet, and a query over UDP."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from functools import partial

from tests.support.matrix.place import DELAY_S, PATIENCE_S, Cell, Client, Delayed, Place

QUERY = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0" + b"\x08portyard\x04test\0" + b"\0\x06\0\x01"  # SOA of portyard.test
_REFUSED, _SERVFAIL = 5, 2


def framed(query: bytes) -> bytes:
    """As TCP carries it (RFC 1035 §4.2.2)."""
    return struct.pack(">H", len(query)) + query


def dns(_: Place) -> Iterator[Cell]:
    """DNS's cells."""
    rcode = [{"say": "SERVFAIL"}]
    for verb in ("connect", "query"):
        yield Cell("dns", verb, "delay", {"delay": DELAY_S}, _is_late)
        yield Cell("dns", verb, "silence", {"silence": True}, partial(_hears_nothing, ends=False))
        yield Cell("dns", verb, "hang_up", {"hang_up": True}, partial(_hears_nothing, ends=True))
    yield Cell("dns", "connect", "bytes", {"reset": True}, _is_reset)
    yield Cell("dns", "query", "refuse", {"refuse": "REFUSED"}, partial(_says, _REFUSED))
    yield Cell("dns", "query", "say", {"say": "SERVFAIL"}, _datagram_says)
    yield Cell("dns", "query", "script", {"script": rcode}, partial(_says, _SERVFAIL))


def _ask(client: Client) -> int:
    """A query's RCODE."""
    client.say(framed(QUERY))
    (size,) = struct.unpack(">H", client.until(rb"\A.."))
    reply = client.until(rb"\A.{%d}" % size)
    assert reply[:2] == QUERY[:2], reply
    return reply[3] & 0x0F


def _is_late(place: Place) -> None:
    with Delayed(), Client(place.connect("dns-tcp")) as client:
        assert _ask(client) == 0


def _hears_nothing(place: Place, *, ends: bool) -> None:
    with Client(place.connect("dns-tcp")) as client:
        client.say(framed(QUERY))
        if ends:
            assert client.rest() == b""
        else:
            place.acted()
            client.is_quiet()


def _is_reset(place: Place) -> None:
    with Client(place.connect("dns-tcp")) as client:
        client.is_reset()


def _says(rcode: int, place: Place) -> None:
    with Client(place.connect("dns-tcp")) as client:
        assert _ask(client) == rcode
        assert _ask(client) == 0


def _datagram_says(place: Place) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(PATIENCE_S)
        sock.sendto(QUERY, place.ports["dns-udp"])
        reply = sock.recv(4096)
        assert (reply[:2], reply[3] & 0x0F) == (QUERY[:2], _SERVFAIL), reply
