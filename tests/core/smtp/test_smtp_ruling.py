"""What no rule meant is known when it comes again; what differs in anything that a rule may look at is asked about. Wholes are talks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from portyard.commons.scenario.parsing import make_rule
from portyard.commons.yard import Yard
from portyard.smtp.core.hop import KEYWORD, print_hop
from portyard.smtp.core.model import Hop
from tests.support.asyncio_tests import run
from tests.support.smtp import core_peer
from tests.support.talk_peers import CorePeer
from tests.support.yard import open_yard

ALICE = "alice@portyard.test"
BOB = "bob@portyard.test"
REFUSE = {"refuse": "451 4.7.1 ruled"}


def in_yard(tmp_path: Path, test: Callable[[Yard], Awaitable[None]]) -> None:
    async def go() -> None:
        async with open_yard(tmp_path) as yard:
            await yard.sandboxes.create("t1")
            await test(yard)

    run(go())


async def rule(yard: Yard, on: str, then: dict[str, Any], where: dict[str, Any], sandbox: str = "default") -> None:
    await yard.rules.add(sandbox, make_rule(f"smtp.{on}", then, where=where))


async def said(peer: CorePeer, *lines: str) -> str:
    """The last line of what it answers; "" where it hangs up."""
    for line in lines:
        await peer.send(line.encode() + b"\r\n")
    last = ""
    while True:
        try:
            line = await peer.line()
        except TimeoutError:
            return last
        if line is None:
            return ""
        last = line


async def greeted(yard: Yard, role: str = "mta") -> CorePeer:
    peer = await core_peer(yard, role)
    await said(peer, "LHLO c" if role == "mda" else "EHLO c")
    return peer


async def sent(peer: CorePeer, sender: str = "s@b.test", *recipients: str, subject: str = "plain") -> str:
    """A whole transaction's last answer: of DATA where that refused."""
    commands = (f"MAIL FROM:<{sender}>", *(f"RCPT TO:<{recipient}>" for recipient in recipients or (ALICE,)))
    answer = await said(peer, *commands, "DATA")
    if not answer.startswith("354"):
        if answer:
            await said(peer, "RSET")
        return answer
    return await said(peer, f"To: x\r\nSubject: {subject}\r\n\r\nbody\r\n.")


async def is_quiet(peer: CorePeer) -> bool:
    """The same transaction, as often as it takes to be known."""
    return all([(await sent(peer)).startswith("250") for _ in range(3)])


DIFFERS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "sender": ({"sender": "other@b.test"}, ("other@b.test",)),
    "recipients": ({"recipients": 2}, ("s@b.test", ALICE, BOB)),
}


@pytest.mark.parametrize("verb", ["data", "receiving", "content"])
@pytest.mark.parametrize("field", DIFFERS)
def test_a_transaction_that_differs_is_asked_about(tmp_path: Path, verb: str, field: str) -> None:
    where, envelope = DIFFERS[field]

    async def test(yard: Yard) -> None:
        await rule(yard, verb, {"hang_up": True} if verb == "receiving" else REFUSE, where)
        peer = await greeted(yard)
        assert await is_quiet(peer)
        assert await sent(peer, *envelope) == ("" if verb == "receiving" else "451 4.7.1 ruled")

    in_yard(tmp_path, test)


@pytest.mark.parametrize("verb", ["mail", "rcpt", "data", "receiving", "content"])
def test_the_same_transaction_is_asked_about_once_a_rule_means_it(tmp_path: Path, verb: str) -> None:
    async def test(yard: Yard) -> None:
        await rule(yard, "*", REFUSE, {"peer": "10.9.9.9"})
        peer = await greeted(yard)
        assert await is_quiet(peer)
        await rule(yard, verb, {"hang_up": True}, {"sender": "s@b.test"})
        assert await sent(peer) == ""

    in_yard(tmp_path, test)


@pytest.mark.parametrize("verb", ["rcpt", "data", "receiving", "content"])
def test_the_same_transaction_to_another_sandbox_is_asked_about(tmp_path: Path, verb: str) -> None:
    async def test(yard: Yard) -> None:
        await rule(yard, verb, {"hang_up": True}, {"sender": "s@b.test"}, "t1")
        peer = await greeted(yard)
        assert await is_quiet(peer)
        assert await sent(peer, "s@b.test", "u@t1.test") == ""

    in_yard(tmp_path, test)


@pytest.mark.parametrize("verb", ["data", "receiving", "content"])
@pytest.mark.parametrize("sandbox", ["default", "t1"])
def test_a_transaction_of_two_sandboxes_is_asked_about_in_both(tmp_path: Path, verb: str, sandbox: str) -> None:
    of, others = {"default": (ALICE, ("u@t1.test", "v@t1.test")), "t1": ("u@t1.test", (ALICE, BOB))}[sandbox]

    async def test(yard: Yard) -> None:
        await rule(yard, verb, {"hang_up": True}, {"sender": "s@b.test"}, sandbox)
        peer = await greeted(yard)
        for _ in range(3):
            assert (await sent(peer, "s@b.test", *others)).startswith("250")
        assert await sent(peer, "s@b.test", of, others[0]) == ""

    in_yard(tmp_path, test)


@pytest.mark.parametrize(
    ("where", "recipients", "subject"),
    [
        ({"subject": "wanted"}, (ALICE,), "wanted"),
        ({"recipient": f"{ALICE} {BOB}"}, (ALICE, BOB), "plain"),
        ({"recipient": BOB}, (BOB,), "plain"),
    ],
    ids=str,
)
def test_a_message_that_differs_is_asked_about(
    tmp_path: Path, where: dict[str, Any], recipients: tuple[str, ...], subject: str
) -> None:
    async def test(yard: Yard) -> None:
        await rule(yard, "content", REFUSE, where)
        peer = await greeted(yard)
        assert await is_quiet(peer)
        assert await sent(peer, "s@b.test", *recipients, subject=subject) == "451 4.7.1 ruled"
        assert await is_quiet(peer)

    in_yard(tmp_path, test)


@pytest.mark.parametrize("line", ["MAIL FROM:<s@b.test> SIZE=200 {hop}", "MAIL FROM:<s@b.test> {hop} SIZE=200"])
def test_a_hop_s_mail_is_known_by_all_but_its_proof(tmp_path: Path, line: str) -> None:
    async def test(yard: Yard) -> None:
        sandbox = await yard.sandboxes.get("default")
        assert sandbox is not None
        await rule(yard, "mail", REFUSE, {"role": "mda", "size": ">100"})
        peer = await greeted(yard, "mda")

        proof = print_hop(Hop("one", "default", sandbox.generation), yard.secret)
        for _ in range(3):
            small = line.replace("SIZE=200", "SIZE=20").format(hop=f"{KEYWORD}={proof}")
            assert (await said(peer, small)).startswith("250")
            await said(peer, "RSET")
        assert await said(peer, line.format(hop=f"{KEYWORD}={proof}")) == "451 4.7.1 ruled"

    in_yard(tmp_path, test)
