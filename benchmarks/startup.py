"""Start-up: from the process's start until every port accepts, and until each says its first words."""

from __future__ import annotations

import contextlib
import selectors
import socket
import ssl
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from benchmarks.figures import Outcome, Table, median, shown, spread, verdict
from benchmarks.plan import Plan
from benchmarks.processes import HOST, BenchmarkError, Testbed
from portyard.commons.card import TlsMode
from portyard.rooms import cards

LISTENING_S = 0.5
"""Wanted of the embedded engine."""
LIMIT_S = 30.0
POLL_S = 0.002
HTTP_REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
# A query for the SOA of portyard.test over TCP (RFC 1035 §4.2.2).
DNS_QUERY = bytes.fromhex("001f 1234 0100 0001 0000 0000 0000 08706f727479617264 0474657374 00 0006 0001")
FIRST_WORDS = {
    "dns-tcp": DNS_QUERY,
    "http": HTTP_REQUEST,
    "https": HTTP_REQUEST,
    "ws": HTTP_REQUEST,
    "wss": HTTP_REQUEST,
    "console": HTTP_REQUEST,
}
"""What a client says first, at the ports where the server waits for it."""
Tell = Callable[[str], None]


def measure(plan: Plan, folder: Path, tell: Tell) -> Outcome:
    """Start it again and again, in memory and on a state directory that was there before, in turn."""
    warm = str(folder / "warm")
    kinds = {"state in memory": "memory", "warm on disk": warm}
    _start(folder, warm)  # makes the directory, the CA and the byte code
    listening: dict[str, list[float]] = defaultdict(list)
    greeting: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for number in range(plan.starts):
        for kind, state in kinds.items():
            tell(f"start-up: {number + 1} of {plan.starts}, {kind}")
            accepted, greeted = _start(folder, state)
            listening[kind].append(accepted)
            for port, seconds in greeted.items():
                greeting[kind][port].append(seconds)
    return Outcome(
        (_summary(listening, greeting), _ports(greeting)), {"listening_s": listening, "greeting_s": greeting}
    )


def _start(folder: Path, state: str) -> tuple[float, dict[str, float]]:
    """Seconds until every TCP port accepts, and until each port's first words.

    Raises:
        BenchmarkError: It doesn't come up.
    """
    testbed = Testbed(folder, state)
    try:
        ports = [port for card in cards() for service in card.services for port in service.ports]
        numbers = {port.name: testbed.port(port.name) for port in ports if port.transport == "tcp"}
        implicit = {port.name for port in ports if port.tls is TlsMode.IMPLICIT}
        socks = {}
        for name, number in numbers.items():  # in the order of binding: the last is late, the others are there by then
            socks[name] = _connect(testbed, number)
        accepted = time.monotonic() - testbed.started_at
        return accepted, _greetings(testbed, socks, implicit)
    finally:
        testbed.stop()


def _connect(testbed: Testbed, number: int) -> socket.socket:
    while True:
        with contextlib.suppress(OSError):
            return socket.create_connection((HOST, number), LIMIT_S)
        if testbed.process.poll() is not None or time.monotonic() - testbed.started_at > LIMIT_S:
            raise BenchmarkError(f"port {number} never listened: {testbed.last_words()}")
        time.sleep(POLL_S)


def _greetings(testbed: Testbed, socks: dict[str, socket.socket], implicit: set[str]) -> dict[str, float]:
    """Whoever speaks first, or answers, is noted when it does."""
    found: dict[str, float] = {}
    with contextlib.ExitStack() as closing, selectors.DefaultSelector() as selector:
        for name, sock in socks.items():
            client = _Client(closing.enter_context(sock), FIRST_WORDS.get(name, b""), tls=name in implicit)
            selector.register(sock, selectors.EVENT_READ, (name, client))
        deadline = testbed.started_at + LIMIT_S
        while len(found) < len(socks) and time.monotonic() < deadline:
            for key, _ in selector.select(0.5):
                name, client = key.data
                if client.hears():
                    found[name] = time.monotonic() - testbed.started_at
                    selector.unregister(key.fileobj)
    silent = socks.keys() - found.keys()
    if silent:
        raise BenchmarkError(f"{', '.join(sorted(silent))}: no first words in {LIMIT_S:.0f} s: {testbed.last_words()}")
    return found


class _Client:
    """A client of one port that waits for its first words, through TLS where the port wants it."""

    def __init__(self, sock: socket.socket, words: bytes, *, tls: bool) -> None:
        self._sock = sock
        self._words = words
        self._tls: ssl.SSLObject | None = None
        sock.setblocking(False)
        if not tls:
            sock.send(words)
            return
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_hostname="localhost")
        self._shakes = True
        self._advance()

    def hears(self) -> bool:
        """Whether the first words are here.

        Raises:
            BenchmarkError: The server closed instead.
        """
        data = self._sock.recv(65536)
        if not data:
            raise BenchmarkError("a port closed before its first words")
        if self._tls is None:
            return True
        self._in.write(data)
        return self._advance()

    def _advance(self) -> bool:
        assert self._tls is not None
        heard = False
        try:
            if self._shakes:
                self._tls.do_handshake()
                self._shakes = False
                if self._words:
                    self._tls.write(self._words)
            heard = bool(self._tls.read(1))
        except ssl.SSLWantReadError:
            pass
        self._sock.send(self._out.read())
        return heard


def _summary(listening: dict[str, list[float]], greeting: dict[str, dict[str, list[float]]]) -> Table:
    rows = []
    for kind, values in listening.items():
        last = [max(times) for times in zip(*greeting[kind].values(), strict=True)]
        middle = median(values)
        rows.append(
            (
                kind,
                f"{shown(middle / LISTENING_S, 2)} ×",
                verdict(middle, LISTENING_S),
                shown(middle * 1000),
                spread([value * 1000 for value in values]),
                shown(median(last) * 1000),
            )
        )
    columns = (
        "portyard serve all",
        "of the wanted 500 ms",
        "kept",
        "all ports accept, ms",
        "lowest … highest",
        "the last first word, ms",
    )
    note = "From the start of the process. Ports listen first; rooms open behind, and early connections wait in the kernel."
    return Table("Start-up, embedded", columns, tuple(rows), note)


def _ports(greeting: dict[str, dict[str, list[float]]]) -> Table:
    kinds = list(greeting)
    names = list(greeting[kinds[0]])
    rows = [(name, *(shown(median(greeting[kind][name]) * 1000) for kind in kinds)) for name in names]
    return Table("First words of each port, ms from the start", ("port", *kinds), tuple(rows))
