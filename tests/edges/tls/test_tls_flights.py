"""The flights of a handshake as the journal tells them."""

from __future__ import annotations

import asyncio
import itertools
import socket
import ssl
from typing import Any

import pytest

from portyard.commons.tls.authority import Authority
from portyard.commons.tls.flights import MOST, Flights
from tests.edges.tls.conftest import Run
from tests.edges.tls.peers import serving, strict, talk_with_ssl

V2, V3 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


def directions(flights: list[dict[str, Any]]) -> list[str]:
    return [flight["direction"] for flight in flights]


@pytest.mark.parametrize(("version", "went"), [(V2, ["in", "out", "in", "out"]), (V3, ["in", "out", "in", "out"])])
def test_each_flight_has_its_moment(authority: Authority, run: Run, version: ssl.TLSVersion, went: list[str]) -> None:
    async def test() -> None:
        context = strict(authority)
        context.minimum_version = context.maximum_version = version
        async with serving(authority) as served:
            await asyncio.to_thread(talk_with_ssl, served.port, context, b"hello")
        hello, agreed = served.events.of("hello")[0], served.events.of("handshake")[0]
        flights = agreed["flights"]
        assert directions(flights) == went
        moments = [flight["seconds"] for flight in flights]
        assert moments == sorted(moments)
        assert moments[0] <= hello["seconds"] <= moments[1]
        assert 0 < moments[0] < moments[1] < moments[2] <= agreed["seconds"]
        assert flights[1]["octets"] > flights[2]["octets"] > 0  # certificates are long

    run(test())


def test_a_hello_in_pieces_is_one_flight(authority: Authority, run: Run) -> None:
    async def test() -> None:
        async with serving(authority) as served:
            ours = ssl.MemoryBIO()
            client = strict(authority).wrap_bio(ssl.MemoryBIO(), ours, server_hostname="localhost")
            with pytest.raises(ssl.SSLWantReadError):
                client.do_handshake()
            hello = ours.read()
            reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for piece in (hello[:100], hello[100:200], hello[200:]):
                writer.write(piece)
                await writer.drain()
            assert (await reader.readexactly(1))[0] == ssl._TLSContentType.HANDSHAKE
            writer.close()
            failed = await served.events.first("failed")
        came, *rest = failed["flights"]
        assert (came["direction"], came["octets"]) == ("in", len(hello))
        assert directions(rest) == ["out"]

    run(test())


def test_of_a_handshake_that_fails_what_went_before(authority: Authority, run: Run) -> None:
    async def test() -> None:
        async with serving(authority) as served:
            context = ssl.create_default_context()  # trusts others
            with pytest.raises(ssl.SSLCertVerificationError):
                await asyncio.to_thread(talk_with_ssl, served.port, context, b"hello")
            failed = await served.events.first("failed")
        assert directions(failed["flights"]) == ["in", "out", "in"]
        assert failed["alert"] == "unknown_ca"

    run(test())


def test_a_peer_that_cuts_its_handshake_up_fills_no_memory() -> None:
    flights = Flights()
    for number, direction in zip(range(100), itertools.cycle(("in", "out")), strict=False):
        flights.passed(direction, 1, number)
    told = flights.told()
    assert told is not None
    assert (len(told), told[-1]["octets"], told[-1]["seconds"]) == (MOST, 100 - MOST + 1, 99)
