"""A testbed as clients have it: where its ports are, and its rules over the API."""

from __future__ import annotations

import http.client
import json
import re
import select
import socket
import ssl
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

PATIENCE_S = 60.0
ASKING_S = 60.0
"""For an answer of the API, which is no part of what a cell sees."""
DELAY_S = 0.1
"""What rules delay by."""
LEAST_S = 0.9 * DELAY_S
"""What a delay takes at least; clocks are a little coarse."""
QUIET_S = 0.15
"""Nothing comes for so long where nothing is to come."""
CLOSED = 7
"""TCP_CLOSE of the kernel's tcp_states.h; whoever only ends its direction leaves TCP_CLOSE_WAIT."""
PASSWORD = "matrix-secret"
DOMAIN = "portyard.test"


def dial(host: str, number: int) -> socket.socket:
    """A connection; one that was reset at once is one too, so that what came of it can still be read."""
    ((family, kind, protocol, _, address), *_) = socket.getaddrinfo(host, number, socket.AF_INET, socket.SOCK_STREAM)
    sock = socket.socket(family, kind, protocol)
    sock.setblocking(False)
    sock.connect_ex(address)
    waiting = select.poll()
    waiting.register(sock, select.POLLOUT)
    assert waiting.poll(PATIENCE_S * 1000), f"{address} doesn't answer"
    sock.settimeout(PATIENCE_S)
    return sock


class Place:
    """Where a testbed is.

    Args:
        console: Host and number of the control API.
        ports: Host and number of every port, by its name as the cards have it.
        sandbox: Whose rules are set, and whom sessions name that come to the ports.

    Attributes:
        domain: The sandbox's own.
        set: The rule that was set last; each room that is looked at at the same time takes a place of its own.
    """

    def __init__(
        self, console: tuple[str, int], ports: Mapping[str, tuple[str, int]], sandbox: str = "default"
    ) -> None:
        self.console = console
        self.sandbox = sandbox
        self.domain = DOMAIN if sandbox == "default" else f"{sandbox}.test"
        self.set = ""
        self._kept = threading.local()
        self.ports = {name: (host, int(number)) for name, (host, number) in ports.items()}
        self._ca = ""

    def connect(self, port: str) -> socket.socket:
        """A connection to one of the testbed's ports; see `dial`."""
        return dial(*self.ports[port])

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """The API's answer: JSON, text where it isn't, None where it is empty. One kept connection a thread."""
        kept = getattr(self._kept, "connection", None)
        if kept is None:
            kept = self._kept.connection = http.client.HTTPConnection(*self.console, timeout=ASKING_S)
        data = None if body is None else json.dumps(body)
        try:
            kept.request(method, f"/api/v1/{path}", data, {"Content-Type": "application/json"})
            answer = kept.getresponse()
            octets = answer.read()
        except OSError:
            self.close()  # half a conversation is none to ask again on
            raise
        assert answer.status < 400, octets
        if not octets:
            return None
        return json.loads(octets) if octets[:1] in b"[{" else octets.decode()

    def _of(self, path: str) -> str:
        return f"sandboxes/{self.sandbox}/{path}"

    def named(self, said: bytes) -> bytes:
        """What a client of HTTP says, as one says it that names the sandbox: by the host."""
        return said if self.sandbox == "default" else said.replace(b"Host: localhost", b"Host: " + self.domain.encode())

    def close(self) -> None:
        """Close this thread's connection to the API."""
        kept = self._kept.__dict__.pop("connection", None)
        if kept is not None:
            kept.close()

    def rule(self, on: str, then: Mapping[str, object], **more: object) -> str:
        """Set a rule that acts once; its id."""
        made = self.ask("POST", self._of("rules"), {"on": on, "times": 1, "then": then, **more})
        self.set = str(made["id"])
        return self.set

    def hits(self) -> int:
        """How often the rule that was set last has acted."""
        return int(self.ask("GET", self._of(f"rules/{self.set}"))["hits"])

    def acted(self) -> int:
        """How often the rule that was set last has acted, once it has: what is silent for want of time isn't silenced."""
        until = time.monotonic() + PATIENCE_S
        while not (hits := self.hits()):
            assert time.monotonic() < until, "the rule never acted"
        return hits

    def forget(self) -> None:
        """Remove the rule that was set last."""
        self.ask("DELETE", self._of(f"rules/{self.set}"))

    def account(self, name: str) -> str:
        """A new account; its address."""
        made = self.ask("POST", self._of("accounts"), {"name": name, "password": PASSWORD})
        return str(made["address"])

    def ensure_account(self, name: str) -> str:
        """An account that may be there already; its address."""
        address = f"{name}@{self.domain}"
        there = self.ask("GET", self._of("accounts"))
        return address if any(each["address"] == address for each in there) else self.account(name)

    def own_address(self) -> str:
        """The address that services see us at, if nothing stands between."""
        with self.connect("pop3") as sock:
            return str(sock.getsockname()[0])

    def trusting(self) -> ssl.SSLContext:
        """A client's context that trusts the testbed's CA alone."""
        self._ca = self._ca or self.ask("GET", "ca.pem")
        return ssl.create_default_context(cadata=self._ca)


@dataclass(frozen=True)
class Cell:
    """What a rule asks for and how a client sees that it was done.

    Attributes:
        room: The room.
        verb: The verb of its vocabulary.
        action: The action, or "bytes" for a fault of bytes.
        then: What the rule asks for.
        see: Raises AssertionError where a client sees something else.
        where: What else the rule says.
    """

    room: str
    verb: str
    action: str
    then: Mapping[str, object]
    see: Callable[[Place], None]
    where: Mapping[str, object] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.room}.{self.verb} {self.action}"

    def look(self, place: Place) -> str:
        """What was wrong, or nothing. The rule must have acted once."""
        place.rule(f"{self.room}.{self.verb}", self.then, name=self.name, where=self.where)
        try:
            self.see(place)
            hits = place.acted()
            return "" if hits == 1 else f"the rule acted {hits} times"
        except Exception as error:  # whatever it is, the next cell is to be looked at
            last = traceback.extract_tb(error.__traceback__)[-1]
            return f"{type(error).__name__}: {error} ({last.name}, line {last.lineno})"
        finally:
            place.forget()


def look_at(place: Place, cells: Iterable[Cell]) -> dict[str, str]:
    """What was wrong, by the cell's name; empty where all was right."""
    try:
        return {cell.name: cell.look(place) for cell in cells}
    finally:
        place.close()


class Client:
    """A socket, and what has come of it.

    Attributes:
        sock: The socket.
        heard: What has come, and nobody has asked for yet.
        begun: When it was made, or what was said last was about to be.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.begun = time.monotonic()
        self.heard = b""
        self.greeting = b""
        self.data: Client
        self._was_reset = False

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()
        if hasattr(self, "data"):
            self.data.sock.close()

    def say(self, octets: bytes) -> None:
        self.begun = time.monotonic()
        try:
            self.sock.sendall(octets)
        except ConnectionResetError:
            self._was_reset = True  # told once: reading finds a mere end after it

    def until(self, pattern: bytes) -> bytes:
        """All that comes up to the end of what the pattern matches."""
        while not (found := re.search(pattern, self.heard, re.DOTALL)):
            try:
                more = self.sock.recv(65536)
            except TimeoutError:
                raise AssertionError(f"nothing after {self.heard[-200:]!r}, wanted {pattern!r}") from None
            assert more, f"the end after {self.heard[-200:]!r}, wanted {pattern!r}"
            self.heard += more
        got, self.heard = self.heard[: found.end()], self.heard[found.end() :]
        return got

    def line(self, beginning: bytes) -> bytes:
        """Lines up to the one that begins so."""
        return self.until(rb"(?:^|(?<=\n))" + re.escape(beginning) + rb"[^\n]*\n")

    def rest(self, *, politely: bool = True) -> bytes:
        """All that comes up to the end of the connection; a RST is none, but where something was said that nobody read."""
        try:
            while more := self.sock.recv(65536):
                self.heard += more
        except ConnectionResetError:
            assert not politely, f"a RST after {self.heard[-200:]!r}"
        got, self.heard = self.heard, b""
        return got

    def ended(self) -> bytes:
        """All that comes when the client has nothing more to say."""
        self.sock.shutdown(socket.SHUT_WR)
        return self.rest()

    def is_quiet(self) -> None:
        """Nothing more comes, and the connection stays open."""
        heard = self.until_quiet()
        assert heard == b"", f"heard {heard!r}"

    def until_quiet(self) -> bytes:
        """All that comes before nothing more does, on a connection that stays open."""
        self.sock.settimeout(QUIET_S)
        try:
            while more := self.sock.recv(65536):
                self.heard += more
        except TimeoutError:
            got, self.heard = self.heard, b""
            return got
        finally:
            self.sock.settimeout(PATIENCE_S)
        raise AssertionError(f"the end after {self.heard[-200:]!r}")

    def is_reset(self) -> None:
        """A RST comes."""
        try:
            while more := self.sock.recv(65536):
                self.heard += more
        except ConnectionResetError:
            return
        below_tls = isinstance(self.sock, ssl.SSLSocket)  # it tells of an end; the kernel has given up what was reset
        if self._was_reset or (below_tls and self.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == CLOSED):
            return
        raise AssertionError(f"no RST but an orderly end after {self.heard[-200:]!r}")


class Delayed:
    """Its block takes as long as rules delay."""

    def __enter__(self) -> None:
        self._begun = time.monotonic()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        took = time.monotonic() - self._begun
        assert kind is not None or took >= LEAST_S, f"after {took:.3f} s"
