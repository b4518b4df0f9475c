"""What the stores refuse becomes the right reply, for each recipient; and the journal's words hide secrets."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from portyard.commons.effects import Note, Send
from portyard.commons.events import DotBlock, Event, Line, TooLong
from portyard.commons.mailstore.model import StoreFullError
from portyard.commons.sandbox.model import Sandbox
from portyard.smtp.core.context import Context, Limits, Role
from portyard.smtp.core.model import Mailbox, Peer, PeerError, Recipient, Reply, Taker, Transaction, reply
from portyard.smtp.core.session import Session
from tests.support.asyncio_tests import run


class PlayedDoor:
    """Takes everything until it is told otherwise."""

    def __init__(self) -> None:
        self.outcome: Sequence[Reply] | Exception = (reply(250, "2.0.0", "taken"),)
        self.joined: list[str] = []

    async def owner(self, domain: str) -> Sandbox | None:
        return None

    async def stands(self, taker: Taker) -> bool:
        return True

    def present(self, sandbox: str) -> Taker:
        return Taker(sandbox, 1)

    async def sender(self, peer: Peer, transaction: Transaction) -> None:
        if transaction.reverse_path.local_part == "refused":
            raise PeerError(reply(550, "5.7.1", "not you"))

    async def recipient(
        self, peer: Peer, transaction: Transaction, mailbox: Mailbox, taker: Taker | None = None
    ) -> Recipient:
        return Recipient(mailbox, mailbox.domain, 1)

    async def accept(self, peer: Peer, transaction: Transaction, octets: bytes) -> Sequence[Reply]:
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


class Talker:
    def __init__(self, *, lmtp: bool = False, auth: bool = False, limits: Limits | None = None) -> None:
        self.door = PlayedDoor()
        self.notes: list[Note] = []
        context = Context(
            role=Role("mta", "mta.test", lmtp=lmtp, auth=auth),
            limits=limits or Limits(),
            accounts=None,  # type: ignore[arg-type] - nobody logs in here
            door=self.door,
            secret=b"s",
            mint=lambda: "id1",
            join=self.door.joined.append,
            part=lambda: None,
            peer=Peer("192.0.2.1"),
        )
        self.session = Session(context)

    async def say(self, event: Event | bytes) -> list[str]:
        event = Line(event) if isinstance(event, bytes) else event
        said = []
        async for effect in self.session.receive(event):
            if isinstance(effect, Send):
                said += effect.data.decode().split("\r\n")[:-1]
            elif isinstance(effect, Note):
                self.notes.append(effect)
        return said

    async def envelope(self, *recipients: bytes, lmtp: bool = False) -> None:
        await self.say(b"LHLO c.test" if lmtp else b"EHLO c.test")
        await self.say(b"MAIL FROM:<a@a.test>")
        for recipient in recipients:
            assert (await self.say(b"RCPT TO:<" + recipient + b">"))[0].startswith("250")
        assert (await self.say(b"DATA"))[0].startswith("354")


BLOCK = DotBlock(b"Subject: x\r\n\r\n", 14)


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        (StoreFullError("full"), "452 4.3.1 no room to store the message"),
        (PeerError(reply(550, "5.7.1", "no")), "550 5.7.1 no"),
    ],
)
def test_a_refused_message(outcome: Exception, said: str) -> None:
    async def go() -> None:
        talker = Talker()
        talker.door.outcome = outcome
        await talker.envelope(b"x@one.test", b"y@two.test")
        assert await talker.say(BLOCK) == [said]
        assert await talker.say(b"MAIL FROM:<a@a.test>") == ["250 2.1.0 sender ok"]
        assert talker.door.joined == ["one.test", "two.test"]

    run(go())


def test_lmtp_says_it_once_for_each(tmp_path: object) -> None:
    async def go() -> None:
        talker = Talker(lmtp=True)
        await talker.envelope(b"x@one.test", b"y@two.test", lmtp=True)
        talker.door.outcome = (reply(250, "2.1.5", "a"), reply(452, "4.2.2", "b"))
        assert await talker.say(BLOCK) == ["250 2.1.5 a", "452 4.2.2 b"]
        await talker.envelope(b"x@one.test", b"y@two.test", lmtp=True)
        talker.door.outcome = StoreFullError("full")
        assert await talker.say(BLOCK) == ["452 4.3.1 no room to store the message"] * 2

    run(go())


def test_limits_of_a_transaction() -> None:
    async def go() -> None:
        talker = Talker(limits=Limits(recipients=2))
        await talker.say(b"EHLO c.test")
        assert await talker.say(b"MAIL FROM:<refused@a.test>") == ["550 5.7.1 not you"]
        await talker.say(b"MAIL FROM:<a@a.test>")
        for _ in range(2):
            await talker.say(b"RCPT TO:<x@one.test>")
        assert await talker.say(b"RCPT TO:<x@one.test>") == ["452 4.5.3 too many recipients"]
        assert (await talker.say(b"DATA"))[0].startswith("354")
        assert (await talker.say(DotBlock(b"", 9, too_large=True)))[0].startswith("552 5.3.4")

    run(go())


def test_the_note_of_a_message() -> None:
    async def go() -> None:
        talker = Talker()
        await talker.envelope(b"x@one.test")
        await talker.say(BLOCK)
        assert [note.fields for note in talker.notes] == [
            {"id": "id1", "sender": "a@a.test", "recipients": ["x@one.test"], "octets": 14}
        ]

    run(go())


def test_secrets_are_blanked() -> None:
    async def go() -> None:
        talker = Talker(auth=True)

        def show(event: Event) -> str:
            shown = talker.session.transcript(event)
            return shown if isinstance(shown, str) else shown.decode()

        assert show(Line(b"AUTH PLAIN c2VjcmV0")) == "AUTH PLAIN «secret, 8 bytes»"
        assert show(Line(b"auth login")) == "AUTH login"
        assert show(Line(b"MAIL FROM:<> XPORTYARD=abc SIZE=1")) == "MAIL FROM:<> XPORTYARD=«secret, 3 bytes» SIZE=1"
        assert show(BLOCK) == "«message, 14 octets»"
        assert show(TooLong(12_288, b"AUTH PLAIN c2Vj")) == "AUTH «line over 12288 octets»"
        await talker.say(b"EHLO c.test")
        await talker.say(b"AUTH LOGIN")
        assert show(Line(b"c2VjcmV0")) == "«secret, 8 bytes»"
        assert show(Line(b"MAIL")) == "«secret, 4 bytes»"
        assert show(Line(b"*")) == "*"

    run(go())
