"""What a session does when something goes wrong below it, and how it sends large things. Talks can't say these."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from portyard.commons.effects import Abort, Close, Effect, Expect, Note, Send, Unwatch, Watch
from portyard.commons.events import Gone, Line, Literal, MailboxChanged, TooLong
from portyard.commons.mailstore.model import StoreFullError
from portyard.commons.yard import Yard
from portyard.imap.card import CARD, EXTENSIONS
from portyard.imap.core.commands import HANDLERS
from portyard.imap.core.context import Offer
from portyard.imap.core.framing import SkipLiteral, TakeLiteral
from portyard.imap.core.model import Command
from portyard.imap.core.quirks import Quirks, Replies
from portyard.imap.core.session import ImapSession
from portyard.imap.core.state import RULES, Phase
from tests.support.asyncio_tests import run
from tests.support.talks import deliver
from tests.support.yard import open_yard


class Failing:
    """A mailstore in which some calls are replaced."""

    def __init__(self, real: object, **calls: Callable[..., Any]) -> None:
        self._real = real
        self._calls = calls

    def __getattr__(self, name: str) -> Any:
        return self._calls.get(name) or getattr(self._real, name)


async def said(session: ImapSession, *lines: str | Literal | MailboxChanged | TooLong | Gone) -> list[Effect]:
    effects: list[Effect] = []
    for line in lines:
        event = Line(line.encode()) if isinstance(line, str) else line
        session.transcript(event)
        effects += [effect async for effect in session.receive(event)]
    return effects


def text_of(effects: list[Effect]) -> str:
    return b"".join(effect.data for effect in effects if isinstance(effect, Send)).decode("latin-1")


def session_of(yard: Yard, **calls: Callable[..., Any]) -> ImapSession:
    mail: Any = Failing(yard.mail, **calls)
    return ImapSession(yard.accounts, mail, Offer(extensions=EXTENSIONS))


def in_yard(tmp_path: Path, test: Callable[[Yard], Any]) -> None:
    async def go() -> None:
        async with open_yard(tmp_path) as yard:
            await test(yard)

    run(go())


def test_every_command_has_its_handler_and_its_place() -> None:
    placed = {kind for commands in RULES.values() for kind in commands}
    assert placed == set(HANDLERS) == set(Command.__args__)  # type: ignore[attr-defined]
    assert not RULES[Phase.LOGOUT]


def test_the_card_announces_what_sessions_announce() -> None:
    assert set(EXTENSIONS) < set(CARD.capabilities)


def test_a_persona_tells_the_account_of_a_message_that_was_not_invited(tmp_path: Path) -> None:
    words = Quirks(replies=Replies(too_large="[TOOBIG] $command of $account"))

    async def test(yard: Yard) -> None:
        session = ImapSession(yard.accounts, yard.mail, Offer(extensions=EXTENSIONS, message_limit=10, quirks=words))
        told = text_of(await said(session, "a LOGIN alice alice-secret", "b APPEND INBOX {11}"))
        assert "b NO [TOOBIG] APPEND of alice@portyard.test\r\n" in told

    in_yard(tmp_path, test)


# Each announced capability, a command that needs it, and what the answer holds when it is served.
SERVED = {
    "IMAP4rev1": ("NOOP", "OK"),
    "LITERAL+": ("STATUS {5+}", "STATUS"),
    "ID": ("ID NIL", "* ID ("),
    "ENABLE": ("ENABLE X", "* ENABLED"),
    "IDLE": ("IDLE", "+ idling"),
    "NAMESPACE": ("NAMESPACE", "* NAMESPACE"),
    "UIDPLUS": ("UID EXPUNGE 1", "OK Expunge"),
    "MOVE": ("UID MOVE 9 Trash", "OK"),
    "UNSELECT": ("UNSELECT", "OK Unselect"),
    "CHILDREN": ('LIST "" *', "\\HasNoChildren"),
    "SPECIAL-USE": ('LIST "" *', "\\Sent"),
    "SASL-IR": ("AUTHENTICATE PLAIN AGFsaWNlAGFsaWNlLXNlY3JldA==", "OK"),
    "AUTH=PLAIN": ("AUTHENTICATE PLAIN", "+ \r\n"),
    "AUTH=LOGIN": ("AUTHENTICATE LOGIN", "+ VXNlcm5hbWU6"),
    "STARTTLS": ("STARTTLS", "OK Begin TLS"),
    "LOGINDISABLED": ("LOGIN alice alice-secret", "NO [PRIVACYREQUIRED]"),
}


@pytest.mark.parametrize("capability", CARD.capabilities)
def test_every_announced_capability_is_served(tmp_path: Path, capability: str) -> None:
    line, answer = SERVED[capability]

    async def test(yard: Yard) -> None:
        offer = Offer(starttls=True, require_tls=capability == "LOGINDISABLED", extensions=EXTENSIONS)
        session = ImapSession(yard.accounts, yard.mail, offer)
        if "AUTH" not in capability and capability not in ("SASL-IR", "STARTTLS", "LOGINDISABLED"):
            await said(session, "a LOGIN alice alice-secret")
            await said(session, *([] if capability == "ENABLE" else ["b SELECT INBOX"]))
        assert capability in text_of(await said(session, "c CAPABILITY")).split()
        rest = (Literal(b"INBOX"), " (MESSAGES)") if capability == "LITERAL+" else ()
        assert answer in text_of(await said(session, f"d {line}", *rest))

    in_yard(tmp_path, test)


def test_a_full_disk_is_told_and_the_session_goes_on(tmp_path: Path) -> None:
    async def full(*_: object, **__: object) -> None:
        raise StoreFullError("no space left on device")

    async def test(yard: Yard) -> None:
        session = session_of(yard, append=full)
        await said(session, "a LOGIN alice alice-secret")
        effects = await said(session, "b APPEND INBOX {2}", Literal(b"x\n"), "")
        assert text_of(effects) == "+ Ready for literal data\r\nb NO [OVERQUOTA] No room for it\r\n"
        assert Expect(TakeLiteral(2)) in effects
        assert text_of(await said(session, "c NOOP")) == "c OK Noop completed\r\n"

    in_yard(tmp_path, test)


def test_a_message_has_so_many_flags_and_no_more(tmp_path: Path) -> None:
    async def test(yard: Yard) -> None:
        await deliver(yard, "two-short.mbox")
        session = session_of(yard)
        await said(session, "a LOGIN alice alice-secret", "b SELECT INBOX")
        hundred = " ".join(f"k{number}" for number in range(100))
        assert "c OK" in text_of(await said(session, f"c STORE 1 +FLAGS.SILENT ({hundred})"))
        assert "d NO [LIMIT]" in text_of(await said(session, "d STORE 1:2 +FLAGS.SILENT (one-more)"))
        assert "e OK" in text_of(await said(session, "e STORE 1 FLAGS.SILENT (one-more)"))
        assert "NO [LIMIT]" in text_of(await said(session, f"f APPEND INBOX ({hundred} x) {{2}}", Literal(b"x\n"), ""))

    in_yard(tmp_path, test)


def test_a_command_of_endless_literals_is_refused_and_forgotten(tmp_path: Path) -> None:
    async def test(yard: Yard) -> None:
        session = session_of(yard)
        effects: list[Effect] = []
        lines = 0
        while Expect(SkipLiteral(30_000)) not in effects:
            effects = await said(session, f"{'a SEARCH SUBJECT' if not lines else ''} {{30000+}}")
            if Expect(TakeLiteral(30_000)) in effects:
                await said(session, Literal(b"x" * 30_000))
            lines += 1
        assert 30 < lines < 40
        for _ in range(1000):
            await said(session, " {30000+}")
        assert len(session._gathering.lines) <= lines
        assert text_of(await said(session, "")) == "a BAD [TOOBIG] Command too large\r\n"
        assert text_of(await said(session, "b NOOP")) == "b OK Noop completed\r\n"

    in_yard(tmp_path, test)


def test_our_own_error_is_told_and_noted_with_its_traceback(tmp_path: Path) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("our fault")

    async def test(yard: Yard) -> None:
        session = session_of(yard, mailboxes=broken)
        await said(session, "a LOGIN alice alice-secret")
        effects = await said(session, 'b LIST "" *')
        assert text_of(effects).startswith("b NO [SERVERBUG]")
        (note,) = [effect for effect in effects if isinstance(effect, Note)]
        assert note.kind == "error"
        assert "our fault" in str(note.fields["traceback"])
        assert text_of(await said(session, "c NOOP")) == "c OK Noop completed\r\n"

    in_yard(tmp_path, test)


@pytest.mark.parametrize("outcome", ["raises", "short"])
def test_a_literal_that_breaks_off_ends_the_connection(tmp_path: Path, outcome: str) -> None:
    async def octets(*_: object) -> bytes:
        if outcome == "raises":
            raise OSError("the disk is gone")
        return b"less than announced"

    async def test(yard: Yard) -> None:
        await deliver(yard, "two-short.mbox")
        session = session_of(yard, octets=octets)
        await said(session, "a LOGIN alice alice-secret", "b SELECT INBOX")
        effects = await said(session, "c FETCH 1 BODY.PEEK[]")
        assert effects[-1] == Abort()
        assert "c OK" not in text_of(effects)

    in_yard(tmp_path, test)


def test_large_bodies_are_sent_in_pieces_of_64_kib_at_most(tmp_path: Path) -> None:
    message = b"Subject: large\r\n\r\n" + b"x" * 300_000

    async def test(yard: Yard) -> None:
        account = await yard.accounts.find("alice")
        assert account is not None
        await yard.mail.append(account.id, "INBOX", message)
        session = session_of(yard)
        await said(session, "a LOGIN alice alice-secret", "b SELECT INBOX")
        effects = await said(session, "c FETCH 1 BODY.PEEK[]<10.250000>")
        sizes = [len(effect.data) for effect in effects if isinstance(effect, Send)]
        assert max(sizes) <= 65536
        assert len(sizes) > 4
        shown = text_of(effects)
        assert shown.startswith(f"* 1 FETCH (BODY[]<10> {{250000}}\r\n{message[10:40].decode()}")
        assert shown.endswith("x)\r\nc OK Fetch completed\r\n")
        bulk = [effect.note for effect in effects if isinstance(effect, Send) and len(effect.data) > 5000]
        assert bulk == ["«65536 bytes»"] * 3 + ["«53392 bytes»"]

    in_yard(tmp_path, test)


def test_idle_ends_with_bye_when_the_mailbox_is_deleted(tmp_path: Path) -> None:
    async def test(yard: Yard) -> None:
        account = await yard.accounts.find("alice")
        assert account is not None
        session = session_of(yard)
        effects = await said(session, "a LOGIN alice alice-secret", "b SELECT Junk", "c IDLE")
        junk = await yard.mail.mailbox(account.id, "Junk")
        assert junk is not None
        assert Watch(junk.id) in effects
        await yard.mail.delete(account.id, "Junk")
        effects = await said(session, MailboxChanged())
        assert text_of(effects) == "* BYE Mailbox was deleted\r\n"
        assert effects[-1] == Close()
        assert session.phase is Phase.LOGOUT

    in_yard(tmp_path, test)


@pytest.mark.parametrize("before", [[], ["s SELECT INBOX"]])
def test_a_deleted_account_is_shown_out(tmp_path: Path, before: list[str]) -> None:
    async def test(yard: Yard) -> None:
        session = session_of(yard)
        await said(session, "a LOGIN alice alice-secret", *before)
        await yard.accounts.delete("default", "alice@portyard.test")
        effects = await said(session, 'b LIST "" *')
        assert text_of(effects) == "* BYE Account was deleted\r\n"
        assert effects[-1] == Close()

    in_yard(tmp_path, test)


def test_an_over_long_line_ends_idle(tmp_path: Path) -> None:
    async def test(yard: Yard) -> None:
        session = session_of(yard)
        await said(session, "a LOGIN alice alice-secret", "b SELECT INBOX", "c IDLE")
        effects = await said(session, TooLong(65536, b"xxxx"))
        assert Unwatch() in effects
        assert text_of(effects) == "c BAD [TOOBIG] Line too long\r\n"

    in_yard(tmp_path, test)


def test_changes_outside_idle_wait_for_a_command(tmp_path: Path) -> None:
    async def test(yard: Yard) -> None:
        session = session_of(yard)
        await said(session, "a LOGIN alice alice-secret", "b SELECT INBOX")
        await deliver(yard, "two-short.mbox")
        assert await said(session, MailboxChanged()) == []
        assert text_of(await said(session, "c NOOP")) == "* 2 EXISTS\r\n* 2 RECENT\r\nc OK Noop completed\r\n"
        assert await said(session, Gone()) == []

    in_yard(tmp_path, test)


@pytest.mark.parametrize(
    ("lines", "shown"),
    [
        (["a LOGIN alice alice-secret"], "a LOGIN alice «secret, 12 bytes»"),
        (['a login "al ice" "x y"'], 'a login "al ice" «secret, 5 bytes»'),
        (['a LOGIN "unfinished secret'], "a LOGIN «secret, 18 bytes»"),
        (["  LOGIN alice secret"], "  LOGIN alice «secret, 6 bytes»"),
        (["LOGIN alice secret"], "LOGIN alice «secret, 6 bytes»"),
        (["authenticate plain AGFs"], "authenticate plain «secret, 4 bytes»"),
        (["LOGIN LOGIN alice secret"], "LOGIN LOGIN alice «secret, 6 bytes»"),
        (["a LOGIN alice {3}"], "a LOGIN alice {3}"),
        (["a AUTHENTICATE PLAIN AGFs"], "a AUTHENTICATE PLAIN «secret, 4 bytes»"),
        (["a AUTHENTICATE PLAIN", "AGFs"], "«secret, 4 bytes»"),
        (["a AUTHENTICATE PLAIN", "*"], "*"),
        (["a LOGINS alice secret"], "a LOGINS alice secret"),
        (["a SELECT INBOX"], "a SELECT INBOX"),
    ],
)
def test_secrets_are_blanked(tmp_path: Path, lines: list[str], shown: str) -> None:
    async def test(yard: Yard) -> None:
        session = session_of(yard)
        await said(session, *lines[:-1])
        assert session.transcript(Line(lines[-1].encode())) == shown

    in_yard(tmp_path, test)


def test_secrets_in_literals_and_long_lines_are_blanked(tmp_path: Path) -> None:
    async def test(yard: Yard) -> None:
        session = session_of(yard)
        assert session.transcript(TooLong(10, b"a LOGIN alice secretsecret")).startswith(
            "a LOGIN alice «secret, 12 bytes»"
        )
        await said(session, "a LOGIN {5}")
        assert session.transcript(Literal(b"alice")) == "«secret, 5 bytes»"
        await said(session, Literal(b"alice"))
        assert session.transcript(Line(b" secret")) == "«secret, 7 bytes»"
        assert "secret," in session.transcript(TooLong(10, b" secretsecret"))
        await said(session, " alice-secret", "b APPEND INBOX {600}")
        assert session.transcript(Literal(b"x" * 600)) == "«literal, 600 bytes»"

    in_yard(tmp_path, test)


def test_a_long_search_lets_others_run(tmp_path: Path) -> None:
    async def test(yard: Yard) -> None:
        for _ in range(10):
            await deliver(yard, "two-short.mbox")
        session = session_of(yard)
        await said(session, "a LOGIN alice alice-secret", "b SELECT INBOX")
        turns = 0

        async def other() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        task = asyncio.create_task(other())
        await asyncio.sleep(0)
        before = turns
        await said(session, "c SEARCH BODY nothing")
        task.cancel()
        assert turns - before > 10

    in_yard(tmp_path, test)
