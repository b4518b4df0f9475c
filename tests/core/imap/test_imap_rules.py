"""The verbs that rules speak of, and what a session does when one breaks into its midst. Whole conversations are talks: rule-*.talk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from portyard.commons.effects import Arm, Close, Effect, Expect, Hush, Joins, Note, Pause, Send
from portyard.commons.events import Line, Literal, MailboxChanged
from portyard.commons.scenario.checking import check
from portyard.commons.scenario.model import RuleError
from portyard.commons.scenario.parsing import make_rule
from portyard.commons.yard import Yard
from portyard.imap.core.context import Offer
from portyard.imap.core.fields import fields_for, verb_for
from portyard.imap.core.framing import TakeLiteral
from portyard.imap.core.grammar import parse_command
from portyard.imap.core.lexing import Frame
from portyard.imap.core.model import Command
from portyard.imap.core.session import ImapSession
from portyard.imap.core.verbs import VOCABULARY
from tests.support.asyncio_tests import run
from tests.support.talks import deliver
from tests.support.yard import open_yard

MOMENTS = {"connect", "greeting", "tls", "challenge", "literal", "message", "exists", "done"}
COMMANDS = [
    "ID NIL",
    "LIST a b",
    "STATUS INBOX (UNSEEN)",
    "RENAME a b",
    "SELECT INBOX",
    "ENABLE X",
    "IDLE",
    "UID EXPUNGE 1:3",
    "EXPUNGE",
    "STORE 1 +FLAGS (x)",
    "UID COPY 1 Trash",
    "MOVE 1:* Trash",
    "FETCH 1 ALL",
    "UID SEARCH CHARSET UTF-8 TEXT x",
    "CAPABILITY",
    "NOOP",
]


def in_yard(tmp_path: Path, test: Callable[[Yard], Any]) -> None:
    async def go() -> None:
        async with open_yard(tmp_path) as yard:
            yard.gate.learn(VOCABULARY)
            await test(yard)

    run(go())


async def ruled(yard: Yard, on: str, then: dict[str, Any], **rest: Any) -> ImapSession:
    await yard.rules.add("default", make_rule(f"imap.{on}", then, **rest))
    gate = yard.gate.session("imap", session="core", peer="192.0.2.1")
    return ImapSession(yard.accounts, yard.mail, Offer(starttls=True), gate=gate)


async def said(session: ImapSession, *lines: str | Literal | MailboxChanged) -> list[Effect]:
    effects: list[Effect] = []
    for line in lines:
        event = Line(line.encode()) if isinstance(line, str) else line
        effects += [effect async for effect in session.receive(event)]
    return effects


def octets(effects: list[Effect]) -> bytes:
    return b"".join(effect.data for effect in effects if isinstance(effect, Send))


def until(effects: list[Effect], kind: type[Effect]) -> list[Effect]:
    """What an edge obeys before it breaks off."""
    index = next(index for index, effect in enumerate(effects) if isinstance(effect, kind))
    return effects[:index]


def test_every_command_is_a_verb() -> None:
    commands = {kind.__name__.lower() for kind in Command.__args__}  # type: ignore[attr-defined]
    assert commands | MOMENTS == set(VOCABULARY.verbs)
    assert not commands & MOMENTS


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_tells_the_fields_that_its_verb_declares(line: str) -> None:
    command = parse_command(Frame(b"a " + line.encode())).command
    declared = set(VOCABULARY.verbs[verb_for(command)].fields)
    told = set(fields_for(command, "INBOX"))
    assert told - {"mailbox"} == declared - {"mailbox"}
    assert declared <= told


WRONG = [
    ("fetch", {"refuse": "[UNAVAILABLE] later"}),
    ("fetch", {"refuse": "OK but no"}),
    ("fetch", {"refuse": "NO"}),
    ("fetch", {"say": "* 1 EXISTS\nlater"}),
    ("fetch", {"respond": "x"}),
    ("fetch", {"script": [{"say": "later"}]}),
    ("message", {"refuse": "NO later"}),
    ("greeting", {"refuse": "NO later"}),
    ("greeting", {"say": "* NO later"}),
    ("exists", {"say": "* 2 EXISTS"}),
    ("exists", {"refuse": "NO later"}),
    ("done", {"say": "OK"}),
]


@pytest.mark.parametrize(("verb", "then"), WRONG, ids=str)
def test_what_cant_be_said_is_refused_when_it_is_set(verb: str, then: dict[str, Any]) -> None:
    with pytest.raises(RuleError):
        check(make_rule(f"imap.{verb}", then), {"imap": VOCABULARY})


RIGHT = [
    ("fetch", {"refuse": "* 3 EXISTS\nBAD $items"}),
    ("fetch", {"say": "+ idling"}),
    ("noop", {"say": "* 3 EXISTS\r\nOK done"}),
    ("*", {"refuse": "NO later"}),
    ("greeting", {"say": "* PREAUTH hello"}),
    ("connect", {"reset": True}),
]


@pytest.mark.parametrize(("verb", "then"), RIGHT, ids=str)
def test_what_can_be_said_is_taken(verb: str, then: dict[str, Any]) -> None:
    assert check(make_rule(f"imap.{verb}", then), {"imap": VOCABULARY})


def pieces(size: int) -> Iterator[int]:
    sent = 0
    while sent < size:
        yield sent
        sent += min(sent, 65536) or max(1, min(64, size // 2))


@pytest.mark.parametrize("size", [1, 2, 40, 300, 300_000])
def test_a_literal_is_asked_about_at_its_start_and_in_its_midst(tmp_path: Path, size: int) -> None:
    async def test(yard: Yard) -> None:
        account = await yard.accounts.find("alice")
        assert account is not None
        await yard.mail.append(account.id, "INBOX", b"Subject: x\r\n\r\n" + b"y" * size)
        session = await ruled(yard, "message", {"cut_after": 5}, where={"size": size, "mailbox": "INBOX"})
        effects = await said(session, "a LOGIN alice alice-secret", "b SELECT INBOX", "c FETCH 1 BODY.PEEK[TEXT]")
        places = [
            octets(effects[:index]).count(b"y") for index, effect in enumerate(effects) if isinstance(effect, Arm)
        ]
        assert places == list(pieces(size))
        assert octets(effects).count(b"y") == size
        assert octets(effects).endswith(b")\r\nc OK Fetch completed\r\n")

    in_yard(tmp_path, test)


@pytest.mark.parametrize(("then", "end"), [({"silence": True}, Hush), ({"hang_up": True}, Close)])
def test_a_literal_breaks_off_where_the_rule_says(tmp_path: Path, then: dict[str, Any], end: type[Effect]) -> None:
    async def test(yard: Yard) -> None:
        await deliver(yard, "two-short.mbox")
        session = await ruled(yard, "message", then, where={"octets": ">=64"})
        effects = await said(session, "a LOGIN alice alice-secret", "b SELECT INBOX", "c FETCH 1 BODY.PEEK[]")
        sent = octets(until(effects, end))
        assert len(sent.partition(b"* 1 FETCH (BODY[] {174}\r\n")[2]) == 64

    in_yard(tmp_path, test)


MOMENT_LINES = {
    "literal": ["b STATUS {5}"],
    "challenge": ["b AUTHENTICATE PLAIN"],
    "login": ["b LOGIN alice alice-secret"],
    "authenticate": ["b AUTHENTICATE PLAIN AGFsaWNlAGFsaWNlLXNlY3JldA=="],
    "starttls": ["b STARTTLS"],
    "noop": ["b NOOP"],
}


@pytest.mark.parametrize("verb", MOMENT_LINES)
@pytest.mark.parametrize(
    ("then", "wanted"),
    [
        ({"silence": True}, [Hush()]),
        ({"hang_up": True}, [Close()]),
        ({"delay": 2, "silence": True}, [Pause(2.0), Hush()]),
    ],
    ids=str,
)
def test_every_moment_can_be_silent_wait_or_end(
    tmp_path: Path, verb: str, then: dict[str, Any], wanted: list[Effect]
) -> None:
    async def test(yard: Yard) -> None:
        session = await ruled(yard, verb, then)
        effects = await said(session, *MOMENT_LINES[verb])
        stop = effects.index(wanted[-1]) + 1
        assert [e for e in effects[:stop] if not isinstance(e, Note | Joins)] == wanted

    in_yard(tmp_path, test)


@pytest.mark.parametrize("verb", ["idle", "done", "exists"])
def test_idle_can_be_silenced_at_each_of_its_moments(tmp_path: Path, verb: str) -> None:
    async def test(yard: Yard) -> None:
        session = await ruled(yard, verb, {"silence": True})
        effects = await said(session, "a LOGIN alice alice-secret", "b SELECT INBOX", "c IDLE")
        if verb == "exists":
            await deliver(yard, "two-short.mbox")
            effects += await said(session, MailboxChanged())
        elif verb == "done":
            effects += await said(session, "DONE")
        heard = octets(until(effects, Hush))
        assert heard.endswith(b"+ idling\r\n") == (verb != "idle")
        assert b"2 EXISTS" not in heard

    in_yard(tmp_path, test)


def test_exists_can_come_late(tmp_path: Path) -> None:
    async def test(yard: Yard) -> None:
        session = await ruled(yard, "exists", {"delay": "3s"})
        await said(session, "a LOGIN alice alice-secret", "b SELECT INBOX", "c IDLE")
        await deliver(yard, "two-short.mbox")
        effects = [e for e in await said(session, MailboxChanged()) if not isinstance(e, Note)]
        assert effects == [Pause(3.0), Send(b"* 2 EXISTS\r\n* 2 RECENT\r\n")]
        assert await said(session, MailboxChanged()) == []

    in_yard(tmp_path, test)


def test_what_came_before_idle_is_asked_about_too(tmp_path: Path) -> None:
    async def test(yard: Yard) -> None:
        session = await ruled(yard, "exists", {"refuse": "* OK Still here"})
        await said(session, "a LOGIN alice alice-secret", "b SELECT INBOX")
        await deliver(yard, "two-short.mbox")
        assert octets(await said(session, "c IDLE")) == b"+ idling\r\n* OK Still here\r\n"
        assert b"* 2 EXISTS" in octets(await said(session, "DONE"))

    in_yard(tmp_path, test)


def test_a_login_is_in_its_sandbox_before_the_rules_there_are_asked(tmp_path: Path) -> None:
    async def test(yard: Yard) -> None:
        for lines in (
            ["a LOGIN alice wrong"],
            ["a AUTHENTICATE PLAIN AGFsaWNlAHdyb25n"],
            ["a AUTHENTICATE LOGIN", "YWxpY2U="],  # as soon as the name is said
        ):
            session = ImapSession(yard.accounts, yard.mail, Offer())
            assert Joins("default") in await said(session, *lines)
            session = ImapSession(yard.accounts, yard.mail, Offer(require_tls=True))
            if lines[0].endswith("LOGIN"):
                continue  # it isn't asked for a name in plaintext
            effects = await said(session, *lines)
            assert Joins("default") in effects
            assert b"a NO [PRIVACYREQUIRED]" in octets(effects)

    in_yard(tmp_path, test)


def test_a_magic_refusal_is_a_no(tmp_path: Path) -> None:
    async def test(yard: Yard) -> None:
        await yard.sandboxes.change("default", magic=True)
        session = await ruled(yard, "noop", {"delay": "1ms"})
        shown = octets(await said(session, "a LOGIN alice+451@portyard.test x"))
        assert shown == b"a NO 451 as the address asks\r\n"

    in_yard(tmp_path, test)


def test_ruled_refusals_exhaust_nobodys_patience(tmp_path: Path) -> None:
    async def test(yard: Yard) -> None:
        session = await ruled(yard, "noop", {"refuse": "BAD no"})
        effects = await said(session, *["a NOOP"] * 50)
        assert octets(effects) == b"a BAD no\r\n" * 50

    in_yard(tmp_path, test)


def test_the_session_goes_on_after_a_script_in_place_of_an_invitation(tmp_path: Path) -> None:
    async def test(yard: Yard) -> None:
        session = await ruled(yard, "literal", {"script": [{"say": "NO no"}]}, times=1)
        assert octets(await said(session, "a LOGIN {5}")) == b"a NO no\r\n"
        assert octets(await said(session, "b NOOP")) == b"b OK Noop completed\r\n"
        assert Expect(TakeLiteral(5)) in await said(session, "c LOGIN {5}")

    in_yard(tmp_path, test)


def test_an_append_is_asked_about_once(tmp_path: Path) -> None:
    async def test(yard: Yard) -> None:
        session = await ruled(yard, "append", {"refuse": "NO twice"}, skip=1, times=1)
        await said(session, "a LOGIN alice alice-secret")
        effects = await said(session, "b APPEND {4}", Literal(b"Sent"), " {3+}", Literal(b"abc"), "")
        assert b"b OK [APPENDUID" in octets(effects)
        assert octets(await said(session, "c APPEND Sent {3}")) == b"c NO twice\r\n"

    in_yard(tmp_path, test)


async def refused(session: ImapSession, line: str) -> bool:
    return b"NO ruled" in octets(await said(session, line))


def test_a_command_that_no_rule_meant_is_asked_about_again_once_a_rule_does(tmp_path: Path) -> None:
    async def test(yard: Yard) -> None:
        await deliver(yard, "two-short.mbox")
        session = await ruled(yard, "fetch", {"refuse": "NO ruled"}, where={"message": 2})
        await said(session, "a LOGIN alice alice-secret", "b SELECT INBOX")
        assert [await refused(session, f"{tag} FETCH 1 (FLAGS)") for tag in ("c", "d", "e")] == [False, False, False]
        assert await refused(session, "f FETCH 2 (FLAGS)")
        await yard.rules.add("default", make_rule("imap.fetch", {"refuse": "NO ruled"}, where={"items": "FLAGS"}))
        assert await refused(session, "g FETCH 1 (FLAGS)")
        assert not await refused(session, "h FETCH 1 (UID)")

    in_yard(tmp_path, test)


def test_the_same_line_in_another_mailbox_is_another_event(tmp_path: Path) -> None:
    async def test(yard: Yard) -> None:
        session = await ruled(yard, "noop", {"refuse": "NO ruled"}, where={"mailbox": "Other"})
        await said(session, "a LOGIN alice alice-secret", "b CREATE Other", "c SELECT INBOX")
        assert [await refused(session, "d NOOP"), await refused(session, "e NOOP")] == [False, False]
        await said(session, "f SELECT Other")
        assert await refused(session, "g NOOP")

    in_yard(tmp_path, test)


def test_a_command_whose_literal_differs_is_another_event(tmp_path: Path) -> None:
    async def test(yard: Yard) -> None:
        session = await ruled(yard, "status", {"refuse": "NO ruled"}, where={"mailbox": "Other"})
        await said(session, "a LOGIN alice alice-secret", "b CREATE Other", "c CREATE Otter")
        for name in ("Otter", "Otter", "Other"):
            effects = await said(session, "d STATUS {5}", Literal(name.encode()), " (UNSEEN)")
            assert (b"NO ruled" in octets(effects)) == (name == "Other")

    in_yard(tmp_path, test)


def test_a_rule_counts_as_often_as_its_command_comes(tmp_path: Path) -> None:
    async def test(yard: Yard) -> None:
        session = await ruled(yard, "noop", {"refuse": "NO ruled"}, times=2, skip=1)
        assert [await refused(session, "a NOOP") for _ in range(5)] == [False, True, True, False, False]

    in_yard(tmp_path, test)


@pytest.mark.parametrize("size", [300, 300_000])
def test_a_literal_that_no_rule_meant_is_asked_about_again_once_a_rule_does(tmp_path: Path, size: int) -> None:
    async def test(yard: Yard) -> None:
        account = await yard.accounts.find("alice")
        assert account is not None
        for _ in range(2):
            await yard.mail.append(account.id, "INBOX", b"Subject: x\r\n\r\n" + b"y" * size)
        session = await ruled(yard, "message", {"cut_after": 5}, where={"message": 2})
        await said(session, "a LOGIN alice alice-secret", "b SELECT INBOX")

        async def armed(number: int) -> int:
            effects = await said(session, f"c FETCH {number} BODY.PEEK[TEXT]")
            return sum(isinstance(effect, Arm) for effect in effects)

        assert [await armed(1), await armed(1), await armed(2)] == [0, 0, len(list(pieces(size)))]
        rule = make_rule("imap.message", {"cut_after": 5}, where={"octets": list(pieces(size))[1], "message": 1})
        await yard.rules.add("default", rule)
        assert [await armed(1), await armed(1)] == [1, 1]

    in_yard(tmp_path, test)
