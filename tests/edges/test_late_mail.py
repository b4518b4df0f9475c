"""Mail that began before a sandbox's reset doesn't land after it, wherever it was when the reset came."""

from __future__ import annotations

import asyncio
import imaplib
import smtplib
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import pytest

from portyard.commons.accounts.model import Account
from portyard.commons.scenario.parsing import parse_rule
from portyard.commons.yard import Yard
from portyard.dns.card import CARD as DNS
from portyard.imap.card import CARD as IMAP
from portyard.smtp.card import CARD as MAIL
from portyard.smtp.core.model import Mailbox, Peer, Recipient, Transaction
from portyard.smtp.core.roles.mda import DROPPED, Delivery
from portyard.smtp.spool import queue
from tests.support.asyncio_tests import run
from tests.support.mail_chain import arrived, inbox, queue_changes, settled
from tests.support.resets import HELD_S, LOGIN, PASSWORD, held_delays, obeyed, with_t1
from tests.support.yard import Served, open_yard, serve

LIMIT_S = 20.0
OCTETS = b"Subject: late\r\n\r\n"


@pytest.fixture
def go_on(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """What ends a rule's delay of an hour."""
    return held_delays(monkeypatch)


class Interrupting:
    """Accounts whose look-up lets something happen just before it answers."""

    def __init__(self, yard: Yard, before: Callable[[], Awaitable[object]]) -> None:
        self._accounts, self._before = yard.accounts, before

    async def by_address(self, sandbox: str, address: str) -> Account | None:
        await self._before()
        return await self._accounts.by_address(sandbox, address)

    async def create(self, *words: str, generation: int) -> Account:
        return await self._accounts.create(*words, generation=generation)


@pytest.mark.parametrize("recipient", ["u", "captured"])
def test_a_reset_between_two_looks_of_the_delivery(recipient: str, tmp_path: Path) -> None:
    """The sandbox was looked at and is right; then it is reset, and only then the account is found, or made."""

    async def go() -> None:
        async with with_t1(tmp_path) as served:
            yard = served.yard
            sandbox = await yard.sandboxes.get("t1")
            assert sandbox is not None
            accounts = Interrupting(yard, lambda: yard.sandboxes.reset("t1"))
            door = Delivery(yard.sandboxes, accounts, yard.mail, yard.clocks, "mda.test")  # type: ignore[arg-type]
            transaction = Transaction(Mailbox("a", "b.test"), "id1")
            transaction.recipients.append(Recipient(Mailbox(recipient, "t1.test"), "t1", sandbox.generation))
            assert list(await door.accept(Peer("127.0.0.1"), transaction, OCTETS)) == [DROPPED]
            assert await inbox(yard, f"{recipient}@t1.test") == []
            assert [account.address for account in await yard.accounts.list("t1")] == [LOGIN]

    run(go())


@pytest.mark.parametrize(
    ("client", "port"), [(smtplib.LMTP, "lmtp"), (smtplib.SMTP, "smtp"), (smtplib.SMTP, "submission")]
)
def test_a_reset_between_rcpt_and_the_message(client: type[smtplib.SMTP], port: str, tmp_path: Path) -> None:
    async def go() -> None:
        async with with_t1(tmp_path, MAIL, DNS) as served:
            yard = served.yard

            def begin() -> smtplib.SMTP:
                session = client("127.0.0.1", served.port(port), timeout=LIMIT_S)
                session.ehlo()
                if port == "submission":
                    session.login(LOGIN, PASSWORD)
                assert session.mail(LOGIN)[0] == 250
                assert session.rcpt(LOGIN)[0] == 250
                return session

            def end(session: smtplib.SMTP) -> int:
                code, _ = session.data(OCTETS)
                session.close()
                return code

            session = await asyncio.to_thread(begin)
            await yard.sandboxes.reset("t1")
            assert await asyncio.to_thread(end, session) == 250  # for the client it is over
            async for _ in queue_changes(yard):
                if not await queue(yard.mail_database):
                    break
            assert await inbox(yard, LOGIN) == []

    run(go())


@pytest.mark.parametrize("home", ["t1", "default"])
@pytest.mark.parametrize("port", ["lmtp", "smtp"])
def test_a_reset_while_a_rule_delays_a_recipient(port: str, home: str, tmp_path: Path, go_on: asyncio.Event) -> None:
    recipient = LOGIN if home == "t1" else "captured@elsewhere.test"

    async def go() -> None:
        async with with_t1(tmp_path, MAIL, DNS) as served:
            yard = served.yard
            await yard.rules.add(home, parse_rule({"on": "smtp.rcpt", "then": {"delay": HELD_S}}))

            def send() -> None:
                client = smtplib.LMTP if port == "lmtp" else smtplib.SMTP
                with client("127.0.0.1", served.port(port), timeout=LIMIT_S) as session:
                    session.sendmail("a@client.test", [recipient], OCTETS)  # for the client it is well

            sending = asyncio.create_task(asyncio.to_thread(send))
            await obeyed(yard, home)
            await yard.sandboxes.reset(home)
            go_on.set()
            await sending
            async for _ in queue_changes(yard):
                if not await queue(yard.mail_database):
                    break
            assert await inbox(yard, recipient) == []

    run(go())


def test_a_submitter_that_logged_in_before_the_reset(tmp_path: Path) -> None:
    async def go() -> None:
        async with with_t1(tmp_path, MAIL, DNS) as served:

            def begin() -> smtplib.SMTP:
                session = smtplib.SMTP("127.0.0.1", served.port("submission"), timeout=LIMIT_S)
                session.login(LOGIN, PASSWORD)
                return session

            def send(session: smtplib.SMTP) -> tuple[int, bytes]:
                answer = session.mail(LOGIN)
                session.close()
                return answer

            session = await asyncio.to_thread(begin)
            await served.yard.sandboxes.reset("t1")
            code, text = await asyncio.to_thread(send, session)
            assert (code, b"was reset" in text) == (530, True)
            assert (await asyncio.to_thread(send, await asyncio.to_thread(begin)))[0] == 250

    run(go())


def test_what_a_hop_has_in_hand_is_dropped(tmp_path: Path, go_on: asyncio.Event) -> None:
    """The next hop is slow to answer: the reset comes while the message is under way between the two."""

    async def go() -> None:
        async with with_t1(tmp_path, MAIL, DNS) as served:
            yard = served.yard
            words = {"on": "smtp.data", "where": {"role": "mda"}, "then": {"delay": HELD_S}}
            await yard.rules.add("t1", parse_rule(words))

            def submit() -> None:
                with smtplib.SMTP("127.0.0.1", served.port("submission"), timeout=LIMIT_S) as client:
                    client.login(LOGIN, PASSWORD)
                    client.sendmail(LOGIN, [LOGIN], OCTETS)

            await asyncio.to_thread(submit)
            await obeyed(yard, "t1")
            await yard.sandboxes.reset("t1")
            go_on.set()
            async for _ in queue_changes(yard):
                if not await queue(yard.mail_database):
                    break
            assert await inbox(yard, LOGIN) == []

    run(go())


FRIEND, SECRET = "alice@portyard.test", "alice-secret"
OTHERS = "bob@portyard.test"


async def submit(served: Served, *recipients: str, sender: tuple[str, str] = (FRIEND, SECRET)) -> None:
    """Mail by an account, one of `default`'s."""

    def send() -> None:
        with smtplib.SMTP("127.0.0.1", served.port("submission"), timeout=LIMIT_S) as client:
            client.login(*sender)
            client.sendmail(sender[0], recipients, OCTETS)

    await asyncio.to_thread(send)


@pytest.mark.parametrize(("home", "words"), [
    ("default", {"on": "smtp.mail", "where": {"role": "mta"}, "then": {"delay": HELD_S}}),
    ("default", {"on": "smtp.mail", "where": {"role": "mta"}, "times": 1, "then": {"refuse": "451 4.7.1 later"}}),
    ("t1", {"on": "smtp.rcpt", "where": {"role": "mta"}, "then": {"refuse": "451 4.7.1 later"}}),
    ("t1", {"on": "smtp.data", "where": {"role": "mda"}, "then": {"delay": HELD_S}}),
], ids=["slow at the MTA", "put off by the MTA", "put off by the recipient's rule", "slow at the MDA"])  # fmt: skip
def test_another_sandboxs_mail_under_way(
    home: str, words: dict[str, object], tmp_path: Path, go_on: asyncio.Event
) -> None:
    """`default` sends to t1, which is reset before it arrives: as mail of t1's last test it is dropped there, and nowhere else."""

    async def go() -> None:
        async with with_t1(tmp_path, MAIL, DNS) as served:
            yard = served.yard
            await yard.rules.add(home, parse_rule(words))
            await submit(served, LOGIN, OTHERS)
            await obeyed(yard, home)
            await yard.sandboxes.reset("t1")
            go_on.set()
            await yard.clocks.advance("default", timedelta(seconds=10))
            assert await settled(yard) == []
            assert await inbox(yard, LOGIN) == []
            assert len(await inbox(yard, OTHERS)) == 1
            await submit(served, LOGIN)  # and what comes later arrives
            assert len(await arrived(yard, LOGIN, 1)) == 1

    run(go())


@pytest.mark.parametrize(
    ("home", "sender", "role"),
    [("default", (FRIEND, SECRET), "mta"), ("t1", (LOGIN, PASSWORD), "mta"), ("t1", (LOGIN, PASSWORD), "mda")],
    ids=["of another", "of its own", "of its own, at the MDA"],
)
def test_late_mail_is_nothing_of_the_next_test(
    home: str, sender: tuple[str, str], role: str, tmp_path: Path, go_on: asyncio.Event
) -> None:
    """Neither its journal shows who brings it, nor do its rules meet it."""

    async def go() -> None:
        async with with_t1(tmp_path, MAIL, DNS) as served:
            yard = served.yard
            slow = {"on": "smtp.mail", "where": {"role": role}, "then": {"delay": HELD_S}}
            await yard.rules.add(home, parse_rule(slow))
            await submit(served, LOGIN, sender=sender)
            await obeyed(yard, "default")  # until its recipient is named
            await yard.sandboxes.reset("t1")
            for verb in ("mail", "rcpt", "data", "content"):
                await yard.rules.add(
                    "t1", parse_rule({"on": f"smtp.{verb}", "where": {"role": "*"}, "then": {"delay": 0}})
                )
            go_on.set()
            assert await settled(yard) == []
            await yard.journal.flush()
            assert [rule.hits for rule in await yard.rules.list("t1")] == [0] * 4
            assert await yard.journal.sessions("t1") == []
            await submit(served, LOGIN)
            assert len(await arrived(yard, LOGIN, 1)) == 1
            assert max(rule.hits for rule in await yard.rules.list("t1")) > 0

    run(go())


@pytest.mark.parametrize("again", ["reset", "made anew", "left alone"])
def test_another_sandboxs_mail_in_the_spool(again: str, tmp_path: Path) -> None:
    """The same over a restart: the sandbox is another before the next process hands over what the last one has spooled."""

    async def go() -> None:
        async with open_yard(tmp_path) as yard, serve(yard, MAIL, names=["msa"]) as served:
            await yard.sandboxes.create("t1")
            await yard.accounts.create("t1", LOGIN, PASSWORD)
            await submit(served, LOGIN, OTHERS)
        async with open_yard(tmp_path) as yard:
            if again == "reset":
                await yard.sandboxes.reset("t1")
            elif again == "made anew":
                await yard.sandboxes.delete("t1")
                await yard.sandboxes.create("t1")
                await yard.accounts.create("t1", LOGIN, PASSWORD)
            async with serve(yard, MAIL, DNS):
                assert len(await arrived(yard, OTHERS, 1)) == 1
                assert await settled(yard) == []
                assert len(await inbox(yard, LOGIN)) == (again == "left alone")

    run(go())


def test_a_domain_that_finds_an_owner_while_a_rule_delays_its_recipient(tmp_path: Path, go_on: asyncio.Event) -> None:
    """Who owns it is looked up once for the rules and the recipient, but not over time that a rule lets pass."""

    async def go() -> None:
        async with with_t1(tmp_path, MAIL, DNS) as served:
            yard = served.yard
            await yard.rules.add("default", parse_rule({"on": "smtp.rcpt", "then": {"delay": HELD_S}}))

            def send() -> None:
                with smtplib.SMTP("127.0.0.1", served.port("smtp"), timeout=LIMIT_S) as client:
                    client.sendmail("a@client.test", ["u@t9.test"], OCTETS)

            sending = asyncio.create_task(asyncio.to_thread(send))
            await obeyed(yard, "default")
            await yard.sandboxes.create("t9")
            go_on.set()
            await sending
            assert len(await arrived(yard, "u@t9.test", 1)) == 1

    run(go())


def test_an_append_whose_literal_comes_late(tmp_path: Path) -> None:
    async def go() -> None:
        async with with_t1(tmp_path, IMAP) as served:

            def begin() -> imaplib.IMAP4:
                client = imaplib.IMAP4("127.0.0.1", served.port("imap"), timeout=LIMIT_S)
                client.login(LOGIN, PASSWORD)
                client.send(b"late APPEND INBOX {%d}\r\n" % len(OCTETS))
                assert client.readline().startswith(b"+ ")
                return client

            def end(client: imaplib.IMAP4) -> None:
                client.send(OCTETS + b"\r\n")
                client.readline()
                client.shutdown()

            client = await asyncio.to_thread(begin)
            await served.yard.sandboxes.reset("t1")
            await asyncio.to_thread(end, client)
            assert await inbox(served.yard, LOGIN) == []

    run(go())
