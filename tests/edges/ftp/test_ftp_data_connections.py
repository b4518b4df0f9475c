"""Where data connections may go and come from."""

from __future__ import annotations

import asyncio
import re
import socket
from pathlib import Path

import pytest

from tests.support.asyncio_tests import LOOPS, run
from tests.support.ftp import LIMIT_S, open_ftp
from tests.support.ports import unused


def test_pasv_names_our_address(tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            client = await ftp.logged_in()
            reply = await client.ask("PASV")
            match = re.search(r"\((127,0,0,1),(\d+),(\d+)\)", reply)
            assert match, reply
            _, writer = await asyncio.open_connection("127.0.0.1", int(match[2]) * 256 + int(match[3]))
            assert (await client.ask("NLST")).startswith("1")
            assert (await client.reply()).startswith("226")
            writer.close()
            await writer.wait_closed()

    run(go())


def test_passive_ports_are_those_that_were_set_and_run_out(tmp_path: Path) -> None:
    (number,) = unused()

    async def go() -> None:
        async with open_ftp(tmp_path, passive_ports=f"{number}-{number}") as ftp:
            client, other = await ftp.logged_in(), await ftp.logged_in()
            assert await client.passive() == number
            assert (await other.ask("EPSV")).startswith("425")
            assert (await client.ask("ABOR")).startswith("225")
            assert await other.passive() == number

    run(go())


def test_a_data_connection_from_elsewhere_is_refused(tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            client = await ftp.logged_in()
            port = await client.passive()
            thief, thief_writer = await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.2", 0))
            assert await asyncio.wait_for(thief.read(), LIMIT_S) == b""
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            assert (await client.ask("NLST")).startswith("1")
            assert (await client.reply()).startswith("226")
            for one in (thief_writer, writer):
                one.close()
                await one.wait_closed()
            assert len(await ftp.events("error")) == 1

    run(go())


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("PORT 10,0,0,1,117,48", "501"),
        ("PORT 127,0,0,1,0,25", "501"),
        ("PORT 127,0,0,2,117,48", "501"),
        ("EPRT |1|10.0.0.1|30000|", "501"),
        ("EPRT |2|::1|30000|", "522"),
        ("PORT nonsense", "501"),
        ("EPSV 2", "522"),
        ("EPSV x", "501"),
    ],
)
def test_no_bounce(command: str, code: str, tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            client = await ftp.logged_in()
            assert (await client.ask(command)).startswith(code)
            assert (await client.ask("NLST")).startswith("425")

    run(go())


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("command", ["PORT 127,0,0,1,{high},{low}", "EPRT |1|127.0.0.1|{port}|"])
def test_active(command: str, loop: str, tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            got: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

            async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                got.set_result(await reader.read())
                writer.close()

            async with await asyncio.start_server(take, "127.0.0.1", 0) as server:
                port = server.sockets[0].getsockname()[1]
                client = await ftp.logged_in()
                await client.ask("MKD d")
                said = command.format(high=port // 256, low=port % 256, port=port)
                assert (await client.ask(said)).startswith("200")
                assert (await client.ask("NLST")).startswith("1")
                assert (await client.reply()).startswith("226")
                assert await asyncio.wait_for(got, LIMIT_S) == b"d\r\n"

    run(go(), loop)


@pytest.mark.parametrize("loop", LOOPS)
def test_active_where_nobody_listens(loop: str, tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            client = await ftp.logged_in()
            with socket.socket() as deaf:  # bound, so that nobody else comes to listen there
                deaf.bind(("127.0.0.1", 0))
                port = deaf.getsockname()[1]
                assert (await client.ask(f"EPRT |1|127.0.0.1|{port}|")).startswith("425")
            assert (await client.ask("PWD")).startswith("257")

    run(go(), loop)


def test_octets_sent_before_the_command_are_kept(tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            client = await ftp.logged_in()
            pipe = await client.data()
            pipe.writer.write(b"early")
            await pipe.writer.drain()
            assert (await client.ask("NOOP")).startswith("200")
            assert (await client.ask("STOR f")).startswith("1")
            await pipe.close()
            assert (await client.reply()).startswith("226")
            assert await ftp.content("/f") == b"early"

    run(go())
