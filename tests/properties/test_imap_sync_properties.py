"""Several sessions work on one mailbox in any order; each client's picture, built from what it is told, stays true."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from portyard.commons.effects import Send
from portyard.commons.events import Line, Literal
from portyard.commons.yard import Yard
from portyard.imap.core.session import ImapSession
from tests.support.imap import core
from tests.support.yard import open_yard

_UNTAGGED = re.compile(rb"\* (?:(\d+) )?([A-Z]+)(?: (.*))?")
_UID = re.compile(rb"UID (\d+)")
_FLAGS = re.compile(rb"FLAGS \(([^)]*)\)")
SILENT = {"FETCH", "STORE", "SEARCH"}

COMMANDS = [
    "NOOP",
    "APPEND",
    "FETCH {n} (UID FLAGS)",
    "FETCH {n} (UID BODY[])",
    "UID FETCH {u} FLAGS",
    "SEARCH ALL",
    "UID SEARCH SEEN",
    r"STORE {n} +FLAGS (\Deleted)",
    r"STORE {n} -FLAGS.SILENT (\Deleted)",
    r"UID STORE {u} FLAGS.SILENT (\Flagged a)",
    "EXPUNGE",
    "UID EXPUNGE {u}",
    "MOVE {n} Trash",
    "UID MOVE {u} Trash",
    "COPY {n} {box}",
]
actions = st.tuples(
    st.integers(0, 2),
    st.sampled_from(COMMANDS),
    st.integers(1, 8),
    st.integers(0, 4),
)


@dataclass
class Client:
    """One client's picture of the mailbox: for each sequence number what it knows."""

    session: ImapSession
    messages: list[dict[str, Any]] = field(default_factory=list)
    tags: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    async def say(self, text: str, literal: bytes | None = None) -> list[bytes]:
        tag = f"t{next(self.tags)}"
        command = f"{tag} {text}" + (f" {{{len(literal)}+}}" if literal is not None else "")
        events: list[Line | Literal] = [Line(command.encode())]
        events += [Literal(literal), Line(b"")] if literal is not None else []
        sent = b""
        for event in events:
            async for effect in self.session.receive(event):
                if isinstance(effect, Send):
                    sent += effect.data
        name = text.removeprefix("UID ").partition(" ")[0]
        self.hear(sent, may_expunge=text.startswith("UID ") or name not in SILENT)
        if ".SILENT" in text:  # what it did itself it isn't told; the rest stays known through the last fetch
            for message in self.messages:
                message.pop("flags", None)
        last = sent.split(b"\r\n")[-2]
        assert last.startswith(tag.encode() + b" "), sent
        assert not last.startswith(tag.encode() + b" NO [SERVERBUG"), sent
        return sent.split(b"\r\n")

    def hear(self, sent: bytes, *, may_expunge: bool) -> None:
        for line in without_literals(sent).split(b"\r\n"):
            found = _UNTAGGED.fullmatch(line)
            if found is None or found[1] is None:
                continue
            number, kind = int(found[1]), found[2]
            if kind == b"EXISTS":
                assert number >= len(self.messages)
                self.messages += [{} for _ in range(number - len(self.messages))]
            elif kind == b"EXPUNGE":
                assert may_expunge
                del self.messages[number - 1]
            elif kind == b"FETCH":
                self.learn(self.messages[number - 1], found[3])

    def learn(self, message: dict[str, Any], data: bytes) -> None:
        uid, flags = _UID.search(data), _FLAGS.search(data)
        if uid:
            assert message.setdefault("uid", uid[1]) == uid[1]
        if flags:
            message["flags"] = set(flags[1].split()) - {b"\\Recent"}


def without_literals(sent: bytes) -> bytes:
    while found := re.search(rb"\{(\d+)\}\r\n", sent):
        sent = sent[: found.start()] + sent[found.end() + int(found[1]) :]
    return sent


async def play(yard: Yard, box: str, script: list[tuple[int, str, int, int]]) -> None:
    account = await yard.accounts.find("alice")
    assert account is not None
    await yard.mail.create(account.id, box)
    for _ in range(4):
        await yard.mail.append(account.id, box, b"Subject: x\r\n\r\nbody\r\n")
    clients = []
    for _ in range(3):
        client = Client(core(yard)[0])
        await client.say("LOGIN alice alice-secret")
        await client.say(f"SELECT {box}")
        clients.append(client)
    for who, template, first, more in script:
        span = f"{first}:{first + more}"
        text = template.format(n=span, u=span, box=box)
        if template == "APPEND":
            await clients[who].say(f"APPEND {box}", b"Subject: y\r\n\r\n")
        else:
            await clients[who].say(text)
    true = [(b"%d" % entry.uid, {flag.encode() for flag in entry.flags}) for entry in await find(yard, account.id, box)]
    for client in clients:
        await client.say("NOOP")
        assert len(client.messages) == len(true)
        told = [(message.get("uid"), message.get("flags")) for message in client.messages]
        for (uid, flags), (true_uid, true_flags) in zip(told, true, strict=True):
            assert uid in (None, true_uid)
            assert flags is None or flags == true_flags
        if true:
            await client.say("FETCH 1:* (UID FLAGS)")
        assert [(message["uid"], message["flags"]) for message in client.messages] == true


async def find(yard: Yard, account_id: int, box: str) -> list[Any]:
    found = await yard.mail.mailbox(account_id, box)
    assert found is not None
    return await yard.mail.entries(found.id)


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as running:
        yield running


@pytest.fixture(scope="module")
def yard(runner: asyncio.Runner, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Yard]:
    folder: Path = tmp_path_factory.mktemp("yard")
    opening = open_yard(folder)
    yield runner.run(opening.__aenter__())
    runner.run(opening.__aexit__(None, None, None))


_boxes = itertools.count(1)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(script=st.lists(actions, max_size=25))
def test_every_clients_picture_stays_true(
    runner: asyncio.Runner, yard: Yard, script: list[tuple[int, str, int, int]]
) -> None:
    runner.run(play(yard, f"Box{next(_boxes)}", script))
