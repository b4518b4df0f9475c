"""A small testbed for the DNS room's core, in memory, and what its tests ask of it."""

from __future__ import annotations

import socket

from portyard.commons.records.model import WrittenRecord
from portyard.commons.sandbox.model import DEFAULT, Sandbox
from portyard.commons.scenario.engine import Gate, SessionGate
from portyard.commons.scenario.model import Rule
from portyard.dns.core.grammar import parse, print_message
from portyard.dns.core.model import Message
from portyard.dns.core.presentation import query_of, reply_lines
from portyard.dns.core.resolver import Resolver
from portyard.dns.core.verbs import VOCABULARY
from portyard.dns.core.zones import Place, View
from tests.support.rules import MemoryRules

INSIDE_ADDRESS = {
    "dns": "172.20.0.2",
    "msa": "172.20.0.3",
    "mta": "172.20.0.4",
    "imap": "172.20.0.5",
    "pop3": "172.20.0.6",
}
PORTS = {
    "dns": {"dns-udp": 53, "dns-tcp": 53},
    "msa": {"submission": 587, "submissions": 465},
    "mta": {"smtp": 25},
    "imap": {"imap": 143, "imaps": 993},
    "pop3": {"pop3": 110, "pop3s": 995},
}


class MemorySandboxes:
    """Sandboxes that stand still: `default` owns portyard.test, `t1` owns t1.test and shop.example."""

    def __init__(self, capture: str = "any") -> None:
        self.all = [
            Sandbox(DEFAULT, 1, capture, ("portyard.test",)),
            Sandbox("t1", 1, "any", ("t1.test", "shop.example")),
            Sandbox("deep", 1, "any", ("deep.portyard.test",)),
        ]

    async def get(self, name: str) -> Sandbox | None:
        return next((sandbox for sandbox in self.all if sandbox.name == name), None)

    async def owner(self, domain: str) -> Sandbox | None:
        return next((sandbox for sandbox in self.all if domain in sandbox.domains), None)

    async def list(self) -> list[Sandbox]:
        return sorted(self.all, key=lambda sandbox: sandbox.name)


class MemoryRecords:
    """Written records in a dict."""

    def __init__(self) -> None:
        self.written: dict[str, tuple[WrittenRecord, ...]] = {}
        self.number = 7

    async def of(self, sandbox: str) -> tuple[WrittenRecord, ...]:
        return self.written.get(sandbox, ())

    def serial(self) -> int:
        return self.number

    async def replace(self, sandbox: str, name: str, kind: str, ttl: int, values: list[str]) -> None:
        owner = name.lower().removesuffix(".")
        kept = [record for record in self.written.get(sandbox, ()) if (record.name, record.type) != (owner, kind)]
        self.written[sandbox] = (*kept, *(WrittenRecord(owner, kind, ttl, value) for value in values))
        self.number += 1


class DnsBed:
    """A resolver over a testbed in memory.

    Args:
        capture: `default`'s.
        down: Services that aren't up.
    """

    def __init__(self, capture: str = "any", down: tuple[str, ...] = ()) -> None:
        self.sandboxes = MemorySandboxes(capture)
        self.records = MemoryRecords()
        self.down = down
        self.resolver = Resolver(self.sandboxes, self.records, self.places)
        self.rules = MemoryRules()
        self._gate = Gate(self.rules)
        self._gate.learn(VOCABULARY)

    def session_gate(self) -> SessionGate:
        return self._gate.session("dns", session="core", peer="192.0.2.1")

    async def rule(self, rule: Rule, sandbox: str = "default") -> None:
        self.rules.add(rule, sandbox=sandbox)

    def places(self, view: View) -> tuple[Place, ...]:
        inside = view is View.INSIDE
        return tuple(
            Place(
                service,
                (socket.inet_aton(address if inside else "127.0.0.1"),),
                tuple((port, number if inside else 3000 + number) for port, number in PORTS[service].items()),
            )
            for service, address in INSIDE_ADDRESS.items()
            if service not in self.down
        )

    async def write(self, sandbox: str, name: str, kind: str, *values: str, ttl: int = 60) -> None:
        await self.records.replace(sandbox, name, kind, ttl, list(values))

    async def ask(self, line: str, view: View = View.HOST, *, stream: bool = False) -> Message:
        """The reply to a query written as a transcript's line, as if it had come over the wire."""
        outcome = await self.resolver.handle(print_message(query_of(line, 4711)), view, stream=stream)
        assert outcome.octets is not None
        return parse(outcome.octets)

    async def lines(self, line: str, view: View = View.HOST, *, stream: bool = False) -> list[str]:
        return reply_lines(await self.ask(line, view, stream=stream))
