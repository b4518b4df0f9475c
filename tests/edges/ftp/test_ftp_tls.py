"""TLS on the control and the data connection."""

from __future__ import annotations

import asyncio
import socket
import ssl
from pathlib import Path

import pytest

from tests.support.asyncio_tests import LOOPS, run
from tests.support.ftp import LIMIT_S, open_ftp


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("implicit", [False, True])
def test_private_transfers(implicit: bool, loop: str, tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            client = await ftp.client(implicit=implicit)
            if not implicit:
                assert (await client.ask("AUTH TLS")).startswith("234")
                await client.start_tls()
            await client.login()
            if not implicit:
                assert (await client.ask("PBSZ 0")).startswith("200")
                assert (await client.ask("PROT P")).startswith("200")
            await client.ask("TYPE I")
            data = bytes(range(256)) * 4000
            pipe = await client.data(tls=True)
            assert (await client.ask("STOR f")).startswith("1")
            pipe.writer.write(data)
            await pipe.close()
            assert (await client.reply()).startswith("226")
            pipe = await client.data(tls=True)
            assert (await client.ask("RETR f")).startswith("1")
            assert await asyncio.wait_for(pipe.reader.read(), LIMIT_S) == data
            await pipe.close()
            assert (await client.reply()).startswith("226")
            tls = await ftp.handshakes()
            assert [event.fields["channel"] for event in tls] == ["control", "data", "data"]
            assert [event.fields["step"] for event in tls] == ["established", "data established", "data established"]
            assert {event.fields["resumed"] for event in tls} == {False}
            assert tls[0].fields["server_name"] == "localhost"
            assert all(0 < float(str(event.fields["seconds"])) < LIMIT_S for event in tls)

    run(go(), loop)


def test_what_was_read_in_plaintext_is_never_a_command(tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            client = await ftp.client()
            assert (await client.ask(b"AUTH TLS\r\nUSER alice\r\nPASS alice-secret\r\n")).startswith("234")
            await client.start_tls()
            assert (await client.ask("PWD")).startswith("530")
            assert (await client.ask("PASS alice-secret")).startswith("503")

    run(go())


def test_a_user_named_in_plaintext_is_forgotten(tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            client = await ftp.logged_in()
            assert (await client.ask("AUTH TLS")).startswith("234")
            await client.start_tls()
            assert (await client.ask("PWD")).startswith("530")
            assert (await client.ask("AUTH TLS")).startswith("503")

    run(go())


@pytest.mark.parametrize("loop", LOOPS)
def test_a_truncated_upload_is_not_kept(loop: str, tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            client = await ftp.logged_in(implicit=True)
            pipe = await client.data(tls=True)
            assert (await client.ask("STOR f")).startswith("1")
            pipe.writer.write(b"half")
            await pipe.writer.drain()
            # A FIN without a close_notify: what an attacker in between, or a killed client, leaves.
            pipe.writer.transport.abort()
            assert (await client.reply()).startswith("426")
            assert (await ftp.root()).list("/") == []

    run(go(), loop)


def test_a_data_connection_that_speaks_no_tls_gets_522(tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            client = await ftp.logged_in(implicit=True)
            pipe = await client.data()
            assert (await client.ask("STOR f")).startswith("1")
            pipe.writer.write(b"this is no ClientHello, however long it may go on\r\n")
            assert (await client.reply()).startswith("522")
            await pipe.close()
            assert (await client.ask("PWD")).startswith("257")
            assert (await ftp.root()).list("/") == []
            failed = [event for event in await ftp.handshakes() if event.fields["step"] == "failed"]
            assert [event.fields["channel"] for event in failed] == ["data"]

    run(go())


@pytest.mark.parametrize(("octets", "record"), [(b"USER alice\r\n\r\n", b""), (b"\x16\x03\x01\x00\x05hello", b"\x15")])
def test_a_handshake_that_fails_ends_that_connection_alone(octets: bytes, record: bytes, tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            other = await ftp.logged_in(implicit=True)
            reader, writer = await asyncio.open_connection("127.0.0.1", ftp.served.port("ftps"))
            writer.write(octets)
            alert = await asyncio.wait_for(reader.read(), LIMIT_S)
            assert alert[:1] == record  # an alert, where TLS has begun at all
            writer.close()
            await writer.wait_closed()
            assert (await other.ask("NOOP")).startswith("200")
            steps = [event.fields["step"] for event in await ftp.handshakes()]
            assert sorted(map(str, steps)) == ["established", "failed"]

    run(go())


def test_a_client_that_distrusts_us_ends_cleanly(tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            with pytest.raises(ssl.SSLCertVerificationError):
                await asyncio.open_connection(
                    "127.0.0.1", ftp.served.port("ftps"), ssl=ssl.create_default_context(), server_hostname="localhost"
                )
            assert (await (await ftp.logged_in()).ask("NOOP")).startswith("200")

    run(go())


def test_a_data_connection_resumes_the_control_connections_session_and_sends_no_ticket(tmp_path: Path) -> None:
    """A client that uploads and never reads would leave tickets unread, and its system would answer with a RST in place of the end."""

    def errand(port: int, context: ssl.SSLContext) -> list[tuple[bool, bool]]:
        with (
            socket.create_connection(("localhost", port), LIMIT_S) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as control,
            control.makefile("rw", newline="") as lines,
        ):

            def ask(command: str) -> str:
                lines.write(f"{command}\r\n")
                lines.flush()
                return lines.readline()

            def fetch(session: ssl.SSLSession | None) -> tuple[bool, bool]:
                number = int(ask("EPSV").split("|")[3])
                with socket.create_connection(("localhost", number), LIMIT_S) as unwrapped:
                    ask("NLST")
                    with context.wrap_socket(unwrapped, server_hostname="localhost", session=session) as data:
                        assert data.recv(10) == b""
                        lines.readline()
                        ticket = session is None and data.session is not None and data.session.has_ticket
                        return ticket, bool(data.session_reused)

            lines.readline()
            ask("USER alice")
            ask("PASS alice-secret")
            session = control.session
            assert session is not None
            assert session.has_ticket
            return [fetch(None), fetch(session)]

    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            port, context = ftp.served.port("ftps"), ftp.served.client_context()
            assert await asyncio.to_thread(errand, port, context) == [(False, False), (False, True)]
            reused = [event.fields["resumed"] for event in await ftp.handshakes()]
            assert reused == [False, False, True]

    run(go())
