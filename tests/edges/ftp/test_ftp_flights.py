"""The flights of a handshake, as the journal has them: each octet that the client sent and got, and when."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from pathlib import Path
from typing import Any

import pytest

from tests.support.asyncio_tests import run
from tests.support.ftp import LIMIT_S, Ftp, open_ftp

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def shake(streams: Streams, context: ssl.SSLContext) -> tuple[int, int]:
    """How many octets the client sent and got for its part of a handshake, alerts included."""
    reader, writer = streams
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    sent = got = 0
    with contextlib.suppress(ssl.SSLError):
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                pass
            finally:
                octets = outgoing.read()
                sent += len(octets)
                writer.write(octets)
            news = await asyncio.wait_for(reader.read(65_536), LIMIT_S)
            got += len(news)
            incoming.write(news) if news else incoming.write_eof()
    return sent, got


async def flights(ftp: Ftp, step: str) -> list[dict[str, Any]]:
    (event,) = [event for event in await ftp.events("tls") if event.fields["step"] == step]
    told = event.fields["flights"]
    moments = [flight["seconds"] for flight in told]
    assert moments == sorted(moments)
    assert 0 < moments[-1] <= event.fields["seconds"]
    return list(told)


def total(told: list[dict[str, Any]], direction: str) -> int:
    return sum(flight["octets"] for flight in told if flight["direction"] == direction)


@pytest.mark.parametrize(
    ("version", "directions"),
    [(ssl.TLSVersion.TLSv1_3, ["in", "out", "in"]), (ssl.TLSVersion.TLSv1_2, ["in", "out", "in", "out"])],
)
def test_data_connection(version: ssl.TLSVersion, directions: list[str], tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            client = await ftp.logged_in(implicit=True)
            await ftp.rule("tls", where={"channel": "data"}, delay="50ms")
            context = ftp.served.client_context()
            context.minimum_version = context.maximum_version = version
            pipe = await client.data()
            assert (await client.ask("NLST")).startswith("1")
            sent, got = await shake((pipe.reader, pipe.writer), context)
            assert (await client.reply()).startswith("226")
            told = await flights(ftp, "data established")
            assert [flight["direction"] for flight in told] == directions
            assert total(told, "in") == sent
            assert total(told, "out") <= got  # the end of the transfer may have come with it
            assert told[1]["seconds"] - told[0]["seconds"] > 0.05  # what a rule had it wait is ours
            assert told[0]["octets"] > 100  # the ClientHello

    run(go())


def test_control_connection(tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            port = ftp.served.port("ftps")
            streams = await asyncio.open_connection("127.0.0.1", port)
            sent, _ = await shake(streams, ftp.served.client_context())
            await asyncio.wait_for(streams[0].read(1), LIMIT_S)  # the tickets, or the greeting
            told = await flights(ftp, "established")
            assert [flight["direction"] for flight in told] == ["in", "out", "in", "out"]
            assert total(told, "in") == sent
            streams[1].close()

    run(go())


@pytest.mark.parametrize("then", [{"tls": "expired"}, {"refuse": "unrecognized_name"}, {"tls": "tls10_only"}], ids=str)
def test_one_that_failed(then: dict[str, Any], tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            await ftp.rule("tls", where={"channel": "control"}, **then)
            port = ftp.served.port("ftps")
            streams = await asyncio.open_connection("127.0.0.1", port)
            sent, got = await shake(streams, ftp.served.client_context())
            got += len(await asyncio.wait_for(streams[0].read(), LIMIT_S))  # what may come apart from the rest
            told = await flights(ftp, "failed")
            assert [flight["direction"] for flight in told][:2] == ["in", "out"]
            assert total(told, "in") == sent
            assert total(told, "out") == got
            streams[1].close()

    run(go())
