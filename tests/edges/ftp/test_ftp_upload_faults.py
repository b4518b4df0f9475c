"""Faults of bytes on uploads: what the client sent ahead, to its last octet, meets them all the same."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest

from portyard.commons.wire.relay import Relay
from portyard.commons.wire.wire import Wire
from portyard.ftp.ruled import Ruled
from tests.support.asyncio_tests import LOOPS, run
from tests.support.ftp import LIMIT_S, Client, Ftp, Pipe, open_ftp

DATA = bytes(range(256)) * 80  # what one system call sends
OLD = b"old"
SLICE: dict[str, Any] = {"slice": {"octets": 700}}
CORRUPT = DATA[:10] + bytes(octet ^ 0xFF for octet in DATA[10:12]) + DATA[12:]

FAULTS: dict[str, tuple[dict[str, Any], str, bytes]] = {
    "reset": ({"reset": True}, "426", OLD),
    "reset behind": ({"reset": {"after_octets": 500}}, "426", OLD),
    "reset up": ({"reset": {"after_octets": 500, "direction": "up"}}, "426", OLD),
    "cut": ({"cut_after": 1000}, "226", DATA[:1000]),  # a FIN is how an upload ends well, too
    "half_close": ({"half_close": {"after_octets": 1000}}, "226", DATA[:1000]),
    "corrupt": ({"corrupt": {"after_octets": 10, "octets": 2}}, "226", CORRUPT),
    "slice": (SLICE, "226", DATA),
}
ENDING = {"reset", "reset behind", "reset up", "cut", "half_close"}


async def sent_whole(client: Client) -> Pipe:
    """A data connection on which everything was said before anybody asked for it."""
    pipe = await client.data()
    pipe.writer.write(DATA)
    pipe.writer.write_eof()
    await pipe.writer.drain()
    return pipe


async def met_by(client: Client) -> bytes:
    """What such a connection is answered; while it is written to it may meet its end already."""
    pipe = await sent_whole(client)
    return await asyncio.wait_for(pipe.reader.read(), LIMIT_S)


async def with_old(ftp: Ftp) -> None:
    with (await ftp.root()).open("/g", "wb") as file:
        file.write(OLD)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("verb", ["data_connect", "transfer", "data"])
@pytest.mark.parametrize("fault", FAULTS)
def test_what_was_sent_ahead_meets_them(fault: str, verb: str, loop: str, tmp_path: Path) -> None:
    then, reply, kept = FAULTS[fault]

    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            await with_old(ftp)
            client = await ftp.logged_in()
            await client.ask("TYPE I")
            await ftp.rule(verb, times=1, **then)
            if fault == "reset" and verb == "data_connect":  # it is gone before it is of use
                with pytest.raises(ConnectionResetError):
                    await met_by(client)
                return
            await sent_whole(client)
            first = await client.ask("STOR g")
            assert first.startswith("1"), first
            assert (await client.reply())[:3] == reply
            assert await ftp.content("/g") == kept
            assert (await client.ask("NOOP")).startswith("200")
            fired = [event.fields for event in await ftp.events("fault") if "verb" not in event.fields]
            name = next(iter(then))
            octets = {"reset": 0, "cut": 1000, "half_close": 1000}.get(fault, 500)
            told = {"does": [name], "direction": "up", "octets": octets, "channel": "data"}
            assert fired == ([told] if fault in ENDING else [])
            assert await ftp.events("error") == []

    run(go(), loop)


@pytest.mark.parametrize("verb", ["data_connect", "transfer", "data"])
@pytest.mark.parametrize(
    "then",
    [
        {"reset": {"after_octets": 500, "direction": "down"}},
        {"cut_after": {"octets": 1000, "direction": "down"}},
        {"half_close": {"direction": "down"}},
        {"corrupt": {"direction": "down"}},
    ],
    ids=str,
)
def test_what_is_said_to_go_down_leaves_the_data_alone(then: dict[str, Any], verb: str, tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            client = await ftp.logged_in()
            await client.ask("TYPE I")
            await ftp.rule(verb, times=1, **then)
            pipe = await client.data()
            assert (await client.ask("STOR g")).startswith("1")
            if verb != "data":  # whose first piece is asked about when it comes
                await half_closed(pipe, then)
            pipe.writer.write(DATA)
            await half_closed(pipe, then)
            pipe.writer.write_eof()
            assert (await client.reply()).startswith("226")
            assert await ftp.content("/g") == DATA

    async def half_closed(pipe: Pipe, then: dict[str, Any]) -> None:
        if "half_close" in then:
            assert await asyncio.wait_for(pipe.reader.read(), LIMIT_S) == b""

    run(go())


@pytest.mark.parametrize("octets", [8192, 16384])
def test_those_in_the_midst_meet_all_that_follows(octets: int, tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            client = await ftp.logged_in()
            await client.ask("TYPE I")
            await ftp.rule("data", where={"octets": f">={octets}"}, cut_after=100, times=1)
            await sent_whole(client)
            await client.ask("STOR g")
            assert (await client.reply()).startswith("226")
            assert await ftp.content("/g") == DATA[: octets + 100]

    run(go())


@pytest.mark.parametrize("verb", ["data_tls", "transfer"])
@pytest.mark.parametrize(
    "then", [{"reset": True}, {"cut_after": 1000}, {"corrupt": {"after_octets": 50}}, SLICE], ids=str
)
def test_private_ones_meet_them_behind_the_handshake(then: dict[str, Any], verb: str, tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            await with_old(ftp)
            client = await ftp.logged_in(implicit=True)
            await client.ask("TYPE I")
            await ftp.rule(verb, times=1, **then)
            pipe = await client.data()
            await client.ask("STOR g")
            await pipe.writer.start_tls(client.context, server_hostname="localhost")
            pipe.writer.write(DATA)
            pipe.writer.close()
            whole = then is SLICE
            assert (await client.reply()).startswith("226" if whole else "426")
            assert await ftp.content("/g") == (DATA if whole else OLD)

    run(go())


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_those_that_nobody_means_go_through(tls: bool, tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            client = await ftp.logged_in(implicit=tls)
            await client.ask("TYPE I")
            await ftp.rule("noop", latency="1ms")  # faults of bytes, but none at a transfer
            for command in ("STOR g", "APPE g"):
                pipe = await client.data()
                assert (await client.ask(command)).startswith("1")
                if tls:
                    await pipe.writer.start_tls(client.context, server_hostname="localhost")
                pipe.writer.write(DATA)
                pipe.writer.close()
                assert (await client.reply()).startswith("226")
            assert await ftp.content("/g") == DATA * 2
            pipe = await client.data()
            assert (await client.ask("RETR g")).startswith("1")
            if tls:
                await pipe.writer.start_tls(client.context, server_hostname="localhost")
            assert await asyncio.wait_for(pipe.reader.read(), LIMIT_S) == DATA * 2
            assert (await client.reply()).startswith("226")

    run(go())


def test_a_download_that_is_reset_is_told_by_its_octets(tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            with (await ftp.root()).open("/f", "wb") as file:
                file.write(DATA)
            client = await ftp.logged_in()
            await client.ask("TYPE I")
            await ftp.rule("transfer", reset={"after_octets": 500}, times=1)
            pipe = await client.data()
            await client.ask("RETR f")
            with pytest.raises(ConnectionResetError):
                await asyncio.wait_for(pipe.reader.read(), LIMIT_S)
            await client.reply()
            fired = [event.fields for event in await ftp.events("fault") if "verb" not in event.fields]
            assert fired == [{"does": ["reset"], "direction": "down", "octets": 500, "channel": "data"}]

    run(go())


def test_no_relay_outlives_its_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Relay] = []
    there, over = asyncio.Event(), asyncio.Event()
    forget = Wire._forget

    def put_in(wire: Wire, *args: Any, **options: Any) -> Relay:
        made.append(before(wire, *args, **options))
        there.set()
        return made[-1]

    def told(wire: Wire, relay: Relay) -> None:
        forget(wire, relay)
        if relay in made:
            over.set()

    before = Wire.put_in
    monkeypatch.setattr(Wire, "put_in", put_in)
    monkeypatch.setattr(Wire, "_forget", told)

    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            await ftp.rule("transfer", reset=True)
            client = await ftp.logged_in()
            await sent_whole(client)  # and no command ever
            await asyncio.wait_for(there.wait(), LIMIT_S)
            await client.close()
            await asyncio.wait_for(over.wait(), LIMIT_S)

    run(go())


def test_a_command_whose_connection_a_rule_hangs_up_meanwhile(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = Ruled._join_claimed

    async def meanwhile(session: Ruled, command: str, argument: str) -> None:
        await before(session, command, argument)
        if command == "STOR":
            session.hang_up()  # as a rule at the data connection does, whose task comes between

    monkeypatch.setattr(Ruled, "_join_claimed", meanwhile)

    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            await ftp.rule("data_connect", delay="1ms")
            client = await ftp.logged_in()
            await client.data()
            assert await client.ask(b"STOR q\r\n" * 3) == ""
            assert [event.fields["verb"] for event in await ftp.events("fault")] in ([], ["data_connect"])

    with caplog.at_level(logging.WARNING):
        run(go())
    assert [record.getMessage() for record in caplog.records] == []
