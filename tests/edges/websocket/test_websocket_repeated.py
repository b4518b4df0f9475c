"""Messages that come again and again: each in the journal as it was, and each held against the rules of the moment."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from wsproto.events import BytesMessage, TextMessage

from portyard.websocket.card import CARD
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


def test_messages_that_never_came_are_held_against_every_rule(tmp_path: Path) -> None:
    """Texts as long as others that nobody asked for, those of other lengths, those that aren't ASCII, and octets."""
    wheres: tuple[dict[str, object], ...] = (
        {"text": "*no*"},
        {"text": "/^BAD/i"},
        {"length": 7},
        {"opcode": "binary", "length": 5},
        {"text": "naïv?"},
        {"path": "/room/*", "text": "quiet"},
    )

    async def go() -> None:
        async with ruled_room(tmp_path, CARD) as place:
            for where in wheres:
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
