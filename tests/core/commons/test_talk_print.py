"""A session of the journal as a talk reads as a person would say it."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest

from portyard.commons.journal.model import JournalEvent, SessionRecord
from portyard.commons.talk.parse import raw_octets
from portyard.commons.talk.print import JournalTalk, journal_talk
from portyard.commons.talk.replay import replayable

START = datetime(2030, 1, 2, tzinfo=UTC)


def talk(*events: tuple[str, dict[str, object]]) -> list[str]:
    """The talk of these events, less its opening."""
    record = SessionRecord("1", "http", "http", "default", "127.0.0.1:5", START, None, None)
    told = [JournalEvent(seq, START, kind, fields) for seq, (kind, fields) in enumerate(events, 1)]
    return journal_talk(record, told).splitlines()[2:]


def test_an_exchange_with_its_fields_and_bodies() -> None:
    assert talk(
        ("command", {"text": "POST /post HTTP/1.1", "headers": [["Host", "x"], ["Content-Length", "7"]]}),
        ("data", {"direction": "in", "part": "body", "octets": 7, "text": "a=1\r\n$b"}),
        ("reply", {"text": "HTTP/1.1 200 OK", "headers": [["Server", "Portyard"]], "octets": 2000}),
        ("data", {"direction": "out", "part": "body", "octets": 2000, "unkept": 1994, "text": "begin\n"}),
        ("data", {"direction": "out", "part": "body", "octets": 2, "base64": "AP8="}),
        ("data", {"direction": "in", "part": "body", "octets": 9}),
    ) == [
        "C: POST /post HTTP/1.1",
        "C: Host: x",
        "C: Content-Length: 7",
        "C:",
        "C: a=1",
        "C: $$b",
        "S: HTTP/1.1 200 OK",
        "S: Server: Portyard",
        "S:",
        "S: begin",
        "# 1994 octets more",
        "# body of 2 octets, in base64: AP8=",
        "# body of 9 octets",
    ]


def test_what_is_no_line_is_told_shortly() -> None:
    assert talk(
        (
            "tls",
            {
                "step": "hello",
                "versions": ["TLSv1.3", "TLSv1.2"],
                "cipher_suites": [1, 2, 3],
                "seconds": 0.003000000004,
            },
        ),
        ("fault", {"verb": "rcpt", "does": ["respond", "hang_up"], "rule": ""}),
        ("transfer", {"complete": True, "seconds": 2.0}),
    ) == [
        "# tls step=hello versions=TLSv1.3,TLSv1.2 cipher_suites=3 seconds=0.003",
        "# fault verb=rcpt does=respond,hang_up",
        "# transfer complete=yes seconds=2",
    ]


def test_headers_say_where_and_who() -> None:
    record = SessionRecord("1", "imap", "imap", "default", "127.0.0.1:5", START, None, "ada@portyard.test")
    told = [JournalEvent(1, START, "opened", {"service": "imap", "port": "imaps"})]
    assert journal_talk(record, told).startswith("room: imap  port: imaps  account: ada@portyard.test\n# 2030-01-02")


LITERALS = (
    ("command", "a APPEND INBOX {9}"),
    ("reply", "+ Ready"),
    ("command", "$x\\{a*3}\r\n\x01"),
    ("command", ""),
    ("command", "b LOGIN {3+}"),
    ("command", "ada"),
    ("command", " {6+}"),
    ("command", "«secret, 6 bytes»"),
    ("command", ""),
    ("command", "c APPEND INBOX {70000}"),
    ("reply", "+ Ready"),
    ("command", "«literal, 70000 bytes»"),
    ("command", "d APPEND INBOX {99999999}"),
    ("reply", "d NO too large"),
    ("command", "e NOOP"),
    ("command", "USER {5}"),
    ("reply", "+OK"),
    ("command", "PASS x"),
)


def test_a_literal_has_no_line_end_of_its_own() -> None:
    told = talk(*((kind, {"text": text}) for kind, text in LITERALS))
    said = [line for line in told if line.startswith("C")]
    assert said == [
        "C: a APPEND INBOX {9}",
        r"C~: $$x\\\x7ba*3}\r\n\x01",
        "C: ",
        "C: b LOGIN {3+}",
        "C~: ada",
        "C:  {6+}",
        "C~: «secret, 6 bytes»",
        "C: ",
        "C: c APPEND INBOX {70000}",
        "C~: «literal, 70000 bytes»",
        "C: d APPEND INBOX {99999999}",
        "C: e NOOP",
        "C: USER {5}",
        "C: PASS x",
    ]
    assert raw_octets(said[1].removeprefix("C~: ").replace("$$", "$")) == b"$x\\{a*3}\r\n\x01"
    assert [line for line in replayable("\n".join(told)).split("\n") if line.startswith("C~")] == [
        said[1],
        "C~: ada",
        "C~: $password",
        "C~: {x*70000}",
    ]


@pytest.mark.parametrize("line", ["x" * 30_000, "abcdef" * 5_000 + "g", f"<{'1' * 30_000}", f"<{'1' * 30_000}@"])
def test_a_body_of_one_word_is_written_at_once(line: str) -> None:
    began = time.process_time()  # each of these took ten seconds or more
    again = replayable(f"S: {line}")
    assert time.process_time() - began < 2
    assert again in (f"S: {line}", "S: <$", "S: <$@")


@pytest.mark.parametrize(
    "fresh", ["<1234.a@x.test>", "<a.1234@x.test>", "1029384756", "port12345", "0a1b2c3d4e5f", "2030-01-02T03:04:05Z"]
)
def test_what_differs_from_run_to_run(fresh: str) -> None:
    assert replayable(f"S: a {fresh} b") == "S: a $ b"


MORE = "# 900 octets more"


@pytest.mark.parametrize(
    ("fields", "lines", "again"),
    [
        ({"text": "* 1\r\n* 2 x$", "end": ")\r\na OK\r\n"}, ["S: * 1", "S: * 2 x$$$", MORE, "S: ...", "S: a OK"], None),
        (
            {"text": "* 1\r\n* 123456", "end": "a OK 123456\r\n"},
            ["S: * 1", "S: * 123456$", MORE, "S: ...", "S: a OK 123456"],
            ["S: * 1", "S: * $", MORE, "S: ...", "S: a OK $"],
        ),
        ({"text": "* 1\r\n", "end": "a OK\r\n"}, ["S: * 1", MORE, "S: ...", "S: a OK"], None),
        ({"text": "* 1\r\na O", "end": ""}, ["S: * 1", "S: a O$", MORE], None),
        ({"text": "* 1\r\n", "end": ""}, ["S: * 1", MORE, "S: $"], None),
        ({"text": "* 1\r\nx", "broken_off": True}, ["S: * 1", "S: x$", MORE, "S: ..."], None),
    ],
    ids=["dollar", "varies", "between-lines", "last-line", "before-the-last-line", "broken-off"],
)
def test_an_answer_that_is_not_shown_whole(
    fields: dict[str, object], lines: list[str], again: list[str] | None
) -> None:
    printed = talk(("reply", {**fields, "unkept": 900}))
    assert printed == lines
    assert replayable("\n".join(printed)).split("\n") == (again or lines)


@pytest.mark.parametrize(
    ("reason", "lines"),
    [
        ("peer closed", ["C: <close>"]),
        (
            "[Errno 104] Connection reset by peer",
            ["# closed reason=[Errno 104] Connection reset by peer", "C: <close>"],
        ),
        ("the connection is gone", ["# closed reason=the connection is gone", "C: <close>"]),
        ("closed by us", ["S: <closed>"]),
        ("", ["S: <closed>"]),
        ("hung up by a rule", ["# closed reason=hung up by a rule", "S: <closed>"]),
    ],
)
def test_who_closed_and_why(reason: str, lines: list[str]) -> None:
    assert talk(("closed", {"reason": reason})) == lines


@pytest.mark.parametrize("fault", ["reset", "cut_after"])
def test_a_connection_that_was_broken_off_on_its_way_was_not_closed_by_the_client(fault: str) -> None:
    struck: tuple[str, dict[str, object]] = ("fault", {"does": [fault], "direction": "down", "octets": 5})
    assert talk(struck, ("closed", {"reason": "peer closed"})) == [
        f"# fault does={fault} direction=down octets=5",
        "S: <closed>",
    ]


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_a_talk_is_the_same_however_its_events_are_read(size: int) -> None:
    record = SessionRecord("1", "imap", "imap", "default", "127.0.0.1:5", START, None, "alice")
    noted: list[tuple[str, dict[str, object]]] = [
        ("opened", {"port": "imap"}),
        ("command", {"text": "a LOGIN {5}"}),
        ("reply", {"text": "+ go on"}),
        ("command", {"text": "alice"}),
        ("fault", {"does": ["reset"]}),
        ("closed", {"reason": "peer closed"}),
    ]
    events = [JournalEvent(seq, START, kind, fields) for seq, (kind, fields) in enumerate(noted, 1)]
    told = JournalTalk(record)
    parts = [told.lines(events[at : at + size]) for at in range(0, len(events), size)]
    assert "".join(parts) + told.lines(()) == journal_talk(record, events)
    assert journal_talk(record, events).startswith("room: imap  port: imap  account: alice\n")


def test_a_talk_without_events_has_a_head() -> None:
    record = SessionRecord("1", "imap", "imap", "default", "127.0.0.1:5", START, None, None)
    assert JournalTalk(record).lines(()) == journal_talk(record, []) != ""
