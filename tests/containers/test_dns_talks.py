"""The DNS room's talks against its container, over both transports, as the user's machine sees it."""

from __future__ import annotations

import asyncio
import re
import socket
from pathlib import Path

import pytest

from portyard.dns.core.framing import framed
from portyard.dns.core.grammar import parse, print_message
from portyard.dns.core.presentation import query_of
from tests.support.asyncio_tests import run
from tests.support.containers import Containers
from tests.support.dns_talks import TALKS, read, run_talk

LIMIT_S = 60.0
# A talk that asks for records, sandboxes or services of its own can't be played against a testbed that runs.
PLAYED = [
    path for path in TALKS if {"records", "down"}.isdisjoint(read(path).headers) and path.stem in ("zone", "refusals")
]


def by_udp(port: int, octets: bytes) -> bytes | None:
    known = print_message(query_of("SOA portyard.test", 9))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.settimeout(LIMIT_S)
        sender.connect(("127.0.0.1", port))
        sender.send(octets)
        sender.send(known)  # answered in order: when its answer comes first, the other one's is silence
        first = sender.recv(65535)
        if parse(first).id == 9 and octets[:2] != b"\0\x09":
            return None
        sender.recv(65535)
        return first


def by_tcp(port: int, octets: bytes) -> bytes | None:
    with socket.create_connection(("127.0.0.1", port), LIMIT_S) as connection, connection.makefile("rb") as stream:
        connection.sendall(framed(octets))
        length = stream.read(2)
        return stream.read(int.from_bytes(length, "big")) if length else None


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("path", PLAYED, ids=lambda path: path.stem)
def test_talk(path: Path, transport: str, yard: Containers) -> None:
    ask = by_udp if transport == "udp" else by_tcp

    async def exchange(octets: bytes) -> bytes | None:
        return await asyncio.to_thread(ask, yard.ports[f"dns-{transport}"], octets)

    run(run_talk(read(path), exchange))


def test_the_ports_that_it_names_are_the_published_ones(yard: Containers) -> None:
    """SRV for a client on the user's machine (RFC 6186 §3), and what the testbed's own services see."""
    named = {"_submission": "submission", "_submissions": "submissions", "_imaps": "imaps", "_pop3s": "pop3s"}
    for service, port in named.items():
        answer = by_udp(yard.ports["dns-udp"], print_message(query_of(f"SRV {service}._tcp.portyard.test", 7)))
        assert answer is not None
        (record,) = parse(answer).answers
        assert re.search(rf"\b{yard.ports[port]}\b", str(record)), record
    inside = yard.execute("mta", "python3", "-c", "import socket; print(socket.gethostbyname('imap'))").strip()
    assert re.fullmatch(r"[\d.]+", inside)
