"""The last word of the server: who is sent away reads why, though it was still sending."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from portyard.ssh import ruled
from portyard.ssh.card import CARD
from tests.support.asyncio_tests import LOOPS, run
from tests.support.yard import open_yard, serve

DISCONNECT = 1  # RFC 4253 §12
MORE = 4_000_000  # octets that the server has no use for


@pytest.mark.parametrize("loop", LOOPS)
def test_a_peer_that_goes_on_sending_reads_the_disconnect(
    loop: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ruled, "LINGER_S", 60.0)  # for all that is sent, on a busy machine

    async def main() -> None:
        async with open_yard(tmp_path) as yard, serve(yard, CARD) as room:
            reader, writer = await asyncio.open_connection("127.0.0.1", room.port("ssh"))
            writer.write(b"SSH-2.0-careless\r\n" + b"\xff" * MORE)  # no packet is that long
            heard = await reader.read()  # raises where a RST overtakes the message
            writer.close()
            assert kinds_of(heard)[-1] == DISCONNECT

    run(main(), loop)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_peer_in_the_midst_of_sending_reads_that_the_service_stops(loop: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with open_yard(tmp_path) as yard, serve(yard, CARD) as room:
            reader, writer = await asyncio.open_connection("127.0.0.1", room.port("ssh"))
            writer.write(b"SSH-2.0-slow\r\n" + (30_000).to_bytes(4, "big"))  # a packet, of which the rest is on its way
            heard = await reader.read(100)
            for _ in range(25):
                writer.write(bytes(1000))
        for _ in range(4):
            writer.write(bytes(1000))
        heard += await reader.read()  # raises where a RST overtakes the message
        writer.close()
        assert b"the server is stopping" in heard

    run(main(), loop)


def kinds_of(heard: bytes) -> list[int]:
    """The numbers of the messages behind the version line, in plaintext (RFC 4253 §6)."""
    _, _, packets = heard.partition(b"\r\n")
    kinds = []
    while packets:
        length = int.from_bytes(packets[:4], "big")
        kinds.append(packets[5])
        packets = packets[4 + length :]
    return kinds
