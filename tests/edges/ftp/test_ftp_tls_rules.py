"""Certificates and handshakes by rule and by SNI, on the control connection and on data connections; session reuse."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest

from tests.support.asyncio_tests import LOOPS, run
from tests.support.ftp import LIMIT_S, Ftp, open_ftp
from tests.support.ftp_sessions import Blocking, reuse


def unverified() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@pytest.mark.parametrize(
    ("policy", "without", "with_one"),
    [
        ("reported", (False, "226"), (True, "226")),
        ("required", (False, "522"), (True, "226")),
        ("refused", (False, "226"), (False, "226")),
    ],
)
def test_session_reuse_as_a_setting(
    policy: str, without: tuple[bool, str], with_one: tuple[bool, str], tmp_path: Path
) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path, session_reuse=policy) as ftp:
            got = await asyncio.to_thread(reuse, ftp)
            assert [(reused, reply[:3]) for reused, reply in got] == [without, with_one]
            told = [event.fields["resumed"] for event in await ftp.handshakes() if event.fields["channel"] == "data"]
            assert told == [without[0], with_one[0]]

    run(go())


def test_session_reuse_as_a_rule(tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            await ftp.rule(
                "data_tls", where={"reused": False}, refuse="522 SSL connection failed; session reuse required"
            )
            (reused, refused), (resumed, done) = await asyncio.to_thread(reuse, ftp)
            assert (reused, refused[:3], resumed, done[:3]) == (False, "522", True, "226")

    run(go())


def test_session_reuse_refused_by_a_rule(tmp_path: Path) -> None:
    """By another certificate's context on the data connection, whose sessions are its own; and by a reply."""

    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            await ftp.rule("tls", where={"channel": "data"}, tls="no_tickets", times=2)
            got = await asyncio.to_thread(reuse, ftp)
            assert [(reused, reply[:3]) for reused, reply in got] == [(False, "226"), (False, "226")]
            await ftp.rule("data_tls", where={"reused": True}, refuse="522 no session of before is taken up here")
            (fresh, done), (_, refused) = await asyncio.to_thread(reuse, ftp)
            assert (fresh, done[:3], refused[:3]) == (False, "226", "522")

    run(go())


def test_sessions_outlive_a_leaf_that_is_made_again(tmp_path: Path) -> None:
    """Another test's sandbox puts its names on the leaf; who is connected meanwhile can still resume."""

    async def go() -> None:
        async with open_ftp(tmp_path, session_reuse="required") as ftp:
            await ftp.yard.sandboxes.create("t1")
            client = await asyncio.to_thread(Blocking, ftp.served.port("ftps"), ftp.served.client_context())
            assert await shown(ftp, "t1.test", explicit=False) == ""
            reused, reply = await asyncio.to_thread(lambda: client.names(resume=True))
            client.close()
            assert (reused, reply[:3]) == (True, "226")

    run(go())


def test_silence_and_delay_after_a_data_handshake(tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            await ftp.rule("data_tls", delay="30ms", times=1)
            client = await ftp.logged_in(implicit=True)

            async def names(limit_s: float = LIMIT_S) -> bytes:
                pipe = await client.data()
                assert (await client.ask("NLST")).startswith("1")
                await pipe.writer.start_tls(client.context, server_hostname="localhost")
                return await asyncio.wait_for(pipe.reader.read(), limit_s)

            assert await names() == b""
            assert (await client.reply()).startswith("226")
            await ftp.rule("data_tls", silence=True)
            with pytest.raises(TimeoutError):
                await names(0.5)

    run(go())


# Certificates


async def shown(ftp: Ftp, name: str, *, explicit: bool) -> str:
    """What is wrong with the certificate that is shown under a name; empty for nothing."""
    context = ftp.served.client_context()
    try:
        if explicit:
            client = await ftp.client()
            assert (await client.ask("AUTH TLS")).startswith("234")
            await client.writer.start_tls(context, server_hostname=name)
        else:
            _, writer = await asyncio.open_connection(
                "127.0.0.1", ftp.served.port("ftps"), ssl=context, server_hostname=name
            )
            writer.transport.abort()
    except ssl.SSLCertVerificationError as error:
        return error.verify_message
    return ""


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("explicit", [False, True], ids=["implicit", "explicit"])
def test_a_certificate_is_chosen_by_name_or_by_rule(explicit: bool, loop: str, tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            assert await shown(ftp, "localhost", explicit=explicit) == ""
            assert "expired" in await shown(ftp, "expired.portyard.test", explicit=explicit)
            assert "self-signed" in await shown(ftp, "self-signed.portyard.test", explicit=explicit)
            await ftp.rule(
                "tls", where={"server_name": "localhost", "channel": "control"}, tls="not_yet_valid", times=1
            )
            assert "not yet valid" in await shown(ftp, "localhost", explicit=explicit)
            assert await shown(ftp, "localhost", explicit=explicit) == ""
            hello = next(event for event in await ftp.events("tls") if event.fields["step"] == "hello")
            assert "TLSv1.3" in hello.fields["versions"]
            assert hello.fields["cipher_suites"]

    run(go(), loop)


def test_another_certificate_on_the_data_connection(tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            await ftp.rule("tls", where={"channel": "data"}, tls="expired")
            client = await ftp.logged_in(implicit=True)
            pipe = await client.data()
            assert (await client.ask("NLST")).startswith("1")
            with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
                await pipe.writer.start_tls(client.context, server_hostname="localhost")
            assert (await client.reply()).startswith("522")
            assert (await client.ask("NOOP")).startswith("200")

    run(go())


def test_a_handshake_refused_by_an_alert_and_one_that_stalls(tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            port = ftp.served.port("ftps")
            await ftp.rule("tls", refuse="unrecognized_name", delay="10ms", times=1)
            with pytest.raises(ssl.SSLError, match=r"(?i)unrecognized.name"):
                await asyncio.open_connection("127.0.0.1", port, ssl=unverified(), server_hostname="localhost")
            await ftp.rule("tls", silence=True, times=1)
            coming = asyncio.open_connection("127.0.0.1", port, ssl=unverified(), server_hostname="localhost")
            opening = asyncio.ensure_future(coming)
            while len(await ftp.events("fault")) < 2:  # or somebody else would meet the rule
                await asyncio.wait([opening], timeout=0.01)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(opening, 0.2)
            assert (await (await ftp.client(implicit=True)).ask("NOOP")).startswith("200")

    run(go())


@pytest.mark.parametrize("loop", LOOPS)
def test_a_hello_in_pieces(loop: str, tmp_path: Path) -> None:
    """Octet by octet, without the loop spinning between two."""

    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            tls = unverified().wrap_bio(incoming, outgoing, server_hostname="expired.portyard.test")
            reader, writer = await asyncio.open_connection("127.0.0.1", ftp.served.port("ftps"))
            with pytest.raises(ssl.SSLWantReadError):
                tls.do_handshake()
            for octet in outgoing.read():
                writer.write(bytes([octet]))
                await writer.drain()
                await asyncio.sleep(0)
            answer = await asyncio.wait_for(reader.read(5), LIMIT_S)
            assert answer[:1] == b"\x16"
            writer.close()
            await writer.wait_closed()

    run(go(), loop)


def test_a_name_claims_its_sandbox(tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            await ftp.yard.sandboxes.create("t1")
            await ftp.rule("greeting", sandbox="t1", say="220 hello t1")
            port = ftp.served.port("ftps")
            for name, greeting in (("t1.test", b"220 hello t1\r\n"), ("localhost", b"220 Portyard FTP ready.\r\n")):
                reader, writer = await asyncio.open_connection(
                    "127.0.0.1", port, ssl=ftp.served.client_context(), server_hostname=name
                )
                assert await asyncio.wait_for(reader.readline(), LIMIT_S) == greeting
                writer.close()
                await writer.wait_closed()
            assert await shown(ftp, "t1.test", explicit=True) == ""
            assert await shown(ftp, "files.t1.test", explicit=True) == ""

    run(go())


def test_no_goodbye_where_a_certificate_is_named_so(tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            await ftp.rule("tls", tls="no_close_notify")
            client = await ftp.logged_in(implicit=True)
            pipe = await client.data()
            assert (await client.ask("NLST")).startswith("1")
            sock = pipe.writer.get_extra_info("socket").dup()
            pipe.writer.transport.pause_reading()

            def receive() -> str:
                sock.settimeout(LIMIT_S)
                with unverified().wrap_socket(sock, suppress_ragged_eofs=False) as tls:
                    try:
                        tls.recv(1)
                    except ssl.SSLEOFError:
                        return "ragged"
                    return "clean"

            assert await asyncio.to_thread(receive) == "ragged"

    run(go())


def test_plaintext_where_tls_belongs_and_a_handshake_that_stalls(tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            port = ftp.served.port("ftps")
            await ftp.rule("connect", tls="plaintext", times=1)
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            assert (await asyncio.wait_for(reader.readline(), LIMIT_S)).startswith(b"220 ")
            writer.close()
            await writer.wait_closed()
            await ftp.rule("connect", tls="expired", times=1)
            assert "expired" in await shown(ftp, "localhost", explicit=False)
            for explicit in (False, True):
                with pytest.raises(ssl.SSLError, match=r"(?i)wrong.version|record layer"):
                    await shown(ftp, "plaintext.portyard.test", explicit=explicit)
            steps = [event.fields["step"] for event in await ftp.events("tls")]
            assert (steps.count("plaintext"), steps.count("failed")) == (3, 1)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(shown(ftp, "stalled.portyard.test", explicit=False), 0.2)
            await ftp.rule("tls", where={"channel": "data"}, tls="plaintext", times=1)
            client = await ftp.logged_in(implicit=True)
            pipe = await client.data()
            assert (await client.ask("NLST")).startswith("1")
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await pipe.writer.start_tls(client.context, server_hostname="localhost")
            assert (await client.reply()).startswith("522")
            assert "data plaintext" in [event.fields["step"] for event in await ftp.events("tls")]

    run(go())


def test_plaintext_goes_on_with_the_hello_as_the_first_thing_heard(tmp_path: Path) -> None:
    """As the other rooms do on a port that speaks TLS from the first octet: a session in plaintext, once the ClientHello was answered."""

    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            tls = unverified().wrap_bio(incoming, outgoing, server_hostname="plaintext.portyard.test")
            with pytest.raises(ssl.SSLWantReadError):
                tls.do_handshake()
            reader, writer = await asyncio.open_connection("127.0.0.1", ftp.served.port("ftps"))
            writer.write(outgoing.read())
            assert (await asyncio.wait_for(reader.readline(), LIMIT_S)).startswith(b"220 ")
            writer.write(b"\r\n" + b"NOOP\r\n")
            async with asyncio.timeout(LIMIT_S):
                while not (reply := await reader.readline()).startswith(b"200"):
                    assert reply[:2] == b"50"
            writer.close()
            await writer.wait_closed()

    run(go())
