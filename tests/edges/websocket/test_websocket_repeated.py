"""Messages that come again and again: each in the journal as it was, and each held against the rules of the moment."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from wsproto.events import BytesMessage, Ping, Pong, TextMessage
from wsproto.extensions import PerMessageDeflate

from portyard.websocket.card import CARD
from portyard.websocket.obeying import octets_of
from tests.support.asyncio_tests import run
from tests.support.hosted import ruled_room
from tests.support.websocket_rules import opened

TEXTS = (
    "",
    "a",
    'quotes " and \\ and \r\n',
    "naïve «x»",
    "nul \0 and more",
    "x" * 125,
    "x" * 126,
    "ü" * 62,
    "ü" * 63,
    "x" * 1024,
    "x" * 1025,
    "x" + "ü" * 600,  # cut within a character
    "x" * 65_535,
    "x" * 65_536,
)
OCTETS = (b"\x00\xff", b"", bytes(126), bytes(range(256)) * 8, bytes(70_000))


def test_every_text_stands_in_the_journal_in_both_directions(tmp_path: Path) -> None:
    async def go() -> None:
        async with ruled_room(tmp_path, CARD) as place:
            async with opened(place) as peer:
                for text in TEXTS:
                    peer.text(text)
                    assert await peer.whole() == text
                for octets in OCTETS:
                    peer.send(BytesMessage(octets))
                    assert await peer.whole() == octets
            events = await place.eventually("closed")
            frames = [fields for kind, fields in events if kind == "data"]
            expected = []
            for text in TEXTS:
                octets = text.encode()
                shown = octets[:1024].decode("utf-8", "replace") + ("…" if len(octets) > 1024 else "")
                parts = {"opcode": "text", "fin": True, "octets": len(octets), "text": f"TEXT {len(octets)} {shown}"}
                expected += [{"direction": direction, **parts} for direction in ("in", "out")]
            for octets in OCTETS:
                told = {"opcode": "binary", "fin": True, "octets": len(octets), "text": f"BINARY {len(octets)}"}
                told["base64"] = base64.b64encode(octets[:1024]).decode()
                expected += [{"direction": direction, **told} for direction in ("in", "out")]
            assert frames[: len(expected)] == expected

    run(go())


def as_it_reads(message: str | bytes) -> dict[str, object]:
    """What the journal tells of a message in one frame, whichever way it goes."""
    octets, kind = octets_of(message), "text" if isinstance(message, str) else "binary"
    told: dict[str, object] = {"opcode": kind, "fin": True, "octets": len(octets)}
    told["text"] = f"{kind.upper()} {len(octets)}"
    if kind == "text":
        told["text"] = f"TEXT {len(octets)} {octets[:1024].decode(errors='replace')}{'…' * (len(octets) > 1024)}"
    elif octets:
        told["base64"] = base64.b64encode(octets[:1024]).decode()
    return told


def test_every_compressed_message_stands_in_the_journal_as_it_reads(tmp_path: Path) -> None:
    """In both directions, what was said before being known; in two frames, too, with a Ping between them."""

    async def go() -> None:
        async with ruled_room(tmp_path, CARD) as place:
            async with opened(place, extensions=[PerMessageDeflate()]) as peer:
                for message in (*TEXTS, *OCTETS):
                    peer.send(TextMessage(message) if isinstance(message, str) else BytesMessage(message))
                    assert await peer.whole() == message
                peer.send(TextMessage("hel", message_finished=False))
                peer.send(Ping(b"!"))
                peer.send(TextMessage("lo"))
                assert isinstance(await peer.next(), Pong)
                assert await peer.whole() == "hello"
            events = await place.eventually("closed")
            frames = [fields for kind, fields in events if kind == "data"]
            deflated = [
                fields.pop("deflated") for fields in frames if fields["opcode"] not in ("ping", "pong", "close")
            ]
            assert max(deflated) < 3000
            assert not any("compressed" in fields for fields in frames)
            expected: list[dict[str, object]] = []
            for message in (*TEXTS, *OCTETS):
                told = as_it_reads(message)
                expected += [{"direction": direction, **told} for direction in ("in", "out")]
            assert frames[: len(expected)] == expected
            parts = [fields for fields in frames[len(expected) :] if fields["opcode"] not in ("ping", "pong", "close")]
            assert [(fields["direction"], fields["fin"]) for fields in parts] == [
                ("in", False),
                ("in", True),
                ("out", True),
            ]
            first = str(parts[0]["text"]).partition(" ")[2].partition(" ")[2]
            assert first.encode() + base64.b64decode(str(parts[1].get("base64", ""))) == b"hello"
            assert parts[2]["text"] == "TEXT 5 hello"

    run(go())


def test_a_secret_in_a_compressed_message_is_blanked(tmp_path: Path) -> None:
    async def go() -> None:
        async with ruled_room(tmp_path, CARD) as place:
            async with opened(place, extensions=[PerMessageDeflate()]) as peer:
                peer.text('{"password":"hunter2"}')
                assert await peer.hears() == '{"password":"hunter2"}'
            events = await place.eventually("closed")
            told = [str(fields["text"]) for kind, fields in events if kind == "data"][:2]
            assert all("secret, 7 bytes" in text and "hunter2" not in text for text in told)

    run(go())


def test_rules_see_what_a_compressed_message_says(tmp_path: Path) -> None:
    async def go() -> None:
        async with ruled_room(tmp_path, CARD) as place, opened(place, extensions=[PerMessageDeflate()]) as peer:
            await place.rule("websocket.message", {"say": "meant"}, where={"text": "*quay*", "length": 8})
            await place.rule("websocket.send", {"say": "sent"}, where={"text": "to the pier"})
            for text, heard in (
                ("the quay", "meant"),
                ("the quays", "the quays"),
                ("to the pier", "sent"),
                ("the quay", "meant"),
            ):
                peer.text(text)
                assert await peer.hears() == heard

    run(go())


@pytest.mark.parametrize(
    ("verb", "then", "heard"),
    [
        ("message", {"say": "no"}, "no"),
        ("send", {"say": "no"}, "no"),
        ("fragment", {"delay": 0.01}, "he"),
    ],
)
def test_a_rule_is_in_force_for_a_message_that_came_before(
    tmp_path: Path, verb: str, then: dict[str, object], heard: str
) -> None:
    async def go() -> None:
        async with ruled_room(tmp_path, CARD) as place, opened(place) as peer:
            await place.rule("websocket.*", {"hang_up": True}, where={"peer": "192.0.2.1"})
            for number in range(2):
                for text in ("hello", "hello", "other", "hello"):
                    peer.text(text)
                    assert await peer.hears() == text
                await place.rule(f"websocket.{verb}", then, where={"text": "hello"}, times=1)
                peer.text("hello")
                event = await peer.next()
                assert isinstance(event, TextMessage)
                assert event.data == heard
                if not event.message_finished:
                    rest = await peer.next()
                    assert (rest.data, rest.message_finished) == ("llo", True)
                assert (await place.hits())[1:] == [1] * (number + 1)

    run(go())


WHERES: tuple[dict[str, object], ...] = (
    {"text": "*no*"},
    {"text": "/^BAD/i"},
    {"length": 7},
    {"opcode": "binary", "length": 5},
    {"text": "naïv?"},
    {"path": "/room/*", "text": "quiet"},
)


def test_messages_that_never_came_are_held_against_every_rule(tmp_path: Path) -> None:
    """Texts as long as others that nobody asked for, those of other lengths, those that aren't ASCII, and octets."""

    async def go() -> None:
        async with ruled_room(tmp_path, CARD) as place:
            for where in WHERES:
                await place.rule("websocket.message", {"say": "meant"}, where=where)
            async with opened(place) as peer:
                for text in (
                    "hello",
                    "a no b",
                    "other",
                    "no",
                    "xxno!",
                    "quiet",
                    "badly",
                    "quite",
                    "1234567",
                    "x" * 3000,
                ):
                    peer.text(text)
                    meant = text in ("a no b", "no", "xxno!", "badly", "1234567")
                    assert await peer.hears() == ("meant" if meant else text)
                for text in ("naïve", "naïfs", "naïvs", "NAÏVE", "badïe", "ïïïïï"):
                    peer.text(text)
                    assert await peer.hears() == (text if text in ("naïfs", "ïïïïï") else "meant")
                for octets in (b"no", b"four", b"fives", b"other", b"", b"sevenoc", b"four"):
                    peer.send(BytesMessage(octets))
                    event = await peer.next()
                    assert event.data == ("meant" if len(octets) in (5, 7) else octets)
                peer.text("")
                assert await peer.hears() == ""

    run(go())
