"""What goes over the wire at the end of a connection, as tshark's packet capture shows it."""

from __future__ import annotations

import queue
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from portyard.testing import Testbed
from tests.support.matrix.place import Client, Place

LIMIT_S = 30.0
FIELDS = ("tcp.srcport", "tcp.flags.reset", "tcp.flags.fin", "tcp.len")
pytestmark = [
    pytest.mark.client,
    pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed (package tshark)"),
]


class Capture:
    """Packets as they come, each (from the server, RST, FIN, octets)."""

    def __init__(self, port: int, lines: queue.Queue[str]) -> None:
        self.port = port
        self._lines = lines
        self.packets: list[tuple[bool, bool, bool, int]] = []

    def until(self, *, server: bool, reset: bool = False, fin: bool = False) -> None:
        """Read on to a packet of the server's (or the client's) with these flags."""
        while True:
            port, *flags, size = self._lines.get(timeout=LIMIT_S).split("\t")
            packet = (int(port) == self.port, *(flag in ("1", "True") for flag in flags), int(size))
            self.packets.append(packet)
            if packet[:3] == (server, reset, fin):
                return


@contextmanager
def capturing(port: int) -> Iterator[Capture]:
    """tshark on loopback, at one port; skips where this user may not capture."""
    words = ["tshark", "-i", "lo", "-l", "-n", "-f", f"tcp port {port}", "-T", "fields"]
    for field in FIELDS:
        words += ["-e", field]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stderr is not None
    told: list[str] = []
    lines: queue.Queue[str] = queue.Queue()
    readers = []
    try:
        for line in process.stderr:
            told.append(line)
            if "Capture started" in line:
                break
        else:
            pytest.skip(f"tshark can't capture on lo here: {''.join(told).strip()}")
        out, err = process.stdout, process.stderr
        readers = [threading.Thread(target=lambda: [lines.put(line.rstrip("\n")) for line in out])]
        readers += [threading.Thread(target=err.read)]
        for reader in readers:
            reader.start()
        yield Capture(port, lines)
    finally:
        process.terminate()
        process.wait(LIMIT_S)
        for reader in readers:
            reader.join(LIMIT_S)
        process.stdout.close()
        process.stderr.close()


@pytest.fixture(scope="module")
def testbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Testbed]:
    with Testbed.embedded(state=str(tmp_path_factory.mktemp("state"))) as running:
        yield running


@pytest.fixture
def place(testbed: Testbed) -> Iterator[Place]:
    ports = {str(endpoint["port"]): ("127.0.0.1", endpoint["host_number"]) for endpoint in testbed.endpoints}
    found = Place((testbed.control.host, testbed.control.port), ports)
    yield found
    found.close()


@pytest.mark.parametrize("verb", ["connect", "greeting", "noop"])
def test_a_reset_is_a_rst(place: Place, verb: str) -> None:
    with capturing(place.ports["smtp"][1]) as capture:
        place.rule(f"smtp.{verb}", {"reset": True})
        with Client(place.connect("smtp")) as client:
            if verb == "noop":
                client.line(b"220 ")
                client.say(b"NOOP\r\n")
            client.is_reset()
        capture.until(server=True, reset=True)
    assert not any(fin for server, _, fin, _ in capture.packets if server), "no FIN came before it"


@pytest.mark.parametrize("then", [{"hang_up": True}, {"cut_after": {"octets": 5}}])
def test_a_hang_up_is_a_fin_and_no_rst(place: Place, then: dict[str, object]) -> None:
    with capturing(place.ports["smtp"][1]) as capture:
        place.rule("smtp.connect", then)
        with Client(place.connect("smtp")) as client:
            client.rest()
        capture.until(server=True, fin=True)
        capture.until(server=False, fin=True)
    assert not any(reset for _, reset, _, _ in capture.packets)


def test_a_half_close_is_a_fin_and_the_other_direction_goes_on(place: Place) -> None:
    with capturing(place.ports["smtp"][1]) as capture:
        place.rule("smtp.connect", {"half_close": {"after_octets": 3}})
        with Client(place.connect("smtp")) as client:
            assert client.rest() == b"220"
            capture.until(server=True, fin=True)
            client.say(b"NOOP\r\n")
            capture.until(server=False)
            while capture.packets[-1][3] != len("NOOP\r\n"):
                capture.until(server=False)
            capture.until(server=True)  # it is acknowledged
    assert not any(reset for _, reset, _, _ in capture.packets)
    assert sum(octets for server, *_, octets in capture.packets if server) == 3
