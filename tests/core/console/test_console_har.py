"""A journalled exchange as an HTTP Archive."""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from portyard.commons.journal.model import JournalEvent, SessionRecord
from portyard.console.core.har import Archive

START = datetime(2030, 1, 2, tzinfo=UTC)


def archive(room: str, *events: tuple[str, dict[str, object]]) -> list[dict[str, Any]]:
    session = SessionRecord("1", room, room, "default", "127.0.0.1:5", START, None, None)
    noted = [
        JournalEvent(seq, START + timedelta(milliseconds=10 * seq), kind, fields)
        for seq, (kind, fields) in enumerate(events, 1)
    ]
    made = Archive()
    assert len(list(made.add(session, noted))) == sum(kind == "command" for kind, _ in events)
    whole = made.whole()
    assert 0 <= len(whole) - made.octets < 200 + 2 * len(events)
    entries: list[dict[str, Any]] = json.loads(whole)["log"]["entries"]
    return entries


def command(text: str, *headers: tuple[str, str]) -> tuple[str, dict[str, object]]:
    return "command", {"text": text, "headers": [list(header) for header in headers]}


def reply(text: str, octets: int | None = None, *headers: tuple[str, str]) -> tuple[str, dict[str, object]]:
    return "reply", {"text": text, "headers": [list(header) for header in headers], "octets": octets}


def test_exchanges_in_order() -> None:
    first, second = archive(
        "http",
        command("GET /a?b=c%20d&e HTTP/1.1", ("Host", "x.test:80")),
        reply("HTTP/1.1 302 Found", 5, ("Location", "/b"), ("Content-Type", "text/html")),
        command("POST /b HTTP/1.1", ("Host", "x.test:80")),
        ("data", {"direction": "in", "octets": 7}),
        reply("HTTP/1.1 100 Continue"),
        reply("HTTP/1.1 204 No Content"),
    )
    assert first["request"]["url"] == "http://x.test:80/a?b=c%20d&e"
    assert first["request"]["queryString"] == [{"name": "b", "value": "c d"}, {"name": "e", "value": ""}]
    assert (first["response"]["status"], first["response"]["redirectURL"]) == (302, "/b")
    assert first["response"]["content"] == {"size": 5, "mimeType": "text/html"}
    assert first["time"] == 10
    assert (second["request"]["bodySize"], second["response"]["status"]) == (7, 204)


@pytest.mark.parametrize(
    ("line", "url"),
    [
        ("OPTIONS * HTTP/1.1", "http://x:80"),
        ("CONNECT y.test:443 HTTP/1.1", "http://y.test:443"),
        ("GET /a?b#c HTTP/1.1", "http://x:80/a?b"),
        ("GET http://y.test/a#c HTTP/1.1", "http://y.test/a"),
    ],
)
def test_what_is_asked_for_is_told_as_a_whole_and_without_a_fragment(line: str, url: str) -> None:
    (entry,) = archive("http", command(line, ("Host", "x:80")))
    assert entry["request"]["url"] == url


def test_whatever_comes_before_the_answer_is_not_it() -> None:
    (entry,) = archive(
        "http", command("GET / HTTP/1.1"), reply("HTTP/1.1 103 Early Hints"), reply("HTTP/1.1 200 OK", 3)
    )
    assert (entry["response"]["status"], entry["response"]["bodySize"]) == (200, 3)


@pytest.mark.parametrize("line", ["HTTP/1.1 204 No Content", "HTTP/1.1 304 Not Modified"])
def test_an_answer_that_never_has_a_body_has_one_of_no_octets(line: str) -> None:
    (entry,) = archive("http", command("GET / HTTP/1.1"), reply(line))
    assert (entry["response"]["bodySize"], entry["response"]["content"]["size"]) == (0, 0)


def test_no_answer_and_tls() -> None:
    (entry,) = archive("http", ("tls", {"step": "established"}), command("GET / HTTP/1.1", ("Host", "x")))
    assert entry["request"]["url"] == "https://x/"
    assert entry["response"]["status"] == 0


def test_what_is_no_request_is_kept_too() -> None:
    for text in ("", "GET", "GET  HTTP/1.1", "GET http://[x/ HTTP/1.1", "\ud800"):
        assert len(archive("http", command(text), ("reply", {"text": "?"}))) == 1
    assert archive("http", ("reply", {"text": "HTTP/1.1 400 Bad Request"})) == []


def test_a_websockets_messages() -> None:
    (entry,) = archive(
        "websocket",
        command("GET /echo HTTP/1.1", ("Host", "x")),
        reply("HTTP/1.1 101 Switching Protocols"),
        ("data", {"direction": "in", "opcode": "text", "octets": 5, "text": "TEXT 5 hello"}),
        ("data", {"direction": "out", "opcode": "binary", "octets": 2, "text": "BINARY 2", "base64": "AP8="}),
        (
            "data",
            {"direction": "in", "opcode": "binary", "fin": False, "octets": 1, "text": "BINARY… 1", "base64": "AA=="},
        ),
        (
            "data",
            {"direction": "in", "opcode": "continuation", "octets": 1, "text": "CONTINUATION 1", "base64": "/w=="},
        ),
        ("data", {"direction": "in", "opcode": "text", "fin": False, "octets": 1, "text": "TEXT… 1 a"}),
        (
            "data",
            {"direction": "in", "opcode": "continuation", "octets": 1, "text": "CONTINUATION 1", "base64": "Yg=="},
        ),
        ("fault", {"rule": "cut"}),
    )
    assert entry["request"]["url"] == "ws://x/echo"
    assert [(each["type"], each["opcode"], each["data"]) for each in entry["_webSocketMessages"]] == [
        ("send", 1, "hello"),
        ("receive", 2, "AP8="),
        ("send", 2, "AP8="),
        ("send", 1, "ab"),
    ]
    assert "cut" in entry["comment"]


def test_a_character_in_two_frames_with_another_between_them() -> None:
    def frame(opcode: str, base64: str, direction: str = "in") -> tuple[str, dict[str, object]]:
        return "data", {"direction": direction, "opcode": opcode, "fin": opcode == "ping", "base64": base64}

    (entry,) = archive(
        "websocket",
        command("GET /echo HTTP/1.1", ("Host", "x")),
        reply("HTTP/1.1 101 Switching Protocols"),
        frame("continuation", "eA=="),  # of nothing
        ("data", {"direction": "in", "opcode": "text", "fin": False, "octets": 1, "text": "TEXT… 1 a"}),
        ("data", {"direction": "out", "opcode": "text", "fin": False, "octets": 1, "text": "TEXT… 1 b"}),
        frame("continuation", "w6ni"),
        frame("ping", "AA=="),
        frame("continuation", "Yg==", "out"),
        frame("continuation", "gqw="),
    )
    assert [(each["type"], each["opcode"], each["data"]) for each in entry["_webSocketMessages"]] == [
        ("send", 1, "aé€"),
        ("receive", 1, "bb"),
        ("send", 9, "AA=="),
    ]


def body(direction: str, octets: int, **more: object) -> tuple[str, dict[str, object]]:
    return "data", {"direction": direction, "part": "body", "octets": octets, **more}


def test_bodies() -> None:
    form, other, nothing = archive(
        "http",
        command("POST /a HTTP/1.1", ("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")),
        body("in", 9, text="a=1&b=x+y"),
        reply("HTTP/1.1 200 OK", None, ("Content-Type", "text/plain")),
        body("out", 2000, text="begin", unkept=1995),
        command("PUT /b HTTP/1.1"),
        body("in", 2, base64="AP8="),
        reply("HTTP/1.1 200 OK", 2, ("Content-Type", "image/png")),
        body("out", 2, base64="AP8="),
        command("GET /c HTTP/1.1"),
        reply("HTTP/1.1 200 OK", 7),
    )
    posted = form["request"]["postData"]
    assert posted["mimeType"].startswith("application/x-www-form-urlencoded")
    assert posted["params"] == [{"name": "a", "value": "1"}, {"name": "b", "value": "x y"}]
    assert (posted["text"], form["request"]["bodySize"]) == ("a=1&b=x+y", 9)
    content = form["response"]["content"]
    assert (content["size"], content["mimeType"], content["text"]) == (2000, "text/plain", "begin")
    assert "1995 octets" in content["comment"]
    assert (other["request"]["postData"]["text"], other["request"]["postData"]["_encoding"]) == ("AP8=", "base64")
    assert other["response"]["content"] == {"size": 2, "mimeType": "image/png", "text": "AP8=", "encoding": "base64"}
    assert "postData" not in nothing["request"]
    assert nothing["response"]["content"] == {"size": 7, "mimeType": "x-unknown"}


def packed(coding: str, octets: bytes, **more: object) -> dict[str, Any]:
    (entry,) = archive(
        "http",
        command("GET / HTTP/1.1"),
        reply("HTTP/1.1 200 OK", len(octets), ("Content-Encoding", coding), ("Content-Type", "text/plain")),
        body("out", len(octets), base64=base64.b64encode(octets).decode(), **more),
    )
    response: dict[str, Any] = entry["response"]
    return response


@pytest.mark.parametrize(
    ("coding", "octets"),
    [
        ("gzip", gzip.compress(b"tide " * 50, mtime=0)),
        ("GZIP", gzip.compress(b"tide " * 50, mtime=0)),
        ("deflate", zlib.compress(b"tide " * 50)),
        ("deflate", zlib.compress(b"tide " * 50, wbits=-15)),
    ],
)
def test_a_body_is_shown_without_its_coding(coding: str, octets: bytes) -> None:
    response = packed(coding, octets)
    assert response["content"] == {
        "size": 250,
        "mimeType": "text/plain",
        "text": "tide " * 50,
        "compression": 250 - len(octets),
    }
    assert response["bodySize"] == len(octets)


def test_a_picture_in_gzip_stays_in_base64() -> None:
    content = packed("gzip", gzip.compress(b"\xff\x00"))["content"]
    assert (content["text"], content["encoding"], content["size"]) == ("/wA=", "base64", 2)


def test_what_cannot_be_decoded_stays_as_it_came() -> None:
    whole = gzip.compress(b"tide " * 50)
    for response in (
        packed("gzip", whole[:-3]),
        packed("gzip", b"no gzip"),
        packed("br", whole),
        packed("gzip", whole + b"more"),
        packed("gzip", whole[:20], unkept=len(whole) - 20),
        packed("gzip", gzip.compress(b"0" * (17 << 20))),
    ):
        assert response["content"]["encoding"] == "base64"
        assert response["content"]["size"] == response["bodySize"]


def test_an_answer_to_head_has_no_body() -> None:
    (entry,) = archive("http", command("HEAD / HTTP/1.1"), reply("HTTP/1.1 200 OK", 137))
    assert (entry["response"]["bodySize"], entry["response"]["content"]["size"]) == (0, 0)


def test_a_compressed_message_reads_as_it_was() -> None:
    def frame(direction: str, opcode: str, text: str, **more: object) -> tuple[str, dict[str, object]]:
        fields: dict[str, object] = {"direction": direction, "opcode": opcode, "fin": True, "text": text, **more}
        return "data", fields

    (entry,) = archive(
        "websocket",
        command("GET /echo HTTP/1.1"),
        frame("in", "text", "TEXT 5 hello", octets=5, deflated=7),
        frame("out", "binary", "BINARY 2", octets=2, deflated=4, base64="AP8="),
        frame("out", "text", "TEXT 0 ", octets=0, deflated=1),
    )
    assert [(each["data"], "_comment" in each) for each in entry["_webSocketMessages"]] == [
        ("hello", False),
        ("AP8=", False),
        ("", False),
    ]


def test_a_compressed_message_says_that_it_is_not_kept() -> None:
    (entry,) = archive(
        "websocket",
        command("GET /echo HTTP/1.1"),
        ("data", {"direction": "in", "opcode": "text", "octets": 13, "compressed": True, "text": "TEXT 13 compressed"}),
        ("data", {"direction": "in", "opcode": "text", "octets": 0, "text": "TEXT 0"}),
    )
    first, second = entry["_webSocketMessages"]
    assert first["data"] == ""
    assert "kept" in first["_comment"]
    assert "_comment" not in second
