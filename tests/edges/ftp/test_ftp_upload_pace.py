"""Uploads over a long or a narrow line that a rule asks for: they go at the line's pace, however often rules are asked."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from portyard.commons.scenario.model import Scalar, Verdict
from portyard.ftp.ruled import Ruled
from tests.support.asyncio_tests import LOOPS, run
from tests.support.ftp import LIMIT_S, Client, Ftp, open_ftp

PIECE = 4096
DATA = bytes(range(256)) * 320 + b"rest"
PIECES = list(range(0, len(DATA), PIECE))
OLD = b"old"
LINES: dict[str, dict[str, Any]] = {
    "latency": {"latency": "20ms"},
    "jitter": {"latency": {"delay_s": "5ms", "jitter_s": "20ms"}},
    "bandwidth": {"bandwidth": len(DATA) * 10},
    "slice": {"slice": {"octets": 700}},
    "all": {"latency": "20ms", "bandwidth": len(DATA) * 10, "slice": {"octets": 700}},
}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Scalar]:
    """The offsets that rules at `data` were asked about."""
    offsets: list[Scalar] = []
    before = Ruled.judged

    async def judged(session: Ruled, verb: str, /, **fields: Scalar) -> Verdict | None:
        if verb == "data":
            offsets.append(fields["octets"])
        return await before(session, verb, **fields)

    monkeypatch.setattr(Ruled, "judged", judged)
    return offsets


async def ready(ftp: Ftp) -> Client:
    with (await ftp.root()).open("/g", "wb") as file:
        file.write(OLD)
    client = await ftp.logged_in()
    await client.ask("TYPE I")
    return client


async def store(client: Client, data: bytes = DATA) -> str:
    """The last reply to an upload."""
    pipe = await client.data()
    assert (await client.ask("STOR g")).startswith("1")
    pipe.writer.write(data)
    pipe.writer.write_eof()
    return await asyncio.wait_for(client.reply(), LIMIT_S)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("verb", ["data_connect", "transfer", "data"])
@pytest.mark.parametrize("line", LINES)
def test_each_piece_is_asked_about_and_arrives(
    line: str, verb: str, loop: str, asked: list[Scalar], tmp_path: Path
) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            client = await ready(ftp)
            await ftp.rule("data", where={"octets": ">=1000000000"}, hang_up=True)
            await ftp.rule(verb, **LINES[line])
            assert (await store(client)).startswith("226")
            assert await ftp.content("/g") == DATA
            assert asked == PIECES
            assert await ftp.events("error") == []

    run(go(), loop)


@pytest.mark.parametrize("verb", ["transfer", "data"])
def test_pieces_set_out_while_those_before_are_under_way(
    verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = asyncio.Event()
    before = Ruled.judged

    async def judged(session: Ruled, verb: str, /, **fields: Scalar) -> Verdict | None:
        if verb == "data" and fields["octets"] == PIECES[-1]:
            last.set()
        return await before(session, verb, **fields)

    monkeypatch.setattr(Ruled, "judged", judged)

    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            client = await ready(ftp)
            await ftp.rule("data", where={"octets": ">=1000000000"}, hang_up=True)
            await ftp.rule(verb, latency="1h")  # nothing ever arrives
            pipe = await client.data()
            await client.ask("STOR g")
            pipe.writer.write(DATA)
            pipe.writer.write_eof()
            await asyncio.wait_for(last.wait(), LIMIT_S)
            assert (await client.ask("ABOR")).startswith("426")
            assert (await client.reply()).startswith("226")
            assert await ftp.content("/g") == OLD

    run(go())


@pytest.mark.parametrize(
    ("then", "reply"), [({"refuse": "452 no room"}, "452"), ({"hang_up": True}, "")], ids=["refuse", "hang_up"]
)
@pytest.mark.parametrize("verb", ["transfer", "data"])
def test_what_ends_it_waits_for_what_is_under_way(
    then: dict[str, Any], reply: str, verb: str, asked: list[Scalar], tmp_path: Path
) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            client = await ready(ftp)
            await ftp.rule("data", where={"octets": 3 * PIECE}, **then)
            await ftp.rule(verb, latency="20ms")
            assert (await store(client))[:3] == reply
            assert await ftp.content("/g") == OLD
            assert asked == PIECES[:4]
            [transfer] = await ftp.events("transfer")
            assert transfer.fields["bytes"] == 3 * PIECE

    run(go())


@pytest.mark.parametrize(
    ("then", "code", "kept"),
    [
        ({"cut_after": 100}, "226", DATA[: 3 * PIECE + 100]),
        ({"reset": {"after_octets": 100}}, "426", OLD),
        ({"corrupt": {"after_octets": 0}}, "226", DATA[: 3 * PIECE] + b"\xff" + DATA[3 * PIECE + 1 :]),
        ({"stall": {"for_s": "20ms"}}, "226", DATA),
    ],
    ids=["cut_after", "reset", "corrupt", "stall"],
)
@pytest.mark.parametrize("verb", ["transfer", "data"])
def test_a_fault_in_the_midst_meets_what_follows(
    then: dict[str, Any], code: str, kept: bytes, verb: str, asked: list[Scalar], tmp_path: Path
) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            client = await ready(ftp)
            await ftp.rule(verb, times=1, latency="20ms")
            await ftp.rule("data", where={"octets": 3 * PIECE}, **then)
            assert (await store(client))[:3] == code
            assert await ftp.content("/g") == kept
            ends = "cut_after" in then or "reset" in then
            assert asked == (PIECES[:4] if ends else PIECES)

    run(go())


@pytest.mark.parametrize(
    "once",
    [None, {"corrupt": {"after_octets": 9}}, {"corrupt": {"after_octets": 9, "octets": 1, "chance": 1e-12}}],
    ids=str,
)
def test_a_long_line_isnt_a_narrow_one(once: dict[str, Any] | None, tmp_path: Path) -> None:
    many = bytes(2 << 20)  # 512 pieces, which would take 51 seconds one behind the other

    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            client = await ready(ftp)
            if once:  # behind what strikes once it goes on as before
                await ftp.rule("data", times=1, latency="100ms", **once)
            await ftp.rule("data", latency="100ms")
            assert (await store(client, many)).startswith("226")
            assert await ftp.content("/g") == (many[:9] + b"\xff" + many[10:] if once else many)

    run(go())
