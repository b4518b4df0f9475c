"""IMAP's talks over a real socket and real TLS, and what only an edge can do."""

from __future__ import annotations

import asyncio
import imaplib
import ssl
import time
from pathlib import Path

import pytest

from portyard.commons.scenario.parsing import make_rule
from portyard.commons.yard import Yard
from portyard.imap.card import CARD
from portyard.imap.edge import PARTING
from tests.support.asyncio_tests import LOOPS, run
from tests.support.imap import BINDINGS, PRELUDES
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

CASES = [pytest.param(path, feeding, id=f"{path.stem}-{feeding}") for path, feeding in cases("imap", "edge")]


@pytest.mark.parametrize(("path", "feeding"), CASES)
def test_talk(path: Path, feeding: str, tmp_path: Path) -> None:
    talk = read_talk(path)

    async def go() -> None:
        async with (
            open_yard(tmp_path, require_tls="require-tls" in talk.headers) as yard,
            serve(yard, CARD) as served,
        ):

            async def connect(talk: Talk) -> SocketPeer:
                port = served.port("imaps" if implicit(talk) else "imap")
                return await SocketPeer.connect(port, served.client_context(), implicit=implicit(talk))

            await run_talk(TalkRoom(connect, PRELUDES, BINDINGS), yard, talk, feeding)

    run(go())


def client_of(port: int, context: ssl.SSLContext | None) -> imaplib.IMAP4:
    if context is not None:
        return imaplib.IMAP4_SSL("localhost", port, ssl_context=context, timeout=20)
    return imaplib.IMAP4("localhost", port, timeout=20)


def errand(port: int, context: ssl.SSLContext | None, upgrade: ssl.SSLContext | None) -> list[bytes]:
    """A stock client's whole errand; the messages as it got them."""
    client = client_of(port, context)
    if upgrade is not None:
        client.starttls(upgrade)
    client.login(USER, PASSWORD)
    status, (count,) = client.select("INBOX")
    assert status == "OK"
    messages = []
    for number in range(1, int(count or b"0") + 1):
        _, data = client.fetch(str(number), "(UID FLAGS BODY[])")
        assert isinstance(data[0], tuple)
        messages.append(data[0][1])
    assert client.search(None, "SEEN")[1] == [b"1 2"]
    assert client.create('"Harbour &AOk-t&AOk-"')[0] == "OK"
    assert client.uid("COPY", "1", '"Harbour &AOk-t&AOk-"')[0] == "OK"
    assert client.append("Sent", r"(\Seen)", imaplib.Time2Internaldate(time.time()), messages[0])[0] == "OK"
    client.store("1", "+FLAGS", r"(\Deleted)")
    assert client.expunge()[1] == [b"1"]
    assert client.close()[0] == "OK"
    client.logout()
    return messages


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("way", ["plain", "starttls", "implicit"])
def test_imaplib_reads_files_and_deletes(way: str, loop: str, tmp_path: Path) -> None:
    async def go() -> None:
        async with open_yard(tmp_path) as yard, serve(yard, CARD) as served:
            await deliver(yard, "two-short.mbox")
            context = served.client_context()
            port = served.port("imaps" if way == "implicit" else "imap")
            got = await asyncio.to_thread(
                errand, port, context if way == "implicit" else None, context if way == "starttls" else None
            )
            assert got == messages_of("two-short.mbox")
            assert await counts(yard, "INBOX", "Harbour été", "Sent") == [1, 1, 1]

    run(go(), loop)


async def counts(yard: Yard, *names: str) -> list[int]:
    account = await yard.accounts.find(USER)
    assert account is not None
    found = [await yard.mail.mailbox(account.id, name) for name in names]
    return [box.messages if box else -1 for box in found]


def test_idle_hears_a_delivery_within_50_ms(tmp_path: Path) -> None:
    async def go() -> None:
        async with open_yard(tmp_path) as yard, serve(yard, CARD) as served:
            peer = await SocketPeer.connect(served.port("imap"), served.client_context())
            await peer.send(b"a LOGIN alice alice-secret\r\nb SELECT INBOX\r\nc IDLE\r\n")
            while (await peer.line() or "") != "+ idling":
                pass
            took: list[float] = []
            while not took or (
                min(took) >= 0.05 and len(took) < 500
            ):  # once is enough: the machine may be busy with others
                started = time.monotonic()
                await deliver(yard, "two-short.mbox")
                assert await peer.line()
                took.append(time.monotonic() - started)
                assert await peer.line()
            await peer.close()
            assert min(took) < 0.05, took

    run(go())


def test_a_large_message_streams_and_comes_back_byte_for_byte(tmp_path: Path) -> None:
    body = b"Subject: large\r\n\r\n" + bytes(range(1, 256)) * 20_000 + b"\r\n"

    def fetch(port: int) -> bytes:
        client = client_of(port, None)
        client.login(USER, PASSWORD)
        assert client.append("INBOX", "", "", body)[0] == "OK"
        client.select("INBOX")
        _, data = client.fetch("1", "(BODY.PEEK[])")
        client.logout()
        assert isinstance(data[0], tuple)
        return data[0][1]

    async def go() -> None:
        async with open_yard(tmp_path) as yard, serve(yard, CARD) as served:
            assert await asyncio.to_thread(fetch, served.port("imap")) == imaplib.MapCRLF.sub(imaplib.CRLF, body)

    run(go())


def test_a_session_is_journalled_with_its_secrets_blanked(tmp_path: Path) -> None:
    async def go() -> None:
        async with open_yard(tmp_path) as yard, serve(yard, CARD) as served:
            peer = await SocketPeer.connect(served.port("imap"), served.client_context())
            await peer.send(b"a LOGIN {5+}\r\nalice {5+}\r\nwrong\r\nb LOGIN alice wrong\r\n")
            await peer.send(b"c AUTHENTICATE PLAIN\r\nAGFsaWNlAHdyb25n\r\nd AUTHENTICATE PLAIN AGFsaWNlAHdyb25n\r\n")
            await peer.send(b'e LOGIN "alice" "alice-secret"\r\nf LOGOUT\r\n')
            while await peer.line() is not None:
                pass
            await peer.close()
            await until_closed(yard)
            (record,) = await yard.journal.sessions("default", room="imap")
            assert record.account == USER
            events = await yard.journal.events(record.id)
            commands = [str(event.fields["text"]) for event in events if event.kind == "command"]
            assert commands == [
                "a LOGIN {5+}",
                "«secret, 5 bytes»",
                "{5+}",
                "«secret, 5 bytes»",
                "«secret, 0 bytes»",
                "b LOGIN alice «secret, 5 bytes»",
                "c AUTHENTICATE PLAIN",
                "«secret, 16 bytes»",
                "d AUTHENTICATE PLAIN «secret, 16 bytes»",
                'e LOGIN "alice" «secret, 14 bytes»',
                "f LOGOUT",
            ]

    run(go())


async def until_closed(yard: Yard) -> None:
    while True:
        await yard.journal.flush()
        records = await yard.journal.sessions("default")
        if records and records[0].closed_at is not None:
            return
        await asyncio.sleep(0)


def test_shutdown_says_bye(tmp_path: Path) -> None:
    async def go() -> None:
        async with open_yard(tmp_path) as yard:
            async with serve(yard, CARD) as served:
                reader, writer = await asyncio.open_connection("127.0.0.1", served.port("imap"))
                await reader.readuntil(b"\r\n")
            assert await reader.read() == PARTING
            writer.close()
            await writer.wait_closed()

    run(go())


def test_a_peer_that_vanishes_in_an_append_stores_nothing(tmp_path: Path) -> None:
    async def go() -> None:
        async with open_yard(tmp_path) as yard, serve(yard, CARD) as served:
            peer = await SocketPeer.connect(served.port("imap"), served.client_context())
            await peer.send(b"a LOGIN alice alice-secret\r\nb APPEND INBOX {1000+}\r\nSubject: half")
            for _ in range(2):
                await peer.line()
            await peer.close()
            await until_closed(yard)
            assert await counts(yard, "INBOX") == [0]

    run(go())


def test_a_failed_login_shows_in_the_sandbox_that_it_claims(tmp_path: Path) -> None:
    """By LOGIN, AUTHENTICATE PLAIN and LOGIN, of accounts that exist and of one that doesn't; the rules there are asked."""

    def errand(port: int) -> list[str]:
        said = []
        for attempt in (
            lambda client: client.login("u1@t1.test", "wrong"),
            lambda client: client.login("nobody@t1.test", "wrong"),
            lambda client: client.authenticate("PLAIN", lambda _: b"\0u1@t1.test\0wrong"),
            lambda client: client.authenticate("LOGIN", lambda asked: b"u1@t1.test" if b"User" in asked else b"wrong"),
        ):
            client = imaplib.IMAP4("localhost", port, timeout=20)
            with pytest.raises(imaplib.IMAP4.error) as failed:
                attempt(client)
            said.append(str(failed.value))
            client.logout()
        return said

    async def go() -> None:
        async with open_yard(tmp_path) as yard, serve(yard, CARD) as served:
            await yard.sandboxes.create("t1")
            await yard.accounts.create("t1", "u1@t1.test", "pw1")
            for sandbox in ("t1", "default"):
                for verb in ("login", "authenticate"):
                    rule = make_rule(f"imap.{verb}", {"refuse": f"NO by the rules of {sandbox}"}, times=1)
                    await yard.rules.add(sandbox, rule)
            said = await asyncio.to_thread(errand, served.port("imap"))
            assert ["by the rules of t1" in text for text in said] == [True, False, True, False]
            assert not [text for text in said if "default" in text]
            await yard.journal.flush()
            assert len(await yard.journal.sessions("t1", room="imap")) == 4

    run(go())


def test_fail_twice_then_succeed(tmp_path: Path) -> None:
    def errand(port: int) -> int:
        client = imaplib.IMAP4("localhost", port, timeout=20)
        client.login(USER, PASSWORD)
        client.select("INBOX")
        tries = 1
        while client.fetch("1", "(BODY.PEEK[])")[0] != "OK":
            tries += 1
        client.logout()
        return tries

    async def go() -> None:
        async with open_yard(tmp_path) as yard, serve(yard, CARD) as served:
            await deliver(yard, "two-short.mbox")
            await yard.rules.add("default", make_rule("imap.fetch", {"refuse": "NO [UNAVAILABLE] later"}, times=2))
            assert await asyncio.to_thread(errand, served.port("imap")) == 3

    run(go())


SILENCED = {
    "connect": ("", 0),
    "greeting": ("", 0),
    "noop": ("a NOOP", 1),
    "challenge": ("a AUTHENTICATE PLAIN", 1),
    "literal": ("a LOGIN {5}", 1),
    "login": ("a LOGIN alice alice-secret", 1),
    "starttls": ("a STARTTLS", 1),
}


@pytest.mark.parametrize("verb", SILENCED)
@pytest.mark.parametrize("then", [{"silence": True}, {"hang_up": True}, {"delay": "200ms"}], ids=str)
def test_what_a_client_sees_of_a_rule(tmp_path: Path, verb: str, then: dict[str, object]) -> None:
    line, lines_before = SILENCED[verb]

    async def go() -> None:
        async with open_yard(tmp_path) as yard, serve(yard, CARD) as served:
            await yard.rules.add("default", make_rule(f"imap.{verb}", then))
            began = time.monotonic()
            peer = await SocketPeer.connect(served.port("imap"), served.client_context())
            for _ in range(lines_before):
                assert await peer.line()
            if line:
                await peer.send(line.encode() + b"\r\n")
            if "silence" in then:
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(peer.line(), 0.3)
            elif "hang_up" in then:
                assert await peer.line() is None
            else:
                assert await peer.line()
                assert time.monotonic() - began >= 0.2
            await peer.close()

    run(go())


@pytest.mark.parametrize("then", [{"cut_after": 100}, {"reset": True}], ids=str)
def test_bytes_misbehave_from_a_fetch_on(tmp_path: Path, then: dict[str, object]) -> None:
    def errand(port: int) -> None:
        client = imaplib.IMAP4("localhost", port, timeout=20)
        client.login(USER, PASSWORD)
        client.select("INBOX")
        with pytest.raises((imaplib.IMAP4.abort, ConnectionError)):
            client.fetch("1", "(BODY.PEEK[])")
        client.shutdown()

    async def go() -> None:
        async with open_yard(tmp_path) as yard, serve(yard, CARD) as served:
            await deliver(yard, "two-short.mbox")
            await yard.rules.add("default", make_rule("imap.fetch", then))
            await asyncio.to_thread(errand, served.port("imap"))

    run(go())
