"""Callers in the testbed's own process get the answers that a connection gets."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from portyard.console.nearby import find
from portyard.console.routes import ROUTES
from portyard.testing import ControlError, Testbed

BOUNDED = 30.0


@pytest.fixture(scope="module")
def testbed() -> Iterator[Testbed]:
    with Testbed.embedded() as running:
        yield running


@pytest.mark.parametrize("route", [each for each in ROUTES if not each.streams], ids=lambda r: f"{r.method} {r.path}")
def test_every_operation_that_does_not_stream_is_found(route: Any) -> None:
    path = re.sub(r"\{(\w+)\}", r"some-\1", route.path).lstrip("/")
    found = find(route.method, path.split("/"))
    assert found is not None
    assert found[0].operation is route.operation
    assert found[1] == {name: f"some-{name}" for name in re.findall(r"\{(\w+)\}", route.path)}


@pytest.mark.parametrize("route", [each for each in ROUTES if each.streams], ids=lambda r: f"{r.method} {r.path}")
def test_what_streams_is_left_to_a_connection(route: Any) -> None:
    path = re.sub(r"\{(\w+)\}", "some", route.path).lstrip("/")
    assert find(route.method, path.split("/")) is None


ASKED: list[tuple[str, str, object]] = [
    ("GET", "endpoints", None),
    ("GET", "sandboxes", None),
    ("GET", "sandboxes/default", None),
    ("GET", "sandboxes/default/accounts", None),
    ("GET", "sandboxes/default/rules", None),
    ("GET", "sandboxes/default/messages?limit=1", None),
    ("GET", "sandboxes/default/messages/wait?count=0&timeout=0", None),
    ("GET", "sandboxes/default/events?limit=5", None),
    ("GET", "sandboxes/default/queue", None),
    ("GET", "sandboxes/default/records", None),
    ("GET", "sandboxes/default/leases", None),
    ("GET", "ca.pem", None),
    ("GET", "openapi.json", None),
    ("GET", "sandboxes/de%66ault", None),
    # refused
    ("GET", "sandboxes/nobody", None),
    ("GET", "sandboxes/a%2Fb", None),
    ("GET", "sandboxes/", None),
    ("GET", "sandboxes//accounts", None),
    ("GET", "sandboxes/default/", None),
    ("GET", "sandboxes/./default", None),
    ("GET", "nothing/here", None),
    ("GET", "", None),
    ("PUT", "sandboxes", {"name": "x"}),
    ("DELETE", "sandboxes/default", None),
    ("POST", "sandboxes", {"name": "NOT a label"}),
    ("POST", "sandboxes", {"name": "x", "colour": "red"}),
    ("POST", "sandboxes", {}),
    ("POST", "sandboxes", ["x"]),
    ("POST", "sandboxes", {"name": "default"}),
    ("POST", "sandboxes", {"name": "x" * (1 << 20)}),
    ("POST", "sandboxes/default/reset", {"really": True}),
    ("POST", "sandboxes/default/rules", {"on": "smtp.nothing", "then": {"refuse": "451 4.7.1 later"}}),
    ("POST", "sandboxes/default/rules", {"on": "smtp.rcpt", "then": {"refuse": "451 4.7.1 later"}, "times": -1}),
    ("POST", "sandboxes/default/clock", {"freeze": True, "real": True}),
    ("POST", "sandboxes/default/clock", {"advance": "soon"}),
    ("PUT", "personas/imap/mine", {"summary": 7}),
    ("PUT", "sandboxes/default/records/elsewhere.example/A", {"values": ["192.0.2.1"], "ttl": 60}),
    ("GET", "sandboxes/default/messages?limit=1&limit=2", None),
    ("GET", "sandboxes/default/messages?limit=many", None),
    ("GET", "sandboxes/default/messages?subject=%2F(%2F", None),
    ("GET", "sandboxes/default/messages/wait", None),
    ("GET", "sandboxes/default/sessions?room=cellar", None),
    ("GET", "sandboxes/default/messages/7", None),
]


@pytest.mark.parametrize(("method", "path", "body"), ASKED, ids=[f"{each[0]} {each[1]}"[:60] for each in ASKED])
def test_the_answer_is_a_connections(testbed: Testbed, method: str, path: str, body: object) -> None:
    control = testbed.control
    octets = b"" if body is None else json.dumps(body).encode()
    connection = http.client.HTTPConnection(control.host, control.port, timeout=BOUNDED)
    try:
        headers = {"Content-Type": "application/json"} if octets else {}
        connection.request(method, f"/api/v1/{path}", octets or None, headers)
        response = connection.getresponse()
        far = (response.status, response.read(), response.getheader("Link", ""))
    finally:
        connection.close()
    near = control.near(method, path, octets, "application/json", BOUNDED)
    assert near is None or near == far


def test_what_is_asked_most_needs_no_connection(testbed: Testbed) -> None:
    asked = ("GET", "endpoints"), ("GET", "sandboxes/default"), ("GET", "sandboxes/default/messages?limit=1")
    assert all(testbed.control.near(*each, b"", "", BOUNDED) for each in asked)


def test_what_nobody_foresaw_is_told_without_its_words(
    testbed: Testbed, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from portyard.console import nearby

    def broken(*_: object) -> None:
        raise KeyError("the vault's number")

    monkeypatch.setattr(nearby, "query_of", broken)
    with pytest.raises(ControlError, match="KeyError; see the console's log") as refused:
        testbed.control.get("sandboxes/default")
    assert refused.value.status == 500
    assert "vault" not in str(refused.value)
    assert "GET /api/v1/sandboxes/default failed" in caplog.text


def test_a_caller_whose_testbed_is_stopped_meanwhile_is_told() -> None:
    running = Testbed.embedded()
    sandbox = running.sandbox()
    told: list[BaseException] = []

    def wait() -> None:
        try:
            sandbox.mail.wait(subject="never", timeout=60)
        except Exception as error:
            told.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    running.close()
    waiting.join(BOUNDED)
    assert not waiting.is_alive()
    assert isinstance(told[0], ConnectionError)


def test_a_caller_whose_answer_breaks_on_what_is_closed_already_is_told_the_cause(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The stores may be closed before the caller's work is cancelled."""
    asked = threading.Event()

    async def broken_at_the_end(*_: object) -> tuple[int, bytes, str]:
        asked.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return 500, b'{"detail": "the database is closed"}', ""

    running = Testbed.embedded()
    sandbox = running.sandbox()
    told: list[BaseException] = []

    def ask() -> None:
        try:
            sandbox.mail.all()
        except Exception as error:
            told.append(error)

    monkeypatch.setattr("portyard.console.nearby.Nearby.answer", broken_at_the_end)
    asking = threading.Thread(target=ask)
    asking.start()
    assert asked.wait(BOUNDED)
    running.close()
    asking.join(BOUNDED)
    assert isinstance(told[0], ConnectionError)


def test_a_token_is_known_to_the_kit_that_set_it() -> None:
    with Testbed.embedded(token="let-me-in") as running:
        mine = running.sandbox()
        account = mine.account("u1")
        mine.files(account).put("/a.txt", b"by a connection")
        assert mine.files(account).get("/a.txt") == b"by a connection"


def test_a_first_sandbox_imports_nothing_heavy() -> None:
    """Each of these takes longer to import than a sandbox may take from the start."""
    modules = [
        "testing.embedded",
        "rooms",
        "commons.opening",
        *(f"console.{name}" for name in ("sandboxes", "testbed")),
    ]
    program = (
        f"import sys, {', '.join(f'portyard.{each}' for each in modules)}; portyard.rooms.cards(); print(*sys.modules)"
    )
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    heavy = {
        "aiohttp",
        "aiosmtpd",
        "asyncssh",
        "pyftpdlib",
        "socketio",
        "cryptography",
        "OpenSSL",
        "jinja2",
        "dns",
        "lxml",
    }
    assert not heavy & set(loaded)
