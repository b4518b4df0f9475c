"""What the journal tells of whole errands: every kind of event, and all of a handshake."""

from __future__ import annotations

import asyncio
import base64
import http.client
import imaplib
import socket
import ssl
import time
from pathlib import Path

from portyard.commons.journal.model import JournalEvent
from portyard.commons.scenario.parsing import make_rule
from portyard.http.card import CARD as HTTP
from portyard.imap.card import CARD as IMAP
from tests.support.asyncio_tests import run
from tests.support.yard import Served, open_yard, serve

HOST = "127.0.0.1"
NAME = "tls1.3-only.portyard.test"


async def told(served: Served, room: str) -> list[list[JournalEvent]]:
    """The events of each of a room's sessions, oldest first, once they are over."""
    journal = served.yard.journal
    while True:
        await journal.flush()
        sessions = await journal.sessions("default", room=room)
        if all(each.closed_at is not None for each in sessions):
            return [await journal.events(each.id) for each in reversed(sessions)]


def shake(served: Served) -> None:
    context = served.client_context()
    context.check_hostname = False
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["imap", "other"])
    with (
        socket.create_connection((HOST, served.port("imaps")), 20) as plain,
        context.wrap_socket(plain, server_hostname=NAME) as secure,
    ):
        assert secure.recv(100).startswith(b"* OK")


def test_a_handshake_with_its_offer_its_outcome_and_its_times(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_yard(tmp_path) as yard, serve(yard, IMAP) as served:
            began = time.monotonic()
            await asyncio.to_thread(shake, served)
            took = time.monotonic() - began
            ((*events,),) = await told(served, "imap")
            hello, established, *_ = (event.fields for event in events if event.kind == "tls")
            assert hello["step"] == "hello"
            assert hello["versions"] == ["TLSv1.3", "TLSv1.2"]
            assert hello["server_name"] == NAME
            assert hello["alpn"] == ["imap", "other"]
            assert 0x1301 in hello["cipher_suites"]  # type: ignore[operator]
            assert hello["groups"]
            assert hello["signature_algorithms"]
            assert (established["step"], established["version"]) == ("established", "TLSv1.3")
            assert str(established["cipher"]).startswith("TLS_")
            assert established["server_name"] == NAME
            assert 0 <= hello["seconds"] <= established["seconds"] <= took  # type: ignore[operator]

    run(main())


def fetch(served: Served) -> None:
    client = imaplib.IMAP4(HOST, served.port("imap"))
    client.login("alice", "alice-secret")
    client.noop()
    client.logout()


def web(port: int) -> None:
    client = http.client.HTTPConnection(HOST, port, timeout=20)
    login = {"Authorization": f"Basic {base64.b64encode(b'alice:alice-secret').decode()}"}
    client.request("PUT", "/files/alice/a.txt", b"hello", login)
    assert client.getresponse().read() is not None
    client.close()
    with socket.create_connection((HOST, port), 20) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\n broken\r\n\r\n")
        assert sock.recv(100).split()[1] == b"400"


def test_every_kind_of_event(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_yard(tmp_path) as yard, serve(yard, IMAP, HTTP) as served:
            await asyncio.to_thread(fetch, served)
            await yard.rules.add("default", make_rule("imap.noop", {"refuse": "NO later"}))
            await asyncio.to_thread(fetch, served)
            await asyncio.to_thread(web, served.port("http"))
            found = [*await told(served, "imap"), *await told(served, "http")]
            kinds = {event.kind for events in found for event in events}
            assert kinds >= {
                "opened",
                "greeting",
                "auth",
                "command",
                "reply",
                "data",
                "transfer",
                "fault",
                "error",
                "closed",
            }
            for events in found:
                assert (events[0].kind, events[-1].kind) == ("opened", "closed")
                assert [event.seq for event in events] == list(range(1, len(events) + 1))
                assert events[0].fields.keys() >= {"service", "port", "peer", "local"}

    run(main())
