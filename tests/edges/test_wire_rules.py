"""Room by fault: each listener misbehaves on the bytes as a rule at `connect` says, seen from a raw socket."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from portyard.testing import Sandbox, Testbed

HTTP = b"GET /get HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
UPGRADE = (
    b"GET /echo HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
QUERY = b"\0\x09\x01\0\0\x01\0\0\0\0\0\0" + b"\x08portyard\x04test\0" + b"\0\x06\0\x01"
# Where to connect, and what makes the server speak when it doesn't speak first.
ROOMS: dict[str, tuple[str, bytes]] = {
    "smtp": ("smtp", b""),
    "pop3": ("pop3", b""),
    "imap": ("imap", b""),
    "ftp": ("ftp", b""),
    "ssh": ("ssh", b""),
    "http": ("http", HTTP),
    "websocket": ("ws", UPGRADE),
    "dns": ("dns-tcp", struct.pack(">H", len(QUERY)) + QUERY),
}
PATIENCE_S = 15.0


@pytest.fixture(scope="module")
def testbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Testbed]:
    with Testbed.embedded(state=str(tmp_path_factory.mktemp("state"))) as running:
        yield running


@pytest.fixture
def default(testbed: Testbed) -> Iterator[Sandbox]:
    """Before any name is known a connection is `default`'s."""
    sandbox = testbed.default()
    testbed.control.delete("sandboxes/default/rules")
    yield sandbox
    testbed.control.delete("sandboxes/default/rules")


def connected(testbed: Testbed, room: str) -> socket.socket:
    name, opening = ROOMS[room]
    number = next(endpoint["host_number"] for endpoint in testbed.endpoints if endpoint["port"] == name)
    connection = socket.create_connection(("127.0.0.1", number), PATIENCE_S)
    connection.sendall(opening)
    return connection


def exactly(connection: socket.socket, size: int) -> bytes:
    got = b""
    while len(got) < size:
        more = connection.recv(size - len(got))
        assert more, f"the end after {len(got)} octets of {size}"
        got += more
    return got


def is_reset(connection: socket.socket, truth: bytes) -> None:
    with pytest.raises(ConnectionResetError):
        connection.recv(4096)


def is_cut_after_five(connection: socket.socket, truth: bytes) -> None:
    assert exactly(connection, 5) == truth[:5]
    assert connection.recv(1) == b""


def is_half_closed(connection: socket.socket, truth: bytes) -> None:
    assert exactly(connection, 3) == truth[:3]
    assert connection.recv(1) == b""
    connection.sendall(b"x")  # the other direction goes on: no RST answers it


def is_late(connection: socket.socket, truth: bytes) -> None:
    begun = time.monotonic()
    assert exactly(connection, 3) == truth[:3]
    assert time.monotonic() - begun >= 0.25


def stalls_after_three(connection: socket.socket, truth: bytes) -> None:
    assert exactly(connection, 3) == truth[:3]
    connection.settimeout(0.2)
    with pytest.raises(TimeoutError):
        connection.recv(1)


def is_sliced(connection: socket.socket, truth: bytes) -> None:
    assert connection.recv(4096) == truth[:2]
    assert exactly(connection, 4) == truth[2:6]


def is_narrow(connection: socket.socket, truth: bytes) -> None:
    begun = time.monotonic()
    assert exactly(connection, 8) == truth[:8]
    assert time.monotonic() - begun >= 0.1


def is_corrupt(connection: socket.socket, truth: bytes) -> None:
    got = exactly(connection, 4)
    assert got[0] == truth[0] ^ 0xFF
    assert got[1:] == truth[1:4]


FAULTS: dict[str, tuple[dict[str, object], Callable[[socket.socket, bytes], None]]] = {
    "reset": ({"reset": {"after_octets": 0}}, is_reset),
    "cut_after": ({"cut_after": {"octets": 5}}, is_cut_after_five),
    "half_close": ({"half_close": {"after_octets": 3}}, is_half_closed),
    "latency": ({"latency": {"delay_s": 0.3, "direction": "down"}}, is_late),
    "stall": ({"stall": {"after_octets": 3, "direction": "down"}}, stalls_after_three),
    "slice": ({"slice": {"octets": 2, "gap_s": 0.05, "direction": "down"}}, is_sliced),
    "bandwidth": ({"bandwidth": {"octets_per_s": 40, "direction": "down"}}, is_narrow),
    "corrupt": ({"corrupt": {"octets": 1, "mask": 255, "direction": "down"}}, is_corrupt),
}


@pytest.mark.parametrize("room", ROOMS)
@pytest.mark.parametrize("fault", FAULTS)
def test_fault(testbed: Testbed, default: Sandbox, room: str, fault: str) -> None:
    with connected(testbed, room) as well:
        truth = exactly(well, 8)
    then, seen = FAULTS[fault]
    rule = testbed.control.post("sandboxes/default/rules", {"on": f"{room}.connect", "times": 1, "then": then})
    rule = rule[0] if isinstance(rule, list) else rule
    with connected(testbed, room) as connection:
        seen(connection, truth)
    assert testbed.control.get(f"sandboxes/default/rules/{rule['id']}")["hits"] == 1
    with connected(testbed, room) as again:  # counted, then spent
        assert exactly(again, 2) == truth[:2]


@pytest.mark.parametrize("room", ROOMS)
def test_hang_up_and_silence(testbed: Testbed, default: Sandbox, room: str) -> None:
    path = "sandboxes/default/rules"
    testbed.control.post(path, {"on": f"{room}.connect", "times": 1, "then": {"hang_up": True}})
    with connected(testbed, room) as connection:
        try:
            assert connection.recv(1) == b""
        except ConnectionResetError:
            assert ROOMS[room][1], "a client that said nothing is closed without a RST"
    testbed.control.post(path, {"on": f"{room}.connect", "times": 1, "then": {"silence": True}})
    with connected(testbed, room) as connection:
        connection.settimeout(0.2)
        with pytest.raises(TimeoutError):
            connection.recv(1)


def test_the_whole_command_line_of_faults_is_free_when_unused(testbed: Testbed, tmp_path: Path) -> None:
    """Without a rule the client's own socket reaches the room: no relay stands between."""
    with connected(testbed, "pop3") as connection:
        exactly(connection, 3)
        sessions = testbed.control.get("sandboxes/default/sessions", room="pop3", limit=1)
        assert sessions[0]["peer"].endswith(str(connection.getsockname()[1]))
