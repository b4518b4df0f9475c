"""A session's events become octets and gaps."""

from __future__ import annotations

from contextvars import copy_context
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from portyard.commons.journal.export_octets import pieces
from portyard.commons.journal.export_piece import Piece
from portyard.commons.journal.model import JournalEvent
from portyard.commons.turns import GivenUpError, awaited

START = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)


def events(*given: tuple[str, dict[str, object] | str]) -> list[JournalEvent]:
    return [
        JournalEvent(
            number,
            START + timedelta(milliseconds=number),
            kind,
            {"text": fields} if isinstance(fields, str) else fields,
        )
        for number, (kind, fields) in enumerate(given, 1)
    ]


def said(*given: tuple[str, dict[str, object] | str]) -> list[Piece]:
    return list(pieces(events(*given)))


def shown(*given: tuple[str, dict[str, object] | str]) -> list[tuple[bool, bytes, int]]:
    return [(piece.ours, piece.kept, piece.more) for piece in said(*given)]


def test_lines_get_their_ends_and_directions() -> None:
    assert shown(("greeting", "220 hello"), ("command", "NOOP"), ("reply", "250-a\r\n250 b"), ("reply", "1\n2")) == [
        (True, b"220 hello\r\n", 0),
        (False, b"NOOP\r\n", 0),
        (True, b"250-a\r\n250 b\r\n", 0),
        (True, b"1\r\n2\r\n", 0),
    ]


def test_each_piece_has_its_time() -> None:
    (first, second) = said(("command", "A"), ("reply", "B"))
    assert (first.at, second.at) == (START + timedelta(milliseconds=1), START + timedelta(milliseconds=2))


def test_a_counted_block_is_a_gap_with_its_end_mark() -> None:
    assert shown(("command", "DATA"), ("command", "«message, 28 octets»"), ("command", "QUIT")) == [
        (False, b"DATA\r\n", 0),
        (False, b"", 26),
        (False, b"\r\n.\r\n", 0),
        (False, b"QUIT\r\n", 0),
    ]


def test_a_chunk_has_no_end_mark() -> None:
    assert shown(("command", "BDAT 28 LAST"), ("command", "«message, 28 octets»"))[1:] == [(False, b"", 28)]


def test_a_literal_stands_as_it_was_announced() -> None:
    assert shown(
        ("command", "1 APPEND x {3}"),
        ("reply", "+ go"),
        ("command", "a\r\n"),
        ("command", ""),
        ("command", "2 APPEND x {5000+}"),
        ("command", "«literal, 5000 bytes»"),
        ("command", ""),
    ) == [
        (False, b"1 APPEND x {3}\r\n", 0),
        (True, b"+ go\r\n", 0),
        (False, b"a\r\n", 0),
        (False, b"\r\n", 0),
        (False, b"2 APPEND x {5000+}\r\n", 0),
        (False, b"", 5000),
        (False, b"\r\n", 0),
    ]


def test_a_literal_that_nobody_sent_or_wanted() -> None:
    refused = (("command", "1 APPEND x {3}"), ("reply", "1 NO"), ("command", "abc"), ("reply", "* BAD"))
    assert shown(*refused)[2] == (False, b"abc\r\n", 0)
    dropped = (("command", "1 APPEND x {3+}"), ("command", " (x"), ("reply", "1 NO"))
    assert shown(*dropped)[1] == (False, b" (x", 0)  # as well it may be
    assert shown(("command", "1 APPEND x {4+}"), *dropped[1:])[1:3] == [(False, b"", 4), (False, b" (x\r\n", 0)]
    pop3 = (("command", "UIDL {3}"), ("reply", "+OK"), ("command", "abc"))
    assert shown(*pop3)[2] == (False, b"abc\r\n", 0)


def test_a_literal_of_octets_that_are_no_text_or_that_looks_like_an_announcement() -> None:
    begun = (("command", "1 APPEND x {4+}"), ("command", "\\xe9{1}"), ("command", ""), ("reply", "1 OK"))
    assert shown(*begun)[1:3] == [(False, b"\xe9{1}", 0), (False, b"\r\n", 0)]
    secret = (("command", "1 LOGIN {4+}"), ("command", "«secret, 4 bytes»"), ("command", ""), ("reply", "1 OK"))
    assert shown(*secret)[1:3] == [(False, b"<secret, 4 bytes>", 0), (False, b"\r\n", 0)]


class Uncopied(list[JournalEvent]):
    """Events that are read one by one."""

    def __getitem__(self, place: Any) -> Any:
        assert isinstance(place, int), "a copy of the rest, for each literal of a session without end"
        return super().__getitem__(place)


def test_literals_of_a_long_session() -> None:
    told = events(("command", "a LOGIN {5+}"), ("command", "alice secret"), ("reply", "a OK done"))
    assert [piece.kept for piece in pieces(Uncopied(told))] == [piece.kept for piece in pieces(told)]


def test_a_reply_that_was_broken_off_has_no_line_end_of_its_own() -> None:
    broken: dict[str, object] = {"text": "* 1 FETCH (X {9}\r\nabc", "broken_off": True}
    assert shown(("reply", broken)) == [(True, b"* 1 FETCH (X {9}\r\nabc", 0)]


def test_what_a_reply_counts_is_a_gap_in_it() -> None:
    assert shown(("reply", "+OK 501 octets\r\n«message, 501 octets»\r\n.")) == [
        (True, b"+OK 501 octets\r\n", 501),
        (True, b".\r\n", 0),
    ]
    assert shown(("reply", "* 1 FETCH (X {9}\r\n«9 bytes»\r\n)\r\nA OK")) == [
        (True, b"* 1 FETCH (X {9}\r\n", 9),
        (True, b")\r\nA OK\r\n", 0),
    ]


def test_a_reply_that_was_cut_says_so() -> None:
    ((piece,),) = (said(("reply", "x" * 4096)),)
    assert "cut" in piece.notes[0]
    ((counted,),) = (said(("reply", {"text": "x" * 4096, "unkept": 70_000})),)
    assert (counted.kept, counted.more) == (b"x" * 4096, 70_000)
    ((first, last),) = (said(("reply", {"text": "x", "unkept": 70_000, "end": "a OK\r\n"})),)
    assert (first.kept, first.more, last.kept, last.more) == (b"x", 69_994, b"a OK\r\n", 0)


def test_a_secret_stays_blanked_and_is_noted() -> None:
    (piece,) = said(("command", "PASS «secret, 12 bytes»"))
    assert piece.kept == b"PASS <secret, 12 bytes>\r\n"
    assert "blanked" in piece.notes[0]


def test_heads_with_the_lengths_of_their_bodies() -> None:
    headers = [["Host", "x"], ["Content-Length", "3"]]
    assert shown(
        ("command", {"text": "POST / HTTP/1.1", "headers": headers}),
        ("data", {"direction": "in", "octets": 3}),
        ("reply", {"text": "HTTP/1.1 200 OK", "headers": [["A", "b"]], "octets": 290}),
        ("command", {"text": "HEAD / HTTP/1.1", "headers": []}),
        ("reply", {"text": "HTTP/1.1 200 OK", "headers": [], "octets": 290}),
        ("command", {"text": "GET / HTTP/1.1", "headers": []}),
        ("reply", {"text": "HTTP/1.1 304 Not Modified", "headers": [], "octets": 290}),
    ) == [
        (False, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n", 3),
        (True, b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n", 290),
        (False, b"HEAD / HTTP/1.1\r\n\r\n", 0),
        (True, b"HTTP/1.1 200 OK\r\n\r\n", 0),
        (False, b"GET / HTTP/1.1\r\n\r\n", 0),
        (True, b"HTTP/1.1 304 Not Modified\r\n\r\n", 0),
    ]


def test_a_body_in_chunks_is_noted_as_uncounted() -> None:
    head: dict[str, object] = {"text": "HTTP/1.1 200 OK", "headers": [["Transfer-Encoding", "chunked"]], "octets": None}
    (piece,) = said(("reply", head))
    assert piece.more == 5
    assert "nor counted" in piece.notes[0]


def test_frames() -> None:
    def frame(direction: str, opcode: str, octets: int, text: str, **more: object) -> tuple[str, dict[str, object]]:
        return "data", {"direction": direction, "opcode": opcode, "fin": True, "octets": octets, "text": text, **more}

    assert shown(
        frame("in", "text", 5, "TEXT 5 hello"),
        frame("out", "text", 5, "TEXT 5 hello"),
        frame("out", "binary", 300, "BINARY 300"),
        frame("out", "binary", 70_000, "BINARY 70000"),
        frame("out", "text", 9, "TEXT 9 compressed", compressed=True),
        frame("out", "close", 5, "CLOSE 1000 bye", code=1000, reason="bye"),
    ) == [
        (False, b"\x81\x85\0\0\0\0hello", 0),
        (True, b"\x81\x05hello", 0),
        (True, b"\x82\x7e\x01\x2c", 300),
        (True, b"\x82\x7f\0\0\0\0\0\x01\x11\x70", 70_000),
        (True, b"\xc1\x09", 9),
        (True, b"\x88\x05\x03\xe8bye", 0),
    ]


def test_a_compressed_frame_stands_as_it_reads() -> None:
    told: dict[str, object] = {"direction": "in", "opcode": "text", "fin": True, "octets": 5, "deflated": 7}
    (piece,) = said(("data", told | {"text": "TEXT 5 hello"}))
    assert piece.kept == b"\x81\x85\0\0\0\0hello"
    assert [note.startswith("it was compressed, to 7 octets") for note in piece.notes] == [True, False]


def test_what_is_no_octets_is_noted_with_what_comes_next() -> None:
    first, second = said(
        ("opened", {"port": "x"}),
        ("auth", {"account": "alice", "mechanism": "USER"}),
        ("reply", "+OK"),
        ("fault", {"rule": "r", "does": ["hang_up"]}),
        ("closed", {"reason": "x"}),
    )
    assert first.notes == ("auth: account=alice mechanism=USER",)
    assert (second.kept, second.notes) == (b"", ("fault: rule=r does=['hang_up']",))


def test_a_handshake_after_plaintext_begins_afresh() -> None:
    established: tuple[str, dict[str, object]] = ("tls", {"step": "established"})
    assert [p.afresh for p in said(established, ("command", "A"), ("reply", "B"))] == [False, False]
    assert [p.afresh for p in said(("command", "A"), established, ("command", "B"), ("reply", "C"))] == [
        False,
        True,
        False,
    ]


def test_whoever_knows_the_protocol_gives_the_octets() -> None:
    given = events(("greeting", "hi"), ("command", "x"), ("reply", "y"))

    def recode(event: JournalEvent) -> tuple[bytes, str] | None:
        return (b"\0\1", "told") if event.kind == "command" else None

    found = list(pieces(given, recode))
    assert [(piece.ours, piece.kept) for piece in found] == [(True, b"hi\r\n"), (False, b"\0\1"), (True, b"")]
    assert found[1].notes == ("told",)
    assert found[2].notes == ("reply: text=y",)


def body(direction: str, octets: int, **more: object) -> tuple[str, dict[str, object]]:
    return "data", {"direction": direction, "part": "body", "octets": octets, **more}


def head(text: str, *headers: list[str], **more: object) -> tuple[str, dict[str, object]]:
    return ("command" if text.endswith("1.1") else "reply"), {"text": text, "headers": list(headers), **more}


def test_a_body_that_was_kept_stands_behind_its_head() -> None:
    post, answer = said(
        head("POST / HTTP/1.1", ["Content-Length", "14"]),
        ("fault", {"rule": "slow"}),
        body("in", 14, text="token=«secret, 8 bytes»"),
        head("HTTP/1.1 200 OK", ["Content-Length", "5"], octets=5),
        body("out", 5, text="a\r\nbc", unkept=0),
    )
    assert post.kept.endswith(b"\r\n\r\ntoken=********")
    assert (post.more, answer.kept[-9:], answer.more) == (0, b"\r\n\r\na\r\nbc", 0)


def test_a_body_that_was_cut_is_as_long_as_it_was() -> None:
    (answer,) = said(
        head("HTTP/1.1 200 OK", ["Content-Length", "5000"], octets=5000), body("out", 5000, text="abc", unkept=4997)
    )
    assert (answer.kept[-3:], answer.more) == (b"abc", 4997)
    assert "the rest of the body wasn't kept: 4997 octets" in answer.notes


def test_a_body_of_chunks_is_one_chunk() -> None:
    chunked = ["Transfer-Encoding", "chunked"]
    (whole,) = said(head("HTTP/1.1 200 OK", chunked, octets=None), body("out", 3, base64="AP8A"))
    assert whole.kept.endswith(b"\r\n\r\n3\r\n\x00\xff\x00\r\n0\r\n\r\n")
    (cut,) = said(head("HTTP/1.1 200 OK", chunked, octets=None), body("out", 300, text="abc", unkept=297))
    assert (cut.kept[-8:], cut.more) == (b"12c\r\nabc", 304)


def test_a_coded_body_of_a_request_was_decoded_before_it_was_noted() -> None:
    (post,) = said(
        head("POST / HTTP/1.1", ["Content-Length", "25"], ["Content-Encoding", "gzip"]), body("in", 5, text="hello")
    )
    assert (post.kept[-4:], post.more) == (b"\r\n\r\n", 25)


def test_what_nobody_waits_for_is_given_up() -> None:
    with awaited():
        begun = copy_context()
    with pytest.raises(GivenUpError):
        begun.run(said, ("command", "NOOP"))


def test_what_a_binary_frame_holds() -> None:
    (piece,) = said(
        (
            "data",
            {"direction": "out", "opcode": "binary", "fin": True, "octets": 2, "text": "BINARY 2", "base64": "AP8="},
        )
    )
    assert (piece.kept, piece.more) == (b"\x82\x02\x00\xff", 0)
