"""What is noted before anybody has looked for secrets in it is written without them."""

from __future__ import annotations

import pytest

from portyard.commons.journal.packing import unpacked
from portyard.commons.journal.pages import events, form
from portyard.commons.journal.pen import LEAF_EVENTS, Pen
from tests.support.journal_desk import IdleDesk, pen_at

_BODY = form("data", {"part": "body"}, bare=True, secrets=True)
_PLAIN = form("data", {"part": "head"}, bare=True)


@pytest.fixture
def pen() -> Pen:
    return pen_at(IdleDesk())


@pytest.mark.parametrize("more", [0, LEAF_EVENTS], ids=["a few", "more than wait"])
def test_a_secret_is_blanked_in_what_is_written(pen: Pen, more: int) -> None:
    note = pen.noter(_BODY)
    pen.command("GET /")
    note(b'{"name": "x"}')
    note(b'{"password": "hush-hush"}')
    pen.reply("200")
    note(b"\xff\0")
    for _ in range(more):
        note(b"token=hush-hush&b=c")
    pages = [unpacked(body) for _, body in pen.take()]
    assert not [body for body in pages if b"hush-hush" in body]
    assert [(event.kind, event.fields) for body in pages for event in events(1, body)] == [
        ("command", {"text": "GET /"}),
        ("data", {"part": "body", "octets": 13, "text": '{"name": "x"}'}),
        ("data", {"part": "body", "octets": 25, "text": '{"password": "«secret, 9 bytes»"}'}),
        ("reply", {"text": "200"}),
        ("data", {"part": "body", "octets": 2, "base64": "/wA="}),
        *[("data", {"part": "body", "octets": 19, "text": "token=«secret, 9 bytes»&b=c"})] * more,
    ]


def test_octets_of_another_form_are_written_as_they_are(pen: Pen) -> None:
    note, plain = pen.noter(_BODY), pen.noter(_PLAIN)
    plain(b"password=not-mine")
    note(b"password=hush-hush")
    ((_, body),) = pen.take()
    assert [event.fields["text"] for event in events(1, unpacked(body))] == [
        "password=not-mine",
        "password=«secret, 9 bytes»",
    ]
