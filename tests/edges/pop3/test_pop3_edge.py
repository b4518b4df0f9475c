"""POP3's talks over a real socket and real TLS, and what only an edge can do."""

from __future__ import annotations

import asyncio
import contextlib
import poplib
import ssl
from pathlib import Path

import pytest

from portyard.pop3.card import CARD
from tests.support.asyncio_tests import LOOPS, run
from tests.support.pop3 import BINDINGS, PRELUDES
from tests.support.talk_peers import SocketPeer
from tests.support.talks import (
    PASSWORD,
    USER,
    Talk,
    TalkRoom,
    cases,
    deliver,
    implicit,
    messages_of,
    read_talk,
    run_talk,
)
from tests.support.yard import open_yard, serve

CASES = [pytest.param(path, feeding, id=f"{path.stem}-{feeding}") for path, feeding in cases("pop3", "edge")]


@pytest.mark.parametrize(("path", "feeding"), CASES)
def test_talk(path: Path, feeding: str, tmp_path: Path) -> None:
    talk = read_talk(path)

    async def go() -> None:
        async with (
            open_yard(tmp_path, require_tls="require-tls" in talk.headers) as yard,
            serve(yard, CARD) as served,
        ):

            async def connect(talk: Talk) -> SocketPeer:
                port = served.port("pop3s" if implicit(talk) else "pop3")
                return await SocketPeer.connect(port, served.client_context(), implicit=implicit(talk))

            await run_talk(TalkRoom(connect, PRELUDES, BINDINGS), yard, talk, feeding)

    run(go())


def errand(port: int, context: ssl.SSLContext | None) -> list[bytes]:
    """A stock client's whole errand; the messages as it got them."""
    client = (
        poplib.POP3_SSL("localhost", port, context=context, timeout=20)
        if context is not None
        else poplib.POP3("localhost", port, timeout=20)
    )
    client.user(USER)
    client.pass_(PASSWORD)
    count, octets = client.stat()
    messages = [b"\r\n".join(client.retr(number)[1]) + b"\r\n" for number in range(1, count + 1)]
    assert sum(map(len, messages)) == octets
    client.dele(1)
    client.quit()
    return messages


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("listener", ["pop3", "pop3s"])
def test_poplib_fetches_and_deletes(listener: str, loop: str, tmp_path: Path) -> None:
    async def go() -> None:
        async with open_yard(tmp_path) as yard, serve(yard, CARD) as served:
            await deliver(yard, "two-short.mbox")
            context = served.client_context() if listener == "pop3s" else None
            got = await asyncio.to_thread(errand, served.port(listener), context)
            assert got == messages_of("two-short.mbox")
            account = await yard.accounts.find(USER)
            assert account is not None
            inbox = await yard.mail.mailbox(account.id, "INBOX")
            assert inbox is not None
            assert inbox.messages == 1

    run(go(), loop)


def test_a_session_is_journalled_with_its_secrets_blanked(tmp_path: Path) -> None:
    async def go() -> None:
        async with open_yard(tmp_path) as yard, serve(yard, CARD) as served:
            await asyncio.to_thread(errand_without_mail, served.port("pop3"))
            await until_closed(yard)
            (record,) = await yard.journal.sessions("default", room="pop3")
            assert record.account == USER
            events = await yard.journal.events(record.id)
            text = "\n".join(str(event.fields) for event in events)
            assert PASSWORD not in text
            assert f"PASS «secret, {len(PASSWORD)} bytes»" in text
            assert [event.kind for event in events][:2] == ["opened", "greeting"]
            assert events[-1].kind == "closed"

    async def until_closed(yard: object) -> None:
        while True:
            await yard.journal.flush()  # type: ignore[attr-defined]
            records = await yard.journal.sessions("default")  # type: ignore[attr-defined]
            if records and records[0].closed_at is not None:
                return
            await asyncio.sleep(0)

    run(go())


def errand_without_mail(port: int) -> None:
    client = poplib.POP3("localhost", port, timeout=20)
    client.user(USER)
    client.pass_(PASSWORD)
    client.quit()


def test_shutdown_says_goodbye(tmp_path: Path) -> None:
    async def go() -> None:
        async with open_yard(tmp_path) as yard:
            async with serve(yard, CARD) as served:
                reader, writer = await asyncio.open_connection("127.0.0.1", served.port("pop3"))
                await reader.readuntil(b"\r\n")
            assert await reader.read() == b"-ERR [SYS/TEMP] the server is stopping or failed\r\n"
            writer.close()
            await writer.wait_closed()

    run(go())


def test_a_client_that_ends_its_input_still_gets_its_answers(tmp_path: Path) -> None:
    async def go() -> None:
        async with open_yard(tmp_path) as yard, serve(yard, CARD) as served:
            await deliver(yard, "two-short.mbox")
            reader, writer = await asyncio.open_connection("127.0.0.1", served.port("pop3"))
            writer.write(b"USER alice\r\nPASS alice-secret\r\nRETR 1\r\nQUIT\r\n")
            writer.write_eof()
            assert (await reader.read()).count(b"+OK") == 5
            writer.close()
            await writer.wait_closed()

    run(go())


def test_a_handshake_that_the_client_breaks_off_is_nobody_elses_trouble(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def go() -> None:
        async with open_yard(tmp_path) as yard, serve(yard, CARD) as served:
            stranger = ssl.create_default_context()  # it doesn't know the testbed's CA
            client = await asyncio.to_thread(poplib.POP3, "localhost", served.port("pop3"), 20)
            with pytest.raises(ssl.SSLCertVerificationError):
                await asyncio.to_thread(client.stls, stranger)
            with contextlib.suppress(OSError):  # the failed wrap took its socket away
                client.close()
            talk = ""
            while "closed" not in talk:
                await yard.journal.flush()
                (record,) = await yard.journal.sessions("default")
                talk = " ".join(f"{event.kind} {event.fields}" for event in await yard.journal.events(record.id))
            assert "unknown_ca" in talk
            assert "tls handshake failed" in talk
            assert "stopping or failed" not in talk

    run(go())
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
