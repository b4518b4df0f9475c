"""What an independent client meets where the IMAP room is another kind of server."""

from __future__ import annotations

import asyncio
import imaplib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from portyard.commons.scenario.parsing import make_rule
from portyard.commons.scenario.personas import Wardrobe
from portyard.imap.card import CARD
from tests.support.asyncio_tests import run
from tests.support.talks import PASSWORD, USER, deliver
from tests.support.yard import Served, open_yard, serve


def with_persona(tmp_path: Path, persona: str, errand: Callable[[Served], object]) -> None:
    """Run a blocking errand against a whole room that is such a server by its settings."""

    async def go() -> None:
        async with open_yard(tmp_path, personas={"imap": persona}) as yard, serve(yard, CARD) as served:
            await deliver(yard, "two-short.mbox")
            await asyncio.to_thread(errand, served)

    run(go())


@contextmanager
def connected(served: Served, password: str | None = PASSWORD) -> Iterator[imaplib.IMAP4]:
    context = served.client_context()
    client = imaplib.IMAP4_SSL("localhost", served.port("imaps"), ssl_context=context, timeout=20)
    try:
        if password is not None:
            client.login(USER, password)
        yield client
    finally:
        with suppress(imaplib.IMAP4.error, OSError):
            client.logout()
        with suppress(OSError):
            client.shutdown()


@pytest.mark.parametrize(
    ("persona", "most", "words"),
    [
        ("gmail", 15, "Too many simultaneous connections"),
        ("dovecot", 10, "Maximum number"),
        ("exchange", 16, "LOGIN failed"),
    ],
)
def test_an_account_s_sessions_are_counted(tmp_path: Path, persona: str, most: int, words: str) -> None:
    def errand(served: Served) -> None:
        context = served.client_context()
        clients = [
            imaplib.IMAP4_SSL("localhost", served.port("imaps"), ssl_context=context, timeout=20) for _ in range(most)
        ]
        try:
            for client in clients:
                client.login(USER, PASSWORD)
            with pytest.raises(imaplib.IMAP4.error, match=words), connected(served):
                pass
            clients.pop().logout()
            with connected(served) as another:
                assert another.noop()[0] == "OK"
        finally:
            for client in clients:
                client.logout()

    with_persona(tmp_path, persona, errand)


@pytest.mark.parametrize("persona", ["gmail", "dovecot", "exchange"])
def test_no_login_in_plaintext(tmp_path: Path, persona: str) -> None:
    def errand(served: Served) -> None:
        with imaplib.IMAP4("localhost", served.port("imap"), timeout=20) as client:
            with pytest.raises(imaplib.IMAP4.error):
                client.login(USER, PASSWORD)
            assert ("STARTTLS" in client.capabilities) is (persona != "gmail")
            if persona != "gmail":
                client.starttls(served.client_context())
                assert client.login(USER, PASSWORD)[0] == "OK"

    with_persona(tmp_path, persona, errand)


def test_gmail_s_store_archives(tmp_path: Path) -> None:
    def errand(served: Served) -> None:
        with connected(served) as client:
            assert b"LITERAL-" in client.capability()[1][0].split()
            client.select("INBOX")
            client.store("1", "+FLAGS", "\\Deleted")
            assert client.noop()[0] == "OK"
            assert client.response("EXPUNGE")[1] == [b"1"]
            assert client.status('"[Gmail]/All Mail"', "(MESSAGES)")[1] == [b'"[Gmail]/All Mail" (MESSAGES 1)']
            assert client.copy("1", '"[Gmail]/Trash"')[0] == "OK"
            client.select('"[Gmail]/Trash"')
            client.store("1", "+FLAGS", "\\Deleted")
            assert client.status('"[Gmail]/Trash"', "(MESSAGES)")[1] == [b'"[Gmail]/Trash" (MESSAGES 0)']
            client.select('"[Gmail]/All Mail"')
            assert client.fetch("1", "(FLAGS)")[1] == [b"1 (FLAGS (\\Recent))"], "without the mark"

    with_persona(tmp_path, "gmail", errand)


def test_gmail_s_literals_that_come_unasked_are_small(tmp_path: Path) -> None:
    def errand(served: Served) -> None:
        with connected(served) as client:
            tag = client._new_tag()
            client.send(tag + b" APPEND INBOX {4096+}\r\n" + b"a" * 4096 + b"\r\n")
            assert client._get_response()
            tag = client._new_tag()
            client.send(tag + b" APPEND INBOX {4097+}\r\n" + b"a" * 4097 + b"\r\n")
            line = client.readline()
            while not line.startswith(tag):
                line = client.readline()
            assert line == tag + b" BAD Could not parse command\r\n"
            assert client.append("INBOX", "", "", b"a" * 10_000)[0] == "OK", "one that waits may be larger"

    with_persona(tmp_path, "gmail", errand)


def test_exchange_s_estimates_and_keywords(tmp_path: Path) -> None:
    def errand(served: Served) -> None:
        with connected(served) as client:
            client.select("INBOX")
            (answer, _), *_ = client.fetch("1", "(RFC822.SIZE BODY.PEEK[])")[1]  # type: ignore[misc]
            told, exact = int(answer.split(b"SIZE ")[1].split()[0]), int(answer.split(b"{")[1].rstrip(b"}"))
            assert told == exact + exact * 3 // 100
            assert client.append("INBOX", "($Junk $MDNSent)", "", b"Subject: x\r\n\r\n")[0] == "OK"
            assert client.search(None, "KEYWORD $Junk")[1] == [b""]
            assert client.search(None, "KEYWORD $MDNSent")[1] == [b"3"]

    with_persona(tmp_path, "exchange", errand)


def test_exchange_s_patience(tmp_path: Path) -> None:
    def errand(served: Served) -> None:
        with connected(served, None) as client:
            for _ in range(2):
                with pytest.raises(imaplib.IMAP4.error, match="LOGIN failed"):
                    client.login(USER, "wrong")
            with pytest.raises(imaplib.IMAP4.error):
                client.login(USER, "wrong")
            with pytest.raises(imaplib.IMAP4.abort):
                client.noop()

    with_persona(tmp_path, "exchange", errand)


def test_dovecot_takes_its_time_after_a_wrong_password(tmp_path: Path) -> None:
    async def go() -> None:
        async with open_yard(tmp_path, personas={"imap": "dovecot"}) as yard, serve(yard, CARD) as served:
            loop = asyncio.get_running_loop()
            before = loop.time()

            def errand() -> None:
                with (
                    connected(served, None) as client,
                    pytest.raises(imaplib.IMAP4.error, match="Authentication failed"),
                ):
                    client.login(USER, "wrong")

            await asyncio.to_thread(errand)
            assert loop.time() - before >= 2

    run(go())


def test_one_s_own(tmp_path: Path) -> None:
    """A persona that somebody brought, while the room runs, is met by the next connection."""

    async def go() -> None:
        async with open_yard(tmp_path) as yard:
            own = {"replies": {"greeting": "Mine on $host"}, "folders": {"Trash": "Papierkorb"}, "separator": "."}
            Wardrobe(yard.state).put(CARD, "mine", own)
            async with serve(yard, CARD) as served:
                await yard.rules.add("default", make_rule("imap.connect", {"persona": "mine"}))

                def errand() -> tuple[bytes, list[bytes]]:
                    with connected(served) as client:
                        return client.welcome, client.list('""', "P%")[1]  # type: ignore[return-value]

                welcome, listed = await asyncio.to_thread(errand)
                assert welcome.endswith(b"Mine on imap.portyard.test")
                assert listed == [b'(\\HasNoChildren \\Trash) "." "Papierkorb"']
                Wardrobe(yard.state).put(CARD, "mine", {"replies": {"greeting": "Another"}})
                assert (await asyncio.to_thread(errand))[0].endswith(b"Another")
                Wardrobe(yard.state).delete(CARD, "mine")
                assert b"Portyard" in (await asyncio.to_thread(errand))[0], "gone: the room as it is"

    run(go())


def test_too_many_flags_are_no_sessions(tmp_path: Path) -> None:
    """Two refusals have one code (LIMIT); each has words of its own."""

    def errand(served: Served) -> None:
        with connected(served) as client:
            client.select("INBOX")
            flags = " ".join(f"k{number}" for number in range(101))
            kind, (answer, *_) = client.store("1", "+FLAGS", f"({flags})")
            assert kind == "NO"
            assert answer.startswith(b"[LIMIT] A message has")

    with_persona(tmp_path, "gmail", errand)
