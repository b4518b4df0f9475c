"""Talks of the DNS room: `C:` is a query as a line, `S:` the outcome and then each record, `C~:` a message's octets.

Headers: `view: host|inside`, `capture: any|own`, `down: <services>`, `transport: udp|tcp|both`, and
`records: <name> <ttl> <type> <value> ; …` for `default` ({long} and {longer} are 600 and 2,000 octets). What the lines look like is
told in portyard/dns/core/presentation.py.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

from portyard.commons.effects import Close, Effect, Hush, Joins, Note, Pause, Send
from portyard.commons.events import Gone
from portyard.commons.scenario.engine import SessionGate
from portyard.commons.scenario.model import Rule
from portyard.commons.scenario.parsing import parse_rule
from portyard.commons.talk.match import Bindings, Expectation, turns
from portyard.commons.talk.model import SILENCE, Step, Talk
from portyard.commons.talk.parse import parse_talk, raw_octets
from portyard.dns.core.framing import LengthFraming, framed
from portyard.dns.core.grammar import parse, print_message
from portyard.dns.core.presentation import query_of, reply_lines
from portyard.dns.core.resolver import opened
from portyard.dns.core.session import Answering, StreamSession
from portyard.dns.core.zones import View
from tests.support.dns import DnsBed

TALKS = sorted((Path(__file__).parent.parent / "talks" / "dns").glob("*.talk"))

Exchange = Callable[[bytes], Awaitable[bytes | None]]


def read(path: Path) -> Talk:
    return parse_talk(path.read_text(), path.name)


async def bed_of(talk: Talk) -> DnsBed:
    bed = DnsBed(talk.headers.get("capture", "any"), tuple(talk.headers.get("down", "").split()))
    for text in filter(None, (part.strip() for part in talk.headers.get("records", "").split(" ; "))):
        name, ttl, kind, value = text.replace("{long}", "x" * 600).replace("{longer}", "x" * 2000).split(None, 3)
        kept = [r.value for r in bed.records.written.get("default", ()) if (r.name, r.type) == (name, kind)]
        await bed.write("default", name, kind, *kept, value, ttl=int(ttl))
    return bed


def silences(talk: Talk) -> Iterator[bool]:
    """Of each query of a talk, whether nothing is to come back."""
    for turn in turns(talk.lines):
        if turn.client is not None and turn.client.step is not Step.RULE:
            yield Expectation(turn, Bindings()).wants == SILENCE


async def run_talk(talk: Talk, exchange: Exchange, rule: Callable[[Rule], Awaitable[object]] | None = None) -> None:
    """Send each query through `exchange` and compare what comes back; None from it is silence."""
    bindings = Bindings()
    for number, turn in enumerate(turns(talk.lines), 1):
        assert turn.client is not None, "DNS greets nobody"
        if turn.client.step is Step.RULE:
            assert rule is not None, "no rule can be set here"
            await rule(parse_rule(json.loads(turn.client.text)))
            continue
        raw = turn.client.step is Step.CLIENT_RAW
        octets = (
            raw_octets(turn.client.text) if raw else print_message(query_of(bindings.fill(turn.client.text), number))
        )
        reply = await exchange(octets)
        expectation = Expectation(turn, bindings)
        if expectation.wants == SILENCE:
            assert reply is None, f"line {turn.client.number}: wanted silence"
            continue
        assert reply is not None, f"line {turn.client.number}: no answer"
        message = parse(reply)
        assert message.id == int.from_bytes(octets[:2], "big")
        for line in reply_lines(message):
            complaint = expectation.take(line)
            assert complaint is None, complaint
        assert expectation.complete, f"line {turn.client.number}: still wanted: {expectation.next}"


def datagrams(bed: DnsBed, view: View) -> Exchange:
    """UDP at core height."""

    async def exchange(octets: bytes) -> bytes | None:
        gate = bed.session_gate()
        effects = await obeyed(Answering(bed.resolver, view, stream=False, gate=gate).answer(opened(octets)), gate)
        return effects[0].data if isinstance(effects[0], Send) else None

    return exchange


async def obeyed(effects: AsyncIterator[Effect], gate: SessionGate) -> list[Effect]:
    """What reaches the peer; nobody waits."""
    found: list[Effect] = []
    async for effect in effects:
        if isinstance(effect, Joins):
            gate.sandbox = effect.sandbox
        elif not isinstance(effect, Note | Pause):
            found.append(effect)
    return found


class CoreStream:
    """TCP at core height: each query framed and cut, the session's effects put together again.

    Args:
        cut: Octets of each piece that framing is fed; 0 feeds everything at once, with the next query's first octet as a tail.
    """

    def __init__(self, bed: DnsBed, view: View, cut: int) -> None:
        self._gate = bed.session_gate()
        self._session = StreamSession(bed.resolver, view, self._gate)
        self._framing = LengthFraming()
        self._cut = cut
        self._tail = b""

    async def exchange(self, octets: bytes) -> bytes | None:
        data = framed(octets)[len(self._tail) :]
        if self._cut:
            for place in range(0, len(data), self._cut):
                assert self._framing.next_event() is None
                self._framing.feed(data[place : place + self._cut])
        else:
            self._tail = b"\0"  # the next length begins so: each of these talks' messages is shorter than 256 octets
            self._framing.feed(data + self._tail)
        event = self._framing.next_event()
        assert event is not None
        effects = await obeyed(self._session.receive(event), self._gate)
        if effects == [Close()] or effects == [Hush()]:
            return None
        (sent,) = effects
        assert isinstance(sent, Send)
        assert len(sent.data) == 2 + int.from_bytes(sent.data[:2], "big")
        return sent.data[2:]

    async def leave(self) -> None:
        assert [effect async for effect in self._session.receive(Gone())] == []
