"""What rules do to FTP's transfers and their data connections, seen from a client that knows nothing of them."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from tests.support.asyncio_tests import LOOPS, run
from tests.support.ftp import LIMIT_S, Client, Pipe, open_ftp
from tests.support.ftp_rules import DATA, SOON_S, begin, logged_in, rest_of, silent


@pytest.mark.parametrize("verb", ["transfer", "data", "complete"])
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_phases_of_a_download(verb: str, tls: bool, tmp_path: Path) -> None:
    carried = {"transfer": 0, "data": 8192, "complete": len(DATA)}[verb]
    where = {"octets": f">={carried}", "direction": "down", "path": "/f", "command": "RETR"}

    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:

            async def ready() -> Client:
                await logged_in(ftp)
                client = await ftp.logged_in(implicit=tls)
                await client.ask("TYPE I")
                return client

            async def fetch(client: Client) -> Pipe:
                pipe = await client.data(tls=False)
                assert (await client.ask("RETR f")).startswith("1")
                if tls:
                    await pipe.writer.start_tls(client.context, server_hostname="localhost")
                return pipe

            client = await ready()
            await ftp.rule(verb, where=where, refuse="426 broken off", times=1)
            assert len(await rest_of(await fetch(client))) == carried
            assert await client.reply() == "426 broken off"
            await ftp.rule(verb, where=where, delay=f"{int(SOON_S * 1000)}ms", times=1)
            began = time.monotonic()
            assert await rest_of(await fetch(client)) == DATA
            assert time.monotonic() - began >= SOON_S * 0.9
            assert (await client.reply()).startswith("226")
            await ftp.rule(verb, where=where, hang_up=True, times=1)
            assert len(await rest_of(await fetch(client))) == carried
            assert await client.reply() == ""
            client = await ready()
            await ftp.rule(verb, where=where, silence=True, times=1)
            pipe = await fetch(client)
            assert await asyncio.wait_for(pipe.reader.readexactly(carried), LIMIT_S) == DATA[:carried]
            await silent(client)

    run(go())


@pytest.mark.parametrize("verb", ["transfer", "data", "complete"])
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_phases_of_an_upload(verb: str, tls: bool, tmp_path: Path) -> None:
    where = {"direction": "up", "octets": ">=4096" if verb == "data" else ">=0"}

    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:

            async def store(client: Client) -> None:
                pipe = await client.data(tls=False)
                assert (await client.ask("STOR g")).startswith("1")
                if tls:
                    await pipe.writer.start_tls(client.context, server_hostname="localhost")
                pipe.writer.write(DATA)
                pipe.writer.close()

            client = await ftp.logged_in(implicit=tls)
            await client.ask("TYPE I")
            await ftp.rule(verb, where=where, refuse="452 no room", times=1)
            await store(client)
            assert await client.reply() == "452 no room"
            assert (await ftp.root()).list("/") == []
            await ftp.rule(verb, where=where, delay="20ms", times=1)
            await store(client)
            assert (await client.reply()).startswith("226")
            assert await ftp.content("/g") == DATA
            (await ftp.root()).unlink("/g")
            await ftp.rule(verb, where=where, hang_up=True, times=1)
            await store(client)
            assert await client.reply() == ""
            client = await ftp.logged_in(implicit=tls)
            await ftp.rule(verb, where=where, silence=True, times=1)
            await store(client)
            await silent(client)
            assert (await ftp.root()).list("/") == []

    run(go())


@pytest.mark.parametrize("verb", ["retr", "transfer", "complete"])
def test_a_whole_file_and_a_lie_about_it(verb: str, tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            client = await logged_in(ftp)
            await client.ask("TYPE I")
            await ftp.rule(verb, say="451 the disk failed")
            pipe = await client.data()
            assert (await client.ask("RETR f")).startswith("1")
            assert await rest_of(pipe) == DATA
            assert await client.reply() == "451 the disk failed"
            assert (await client.ask("NOOP")).startswith("200")

    run(go())


def test_a_lie_in_place_of_the_150(tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            client = await logged_in(ftp)
            await ftp.rule("list", say="125 as you were")
            pipe = await client.data()
            assert await client.ask("LIST") == "125 as you were"
            assert b" f\r\n" in await rest_of(pipe)
            assert (await client.reply()).startswith("226")

    run(go())


@pytest.mark.parametrize("loop", LOOPS)
def test_stubs(loop: str, tmp_path: Path) -> None:
    listing = "-rw-r--r-- 1 a b 5 Jan 01 2020 ghost\n"

    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            client = await logged_in(ftp)
            await client.ask("TYPE I")
            await ftp.rule("retr", where={"path": "/ghost/*"}, respond="boo from $path")
            await ftp.rule("list", respond=listing)
            await ftp.rule("nlst", respond="a\nb\n")
            await ftp.rule("mlsd", respond="type=file; a\r\n")
            assert await client.fetch("RETR ghost/1") == b"boo from /ghost/1"
            await client.ask("REST 4")
            assert await client.fetch("RETR ghost/1") == b"from /ghost/1"
            assert await client.fetch("RETR f") == DATA
            assert await client.fetch("LIST anywhere") == listing.replace("\n", "\r\n").encode()
            assert await client.fetch("NLST") == b"a\r\nb\r\n"
            assert await client.fetch("MLSD") == b"type=file; a\r\n"

    run(go(), loop)


def test_data_connections_refused_delayed_and_never_taken(tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            client = await logged_in(ftp)
            await ftp.rule("data_connect", where={"mode": "passive"}, refuse="425 no data today", times=2)
            pipe = await client.data()
            assert await rest_of(pipe) == b""
            assert await client.ask("NLST") == "425 no data today"
            port = await client.passive()  # and with the command before the connection
            assert (await client.ask("NLST")).startswith("150")
            pipe = await client.pipe(port)
            assert await client.reply() == "425 no data today"
            assert await client.fetch("NLST") == b"f\r\n"
            await ftp.rule("data_connect", delay=f"{int(SOON_S * 1000)}ms", times=1)
            began = time.monotonic()
            assert await client.fetch("NLST") == b"f\r\n"
            assert time.monotonic() - began >= SOON_S * 0.9
            await ftp.rule("data_connect", hang_up=True, times=1)
            pipe = await client.data()
            assert await rest_of(pipe) == b""
            assert await client.reply() == ""
            client = await logged_in(ftp)
            await ftp.rule("data_connect", silence=True, times=1)
            await begin(client, "NLST")
            assert (await client.reply()).startswith("150")
            await silent(client)

    run(go())


def test_active_data_connections(tmp_path: Path) -> None:
    async def go() -> None:
        taken: asyncio.Queue[Pipe] = asyncio.Queue()
        pipes: list[Pipe] = []

        async def took(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            pipes.append(Pipe(reader, writer))
            taken.put_nowait(pipes[-1])

        server = await asyncio.start_server(took, "127.0.0.1", 0)
        number = server.sockets[0].getsockname()[1]
        eprt = f"EPRT |1|127.0.0.1|{number}|"
        async with open_ftp(tmp_path) as ftp, server:
            client = await logged_in(ftp)
            await ftp.rule("data_connect", where={"mode": "active"}, refuse="425 can't reach you", times=1)
            assert await client.ask(eprt) == "425 can't reach you"
            assert taken.empty()
            await ftp.rule("data_connect", cut_after=2, times=1)
            assert (await client.ask(eprt)).startswith("200")
            assert (await client.ask("NLST")).startswith("1")
            assert await rest_of(await taken.get()) == b"f\r"
            await client.reply()
            assert (await client.ask(eprt)).startswith("200")
            assert (await client.ask("NLST")).startswith("1")
            assert await rest_of(await taken.get()) == b"f\r\n"
            assert (await client.reply()).startswith("226")
            await ftp.rule("data_connect", silence=True, times=1)
            await client.say(eprt)
            await silent(client)
            assert taken.empty()
            for pipe in pipes:
                await pipe.close()

    run(go())


# Faults of bytes on the data connection


@pytest.mark.parametrize("verb", ["data_connect", "transfer", "data"])
def test_faults_of_bytes_strike_the_data_connection(verb: str, tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            client = await logged_in(ftp)
            await client.ask("TYPE I")

            async def fetch() -> Pipe:
                pipe = await client.data()
                assert (await client.ask("RETR f")).startswith("1")
                return pipe

            await ftp.rule(verb, cut_after=1000, times=1)
            assert await rest_of(await fetch()) == DATA[:1000]
            await client.reply()
            await ftp.rule(verb, corrupt={"after_octets": 10, "octets": 2}, times=1)
            got = await rest_of(await fetch())
            assert [index for index, octet in enumerate(got) if octet != DATA[index]] == [10, 11]
            assert (await client.reply()).startswith("226")
            await ftp.rule(verb, reset={"after_octets": 500}, times=1)
            pipe = await fetch()
            with pytest.raises(ConnectionResetError):
                await rest_of(pipe)
            await client.reply()
            assert (await client.ask("NOOP")).startswith("200")
            await ftp.rule(verb, bandwidth=len(DATA) * 5, times=1)
            began = time.monotonic()
            assert await rest_of(await fetch()) == DATA
            assert time.monotonic() - began > 0.05

    run(go())


# Magic names
