"""What the journal prints of a real client's session runs again, as a talk: in another testbed, on a real socket."""

from __future__ import annotations

import asyncio
import base64
import imaplib
import poplib
import smtplib
import ssl
from collections.abc import Callable
from pathlib import Path

import dns.message
import dns.query
import pytest

from portyard.commons.card import Card
from portyard.commons.talk.model import Talk
from portyard.commons.talk.parse import parse_talk
from portyard.commons.talk.print import journal_talk
from portyard.commons.talk.replay import Replay, replayable
from portyard.dns.card import CARD as DNS
from portyard.imap.card import CARD as IMAP
from portyard.pop3.card import CARD as POP3
from portyard.smtp.card import CARD as SMTP
from tests.support import dns_talks
from tests.support.asyncio_tests import run
from tests.support.talk_peers import SocketPeer
from tests.support.talks import TalkRoom, deliver, run_talk
from tests.support.yard import Served, open_yard, serve

HOST = "127.0.0.1"
USER, PASSWORD = "alice@portyard.test", "alice-secret"
MAIL = "two-short.mbox"
BINDINGS = {"plain": base64.b64encode(f"\0{USER}\0{PASSWORD}".encode()).decode()}


def pop3_errand(served: Served, trusting: ssl.SSLContext) -> None:
    client = poplib.POP3(HOST, served.port("pop3"))
    client.stls(trusting)
    client.user("alice")
    client.pass_(PASSWORD)
    assert client.stat()[0] == 2
    client.list()
    client.uidl(1)
    client.retr(1)
    client.dele(2)
    client.quit()


def imap_errand(served: Served, trusting: ssl.SSLContext) -> None:
    client = imaplib.IMAP4(HOST, served.port("imap"))
    client.starttls(trusting)
    client.login(USER, PASSWORD)
    client.create("Sent/2026")
    client.append("Sent/2026", None, None, b"Subject: again\r\n\r\nhello\r\n")  # type: ignore[arg-type]
    client.append("Sent/2026", None, None, b"Subject: again\r\n\r\nhello\r\n" * 40)  # type: ignore[arg-type]
    client.select()
    client.search(None, "ALL")
    client.fetch("1:2", "(FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
    client.store("1", "+FLAGS", r"(\Seen)")
    client.copy("1", "Sent/2026")
    client.logout()


def mta_errand(served: Served, trusting: ssl.SSLContext) -> None:
    with smtplib.SMTP(HOST, served.port("smtp")) as client:
        client.sendmail("ada@example.com", [USER, "someone@example.org"], b"Subject: again\r\n\r\nhello\r\n" * 100)


def msa_errand(served: Served, trusting: ssl.SSLContext) -> None:
    with smtplib.SMTP(HOST, served.port("submission")) as client:
        client.starttls(context=trusting)
        client.ehlo()
        client.user, client.password = USER, PASSWORD
        client.auth("PLAIN", client.auth_plain)
        client.sendmail(USER, ["bob@portyard.test"], b"Subject: again\r\n\r\nhello\r\n")
        assert client.docmd("MAIL FROM:<not an address>")[0] == 501


def dns_errand(served: Served, trusting: ssl.SSLContext) -> None:
    for name, kind in (("portyard.test", "MX"), ("nobody.portyard.test", "A"), ("example.org", "MX")):
        query = dns.message.make_query(name, kind, use_edns=False)
        dns.query.tcp(query, HOST, port=served.port("dns-tcp"), timeout=20)


async def talks_of(
    room: str, cards: tuple[Card, ...], errand: Callable[..., None], state: Path, mail: str
) -> list[str]:
    """The journal's talks of an errand, in a testbed of its own."""
    async with open_yard(state) as yard, serve(yard, *cards) as served:
        if mail:
            await deliver(yard, mail)
        await asyncio.to_thread(errand, served, served.client_context())
        await yard.journal.flush()
        records = [
            each
            for each in await yard.journal.sessions("default", room=room)
            if each.service in errand.__name__ or room != "smtp"
        ]
        return [replayable(journal_talk(each, await yard.journal.events(each.id))) for each in reversed(records)]


@pytest.mark.parametrize(
    ("room", "card", "port", "errand", "mail"),
    [
        ("pop3", POP3, "pop3", pop3_errand, MAIL),
        ("imap", IMAP, "imap", imap_errand, MAIL),
        ("smtp", SMTP, "smtp", mta_errand, ""),
        ("smtp", SMTP, "submission", msa_errand, ""),
    ],
    ids=["pop3", "imap", "mta", "msa"],
)
@pytest.mark.parametrize("feeding", ["whole", "bytes"])
def test_a_printed_session_runs_again(
    room: str, card: Card, port: str, errand: Callable[..., None], mail: str, feeding: str, tmp_path: Path
) -> None:
    async def main() -> None:
        (text,) = await talks_of(room, (card,), errand, tmp_path / "first", mail)
        assert PASSWORD not in text
        talk = parse_talk(text)
        if mail:
            talk.headers["mail"] = mail
        async with open_yard(tmp_path / "second") as yard, serve(yard, card) as served:

            async def connect(talk: Talk) -> SocketPeer:
                return await SocketPeer.connect(served.port(port), served.client_context())

            await run_talk(TalkRoom(connect, {}, BINDINGS), yard, talk, feeding)

    run(main())


def test_printed_queries_run_again(tmp_path: Path) -> None:
    async def main() -> None:
        texts = await talks_of("dns", (DNS,), dns_errand, tmp_path / "first", "")
        assert len(texts) == 3
        async with open_yard(tmp_path / "second") as yard, serve(yard, DNS) as served:

            async def exchange(octets: bytes) -> bytes:
                reader, writer = await asyncio.open_connection(HOST, served.port("dns-tcp"))
                writer.write(len(octets).to_bytes(2, "big") + octets)
                answer = await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
                writer.close()
                return answer

            for text in texts:
                kept = "\n".join(line for line in text.split("\n") if not line.endswith(("<close>", "<closed>")))
                await dns_talks.run_talk(parse_talk(kept), exchange)

    run(main())


def test_what_changes_from_run_to_run_is_anything_and_secrets_have_names() -> None:
    told = replayable(
        "room: x\n# opened a=1\nS: +OK ready <2655.5.1795364890@x.test>\nC: AUTH PLAIN «secret, 24 bytes»\nC: AUTH PLAIN\n"
        "C: «secret, 24 bytes»\nC: PASS «secret, 4 bytes»\nS: * OK [UIDVALIDITY 1795364890] $$5 for 3\n"
        "S: Sun, 22 Nov 2026 16:33:07 +0000\nS: «literal, 70000 bytes»\nC: «message, 12 octets»\nC: <close>\n"
    )
    assert told.split("\n")[2:] == [
        "S: +OK ready $",
        "C: AUTH PLAIN $plain",
        "C: AUTH PLAIN",
        "C: $plain",
        "C: PASS $password",
        "S: * OK [UIDVALIDITY $] $$5 for 3",
        "S: $",
        "S: ...",
        "C: X-Again: x",
        "C: .",
        "C: <close>",
        "",
    ]


def test_a_secret_keeps_its_name_where_a_talk_is_read_in_parts() -> None:
    again = Replay()
    assert list(again.lines("C: AUTH PLAIN")) == ["C: AUTH PLAIN"]
    assert list(again.lines("S: +\nC: «secret, 24 bytes»")) == ["S: +", "C: $plain"]
    assert list(again.lines("C: «secret, 24 bytes»")) == ["C: $password"]


@pytest.mark.parametrize("octets", [2, 3, 899, 900, 901, 902, 903, 1800, 2701, 5000])
def test_a_counted_message_is_one_of_that_size(octets: int) -> None:
    lines = [line.removeprefix("C: ") for line in replayable(f"C: «message, {octets} octets»").split("\n")]
    assert lines[-1] == "."
    assert sum(len(line) + 2 for line in lines[:-1]) == octets
    assert all(len(line) < 998 for line in lines)
