"""`portyard tail` where the testbed has no stream, and its words."""

from __future__ import annotations

import http.server
import json
import re
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from portyard.cli.tail import lines_of
from tests.support.process import portyard


class Waiting(http.server.BaseHTTPRequestHandler):
    """A testbed without a stream: events come in pairs that share their moment, the second one later."""

    asked: list[dict[str, list[str]]] = []  # noqa: RUF012 - a test's own record

    def do_GET(self) -> None:
        path, query = urlsplit(self.path).path, parse_qs(urlsplit(self.path).query)
        if path.endswith("/stream"):
            return self.answer(404, {"title": "Not Found"})
        if path.endswith("/clock"):
            return self.answer(200, {"now": "2040-01-01T00:00:00Z", "machine": "2030-01-01T00:00:00Z"})
        if path.endswith("/wait"):
            self.asked.append(query)
            events = [event(number) for number in range(len(self.asked))]
            since = datetime.fromisoformat(query["since"][0])
            wanted = [each for each in events if datetime.fromisoformat(each["at"]) >= since]
            return self.answer(200, {"satisfied": True, "events": wanted})
        return self.answer(200, {"name": "default"})

    def answer(self, status: int, body: dict[str, Any]) -> None:
        octets = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(octets)))
        self.end_headers()
        self.wfile.write(octets)

    def log_message(self, *_: Any) -> None:
        pass


def event(number: int) -> dict[str, Any]:
    at = datetime(2030, 1, 1, 0, number // 2, tzinfo=UTC).isoformat()
    fields = {"text": f"NOOP {number}"}
    shared = {"session": "s", "room": "smtp", "service": "mta", "kind": "command"}
    return {"id": f"s.{number}", "seq": number, "at": at, "fields": fields, **shared}


def test_tail_waits_where_there_is_no_stream(tmp_path: Path) -> None:
    Waiting.asked.clear()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Waiting) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            url = f"http://127.0.0.1:{server.server_address[1]}"
            done = portyard("tail", "--count", "4", "--room", "smtp", cwd=tmp_path, PORTYARD_URL=url)
        finally:
            server.shutdown()
            thread.join()
    assert done.returncode == 0, done.stderr
    assert re.findall(r"NOOP \d", done.stdout) == ["NOOP 0", "NOOP 1", "NOOP 2", "NOOP 3"]
    assert [query["count"] for query in Waiting.asked] == [["1"], ["2"], ["3"], ["2"]]
    assert {query["room"][0] for query in Waiting.asked} == {"smtp"}


def test_tail_says_an_event_as_a_person_would() -> None:
    fault = {"kind": "fault", "fields": {"verb": "rcpt", "rule": "r", "does": ["delay", "refuse"], "spent": False}}
    assert lines_of(fault) == [("--", "fault verb=rcpt rule=r does=delay,refuse spent=no")]
    assert lines_of({"kind": "closed", "fields": {"reason": ""}}) == [("--", "closed")]
