"""A session of the journal as a talk reads as a person would say it."""

from __future__ import annotations

from datetime import UTC, datetime

from portyard.commons.journal.model import JournalEvent, SessionRecord
from portyard.commons.talk.print import journal_talk

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
