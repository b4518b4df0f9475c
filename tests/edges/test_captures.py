"""A packet capture shows what went over the wire: compared with what a socket saw, octet by octet."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path

import pytest

from portyard.commons.journal.export_sessions import dialogues
from portyard.commons.scenario.parsing import make_rule
from portyard.commons.yard import Yard
from portyard.console.stored import StoredMail
from portyard.imap.card import CARD as IMAP
from tests.support.asyncio_tests import run
from tests.support.yard import open_yard, serve

LOGIN = b"l LOGIN alice alice-secret\r\n"
SMALL = b"Subject: small\r\n\r\n\xe9 hello\r\n"


class Wire:
    """A client that says lines and remembers all that goes either way, but for its login, which captures don't show."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.said = self.heard = b""

    async def say(self, octets: bytes, until: bytes = b"") -> bool:
        """Send them, and read up to a line that begins so; whether it came."""
        self.said += b"" if octets == LOGIN else octets
        self.writer.write(octets)
        line = b""
        while until and not line.startswith(until):
            line = await self.reader.readline()
            self.heard += line
            if not line.endswith(b"\n"):
                return False
        return True

    async def finish(self) -> None:
        self.writer.close()
        self.heard += await self.reader.read()


async def captured(yard: Yard, room: str) -> dict[bool, list[tuple[bytes, int]]]:
    """What a capture has of a room's newest session, by whether it is ours: octets, and how many of a gap follow them."""
    await yard.journal.flush()
    record = (await yard.journal.sessions("default", room=room))[0]
    shown = (await dialogues(record, await yard.journal.events(record.id), [IMAP], StoredMail(yard)))[0]
    return {
        ours: [
            (piece.kept, piece.more)
            for piece in shown.pieces
            if piece.ours is ours and not piece.kept.startswith(b"l LOGIN")
        ]
        for ours in (False, True)
    }


def fits(shown: list[tuple[bytes, int]], went: bytes) -> bool:
    """Whether what went over the wire is what is shown, with any octets in its gaps."""
    place = 0
    for kept, more in shown:
        if went[place : place + len(kept)] != kept:
            return False
        place += len(kept) + more
    return place == len(went)


def gaps(shown: list[tuple[bytes, int]]) -> int:
    return sum(more for _, more in shown)


def imap(state: Path, rules: Iterable[dict[str, object]], *steps: tuple[bytes, bytes]) -> tuple[int, int]:
    """Have a session; how many octets of the client's and of the server's aren't shown. All others are those that went."""
    found: list[tuple[int, int]] = []

    async def main() -> None:
        async with open_yard(state) as yard, serve(yard, IMAP) as served:
            for rule in rules:
                given = dict(rule)
                await yard.rules.add("default", make_rule(str(given.pop("on")), given.pop("then"), **given))
            wire = Wire(*await asyncio.open_connection("127.0.0.1", served.port("imap")))
            await wire.say(b"", b"*")
            for step in ((LOGIN, b"l "), *steps):
                if not await wire.say(*step):
                    break
            await wire.finish()
            shown = await captured(yard, "imap")
            assert fits(shown[False], wire.said), (shown[False], wire.said)
            assert fits(shown[True], wire.heard), (shown[True], wire.heard)
            found.append((gaps(shown[False]), gaps(shown[True])))

    run(main())
    return found[0]


def append(message: bytes, *, unasked: bool = False) -> list[tuple[bytes, bytes]]:
    line = b"a APPEND INBOX {%d%s}\r\n" % (len(message), b"+" if unasked else b"")
    return [(line + message + b"\r\n", b"a ")] if unasked else [(line, b"+"), (message, b""), (b"\r\n", b"a ")]


def letters(count: int) -> list[tuple[bytes, bytes]]:
    """Messages that differ in size and content, one of them in parts."""
    texts = [
        b"Subject: %d\r\nTo: a@b.example\r\n\r\n" % number + b"\xe9 line\r\n" * number for number in range(count - 1)
    ]
    texts.append(
        b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\n1 OK (\r\n--x\r\nContent-Type: text/html\r\n\r\n<p>\r\n--x--\r\n"
    )
    return [step for text in texts for step in append(text, unasked=True)]


SELECT = (b"s SELECT INBOX\r\n", b"s ")


@pytest.mark.parametrize("where", [{"octets": 0}, {"octets": ">0"}, {"octets": ">9"}, {"octets": ">17"}], ids=str)
def test_a_small_literal_that_a_rule_breaks_off(where: dict[str, object], tmp_path: Path) -> None:
    rule: dict[str, object] = {"on": "imap.message", "where": where, "then": {"hang_up": True}}
    steps = (*append(SMALL), SELECT, (b"f FETCH 1 (BODY[])\r\n", b"f "))
    assert imap(tmp_path, [rule], *steps) == (0, 0)


@pytest.mark.parametrize("on", ["imap.literal", "imap.append"])
@pytest.mark.parametrize("then", [{"hang_up": True}, {"refuse": "NO not now"}], ids=["hang-up", "refuse"])
@pytest.mark.parametrize("unasked", [False, True], ids=["asked", "unasked"])
def test_a_literal_of_the_clients_that_a_rule_meets(
    on: str, then: dict[str, object], unasked: bool, tmp_path: Path
) -> None:
    rule: dict[str, object] = {"on": on, "then": then}
    refused = not unasked and "refuse" in then
    steps = append(SMALL, unasked=unasked)[: 1 if refused else None]
    if refused:
        steps = [(steps[0][0], b"a ")]
    dropped = len(SMALL) if unasked and "refuse" in then and on == "imap.append" else 0
    assert imap(tmp_path, [rule], *steps, (b"n NOOP\r\n", b"n ")) == (dropped, 0)


def test_a_literal_of_the_clients_that_is_too_large(tmp_path: Path) -> None:
    long = b"x" * 70_000
    refused = (b"c CREATE {70000}\r\n", b"c ")
    dropped = (b"c CREATE {70000+}\r\n" + long + b"\r\n", b"c ")
    assert imap(tmp_path, [], refused, dropped, (b"n NOOP\r\n", b"n ")) == (70_000, 0)


@pytest.mark.parametrize(
    "command",
    [
        b"FETCH 1:* BODY.PEEK[]",
        b"FETCH 1:* (BODY.PEEK[HEADER] UID RFC822.SIZE)",
        b"FETCH 1:* (RFC822.HEADER BODY.PEEK[TEXT]<2.30> BODY.PEEK[2.MIME] ENVELOPE)",
        b"FETCH 30:*,2,5:9,1 (BODYSTRUCTURE BODY BODY.PEEK[1])",
        b"UID FETCH 3:999 (BODY.PEEK[HEADER.FIELDS (SUBJECT DATE)])",
        b"UID FETCH *,1:30 (BODY.PEEK[HEADER.FIELDS.NOT (TO)])",
    ],
)
def test_a_fetch_of_many_small_messages(command: bytes, tmp_path: Path) -> None:
    assert imap(tmp_path, [], *letters(40), SELECT, (b"f " + command + b"\r\n", b"f ")) == (0, 0)


def test_messages_that_were_seen_before_or_are_only_examined(tmp_path: Path) -> None:
    fetch = b"FETCH 1:* RFC822\r\n"
    examined = (*letters(40), (b"e EXAMINE INBOX\r\n", b"e "), (b"f " + fetch, b"f "))
    assert imap(tmp_path / "examined", [], *examined) == (0, 0)
    first = (*letters(40), SELECT, (b"f " + fetch, b"f "))
    _, unseen = imap(tmp_path / "unseen", [], *first)
    assert unseen > 1000  # each tells its flags, which may be any
    assert imap(tmp_path / "seen", [], *first, (b"g " + fetch, b"g "))[1] == unseen


@pytest.mark.parametrize("command", [b"FETCH 1:* (FLAGS BODY.PEEK[])", b"FETCH 1:* (INTERNALDATE BODY.PEEK[])"])
def test_what_is_not_in_a_message_leaves_a_gap(command: bytes, tmp_path: Path) -> None:
    _, gap = imap(tmp_path, [], *letters(40), SELECT, (b"f " + command + b"\r\n", b"f "))
    assert gap > 1000


def test_messages_that_came_meanwhile_and_some_that_went(tmp_path: Path) -> None:
    """Sequence numbers are those that the session was told of; once some are expunged, nobody knows any more whose they were."""
    fetch, noop = b"FETCH 1:* (BODY.PEEK[HEADER])\r\n", (b"n NOOP\r\n", b"n ")
    steps = (*letters(30), SELECT, *letters(10), noop, (b"f " + fetch, b"f "))
    assert imap(tmp_path / "came", [], *steps) == (0, 0)
    delete = ((b"d STORE 2,7 +FLAGS (\\Deleted)\r\n", b"d "), (b"x EXPUNGE\r\n", b"x "))
    assert imap(tmp_path / "went", [], *steps, *delete, (b"g " + fetch, b"g "))[1] > 1000
