"""Runs a talk file against a core (no socket) or an edge (a real one), whole, byte by byte and with a tail.

A room tells how with a `TalkRoom`; see tests/core/pop3/test_pop3_talks.py for the pattern.
"""

from __future__ import annotations

import asyncio
import json
import mailbox
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from portyard.commons.scenario.parsing import parse_rule
from portyard.commons.talk.match import Bindings, Expectation, Turn, turns
from portyard.commons.talk.model import CLOSE, CLOSED, SILENCE, TLS, Step, Talk, TalkLine
from portyard.commons.talk.parse import parse_talk, raw_octets
from portyard.commons.yard import Yard
from tests.support.talk_peers import LIMIT_S, Peer

TALKS = Path(__file__).parent.parent / "talks"
MAIL = TALKS / "mail"
FEEDINGS = ("whole", "bytes", "tail")
USER, PASSWORD = "alice@portyard.test", "alice-secret"


def talk_files(room: str) -> list[Path]:
    """The room's talks, by name."""
    return sorted((TALKS / room).glob("*.talk"))


def read_talk(path: Path) -> Talk:
    return parse_talk(path.read_text(), path.name)


def implicit(talk: Talk) -> bool:
    """Whether the talk is had on the port that speaks TLS from the first octet (`tls: implicit`)."""
    return talk.headers.get("tls") == "implicit"


@dataclass(slots=True)
class TalkRoom:
    """What a room tells of itself for its talks.

    Attributes:
        connect: Opens a client's end for the talk (its headers may ask for a role or a listener).
        preludes: Talk lines that bring a fresh session to a `start:` state.
        bindings: What `$user` and the like stand for.
    """

    connect: Callable[[Talk], Awaitable[Peer]]
    preludes: dict[str, str] = field(default_factory=dict)
    bindings: dict[str, str] = field(default_factory=dict)


class Stores(Protocol):
    """What a talk sees behind the server's back."""

    async def deliver(self, name: str) -> None:
        """Put an mbox's messages into the first account's INBOX, octet for octet."""

    async def check(self, fact: str) -> None:
        """Assert a fact: `INBOX has 2`, `INBOX has 2 for bob@portyard.test`."""

    async def rule(self, text: str) -> None:
        """Set a rule, given as JSON, in `default` or the sandbox that it names."""


class TalkFailure(AssertionError):
    """The server said something else; the message shows the talk so far."""


class Runner:
    """Runs one talk."""

    def __init__(self, room: TalkRoom, stores: Stores, talk: Talk, feeding: str) -> None:
        self.room = room
        self.stores = stores
        self.talk = talk
        self.feeding = feeding
        self.bindings = Bindings({"user": USER, "password": PASSWORD, **room.bindings})
        self.peers: dict[int, Peer] = {}
        self.ahead: dict[int, int] = {}
        self.log: list[str] = []

    async def run(self) -> None:
        for name in self.talk.headers.get("mail", "").split():
            await self.stores.deliver(name)
        steps = turns(self.talk.lines)
        try:
            for index, turn in enumerate(steps):
                await self._turn(turn, steps[index + 1] if index + 1 < len(steps) else None)
        finally:
            for peer in self.peers.values():
                await peer.close()

    async def _peer(self, session: int) -> Peer:
        if session not in self.peers:
            peer = self.peers[session] = await self.room.connect(self.talk)
            prelude = self.room.preludes.get(self.talk.headers.get("start", ""), "")
            for turn in turns(parse_talk(prelude, "prelude").lines):
                await self._exchange(peer, 0, turn, None)
        return self.peers[session]

    async def _turn(self, turn: Turn, after: Turn | None) -> None:
        first = turn.client or turn.expected[0]
        if first.step is Step.STORE:
            await self.stores.check(self.bindings.fill(first.text))
        elif first.step is Step.DELIVER:
            await self.stores.deliver(first.text)
        elif first.step is Step.RULE:
            await self.stores.rule(first.text)
        else:
            await self._exchange(await self._peer(first.session), first.session, turn, after)

    async def _exchange(self, peer: Peer, session: int, turn: Turn, after: Turn | None) -> None:
        if turn.client is not None:
            await self._say(peer, session, turn.client, after)
        expectation = Expectation(turn, self.bindings)
        while not expectation.complete:
            try:
                line = await asyncio.wait_for(peer.line(), LIMIT_S)
            except TimeoutError:
                raise self._failure(f"nothing came, wanted {expectation.next!r}") from None
            if line is None:
                if expectation.wants != CLOSED:
                    raise self._failure(f"the server closed, wanted {expectation.next!r}")
                expectation.take_word()
                continue
            self.log.append(f"{session} S: {line}")
            complaint = expectation.take(line)
            if complaint:
                raise self._failure(complaint)

    async def _say(self, peer: Peer, session: int, line: TalkLine, after: Turn | None) -> None:
        self.log.append(f"{session} C: {line.text[:200]}")
        match line.text:
            case str(word) if word == TLS and line.step is Step.CLIENT:
                await peer.start_tls()
            case str(word) if word == CLOSE and line.step is Step.CLIENT:
                await peer.close()
            case str(word) if word == SILENCE and line.step is Step.CLIENT:
                await peer.silence()
            case _:
                data = self._octets(line)[self.ahead.pop(session, 0) :]
                if self.feeding == "bytes" and len(data) < 5000:
                    for index in range(len(data)):
                        await peer.send(data[index : index + 1])
                else:
                    await peer.send(data + self._tail(session, after))

    def _tail(self, session: int, after: Turn | None) -> bytes:
        """The first octet of what the client says next, sent along, where nothing forbids it."""
        if self.feeding != "tail" or after is None or after.client is None or after.client.session != session:
            return b""
        line = after.client
        if line.text in (TLS, CLOSE, SILENCE) or line.step not in (Step.CLIENT, Step.CLIENT_RAW) or "$" in line.text:
            return b""
        tail = self._octets(line)[:1]
        self.ahead[session] = len(tail)
        return tail

    def _octets(self, line: TalkLine) -> bytes:
        text = self.bindings.fill(line.text)
        return raw_octets(text) if line.step is Step.CLIENT_RAW else text.encode() + b"\r\n"

    def _failure(self, complaint: str) -> TalkFailure:
        return TalkFailure("\n".join([complaint, "so far:", *self.log[-30:]]))


async def run_talk(room: TalkRoom, yard: Yard | Stores, talk: Talk, feeding: str) -> None:
    """Run one talk; raises TalkFailure where the server says something else."""
    await Runner(room, YardStores(yard) if isinstance(yard, Yard) else yard, talk, feeding).run()


@dataclass(frozen=True, slots=True)
class YardStores:
    """A yard in this process as a talk's stores."""

    yard: Yard

    async def deliver(self, name: str) -> None:
        await deliver(self.yard, name)

    async def check(self, fact: str) -> None:
        await check_store(self.yard, fact)

    async def rule(self, text: str) -> None:
        rule = json.loads(text)
        await self.yard.rules.add(rule.pop("sandbox", "default"), parse_rule(rule))


# Headers that ask for settings of the talk's own; a testbed that runs already can't follow them.
SETTINGS_HEADERS = frozenset(
    {"require-tls", "capture", "message-limit", "view", "down", "records", "sandboxes", "magic"}
)


def cases(room: str, height: str) -> Iterator[tuple[Path, str]]:
    """The talks that can be played at a height ("core", "edge" or "container"), each with its feedings."""
    for path in talk_files(room):
        headers = read_talk(path).headers
        if height != "core" and headers.get("heights", "all") == "core":
            continue
        if height == "container" and (
            SETTINGS_HEADERS & headers.keys() or "$hop" in path.read_text() or "$old_hop" in path.read_text()
        ):
            continue
        feedings = FEEDINGS if height == "core" else tuple(headers.get("edge-feedings", " ".join(FEEDINGS)).split())
        yield from ((path, feeding) for feeding in feedings)


def messages_of(name: str) -> list[bytes]:
    """The messages of an mbox in tests/talks/mail, lines ending in CRLF."""
    box = mailbox.mbox(MAIL / name, create=False)
    try:
        raw = [box.get_bytes(key) for key in box.iterkeys()]
    finally:
        box.close()
    return [message.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n") for message in raw]


async def deliver(yard: Yard, name: str, login: str = USER, mailbox_name: str = "INBOX") -> None:
    """Put an mbox's messages into an account's mailbox, as an MDA would."""
    account = await yard.accounts.find(login)
    assert account is not None
    for octets in messages_of(name):
        await yard.mail.append(account.id, mailbox_name, octets)


async def check_store(yard: Yard, fact: str) -> None:
    """`INBOX has 2` or `INBOX has 2 for bob@portyard.test`."""
    what, _, login = fact.partition(" for ")
    name, _, count = what.rpartition(" has ")
    account = await yard.accounts.find(login or USER)
    assert account is not None, f"nobody is {login}"
    found = await yard.mail.mailbox(account.id, name)
    assert found is not None, f"no mailbox {name}"
    assert found.messages == int(count), f"{name} has {found.messages}, wanted {count}"
