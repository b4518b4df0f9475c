"""The answer to a query (RFC 1034 §4.3.2).

Awaits the stores; knows no socket. Never asks anyone else: a name server without recursion (RA is never set).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

from portyard.commons.records.model import Records, WrittenRecord
from portyard.commons.sandbox.model import DEFAULT, Sandbox, Sandboxes
from portyard.dns.core.framing import MESSAGE_LIMIT
from portyard.dns.core.grammar import MalformedError, counts, parse, parse_header, print_message
from portyard.dns.core.model import (
    ROOT,
    Class,
    Edns,
    Message,
    Mx,
    Name,
    Opcode,
    Question,
    Rcode,
    Record,
    Soa,
    Srv,
    Target,
    Type,
    key,
)
from portyard.dns.core.presentation import (
    NotPresentableError,
    data_of,
    name_of,
    type_of,
)
from portyard.dns.core.transcripts import asked_text, reply_text
from portyard.dns.core.zones import Node, Place, UserRecord, View, Zone, foreign_zone, own_zone, reverse_records

PAYLOAD = 1232  # octets of a UDP answer at most: fits every path's MTU unfragmented (RFC 6891 §6.2.5 asks for care, RFC 9715 for this)
PLAIN_PAYLOAD = 512  # RFC 1035 §2.3.4, and the least that EDNS may say (RFC 6891 §6.2.3)
RECORDS_LIMIT = 16  # records in a query; one has an OPT and perhaps a signature, more are only work
CHAIN_LIMIT = 8  # CNAMEs followed for one answer
_ZONES_KEPT = 1024

_META = range(128, 256)  # RFC 6895 §3.1: QTYPEs and meta-types
_TRANSFERS = (Type.AXFR, Type.IXFR)
_ADDRESSES = (Type.A, Type.AAAA)


class Places(Protocol):
    """Where the services are."""

    def __call__(self, view: View) -> tuple[Place, ...]:
        """As a view sees them; equal while nothing moved."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one query.

    Attributes:
        octets: The reply; None where silence is the answer.
        reply: What they say.
        sandbox: Whose names were asked for.
        asked: What came as a transcript shows it, where it was no query.
    """

    octets: bytes | None
    reply: Message | None = None
    sandbox: str = DEFAULT
    asked: str = ""

    @property
    def told(self) -> str:
        """The reply as a transcript shows it."""
        return "" if self.octets is None or self.reply is None else reply_text(self.octets, self.reply)


class Domain(NamedTuple):
    """A domain that is owned, and by whom; the root and None where nobody owns one.

    Attributes:
        origin: Its name, folded.
        owner: Whose it is.
    """

    origin: Name
    owner: Sandbox | None

    @property
    def sandbox(self) -> str:
        """The sandbox whose names are in it."""
        return DEFAULT if self.owner is None else self.owner.name


class Resolver:
    """Answers from the testbed's zones.

    Args:
        sandboxes: Who owns which domain.
        records: What users wrote.
        places: Where the services are.
    """

    def __init__(self, sandboxes: Sandboxes, records: Records, places: Places) -> None:
        self._sandboxes = sandboxes
        self._records = records
        self._places = places
        self._zones: dict[tuple[Name, View], tuple[object, Zone]] = {}

    async def handle(self, octets: bytes, view: View, *, stream: bool = False) -> Outcome:
        """The reply's octets to a query's, with what the journal shows of both; `stream` over TCP."""
        query = opened(octets)
        return query if isinstance(query, Outcome) else await self.reply(query, view, stream=stream)

    async def reply(self, query: Message, view: View, *, stream: bool = False, domain: Domain | None = None) -> Outcome:
        """The reply to a query, fitted to what its asker takes; see `answer`."""
        reply, sandbox = await self.answer(query, view, stream=stream, domain=domain)
        return outcome_of(query, reply, sandbox, stream=stream)

    async def domain_of(self, name: Name) -> Domain:
        """The deepest domain that is owned and has the name."""
        return await self._owner(key(name))

    async def answer(
        self, query: Message, view: View, *, stream: bool = False, domain: Domain | None = None
    ) -> tuple[Message, str]:
        """The whole reply to a query, and the sandbox whose names were asked for.

        Args:
            query: What is asked.
            view: From where.
            stream: Over TCP.
            domain: That of the name that is asked for, by whom it is known already.
        """
        reply = reply_to(query)
        refusal = _refusal(query)
        if refusal is not None:
            return replace(reply, rcode=refusal), DEFAULT
        question = query.questions[0]
        zone, sandbox = await self._zone(question.name, view, domain)
        if zone is None:
            return replace(reply, rcode=Rcode.REFUSED), sandbox
        if key(question.name) in zone.pending and question.type in (*_ADDRESSES, Type.ANY):
            return replace(reply, rcode=Rcode.SERVFAIL), sandbox  # a sender keeps its mail and asks again
        return await self._search(reply, zone, question, view, stream=stream), sandbox

    async def _search(self, reply: Message, zone: Zone, question: Question, view: View, *, stream: bool) -> Message:
        """RFC 1034 §4.3.2, steps 3 and 4."""
        authoritative = question.klass == Class.IN  # RFC 1035 §3.2.5: a class of "any" is never authoritative
        reply = replace(reply, authoritative=authoritative)
        answers: list[Record] = []
        name, current = question.name, zone
        for _ in range(CHAIN_LIMIT):
            node = current.node(name)
            if node is None:  # RFC 6604 §3: also for the end of a chain
                return replace(reply, rcode=Rcode.NXDOMAIN, answers=tuple(answers), authority=(_negative(current),))
            alias = node.get(Type.CNAME, ())
            if not alias or question.type in (Type.CNAME, Type.ANY):
                return await self._found(reply, answers, _selected(node, question.type, stream), current, view)
            if alias[0] in answers:
                break  # it leads in circles
            answers += alias
            assert isinstance(alias[0].data, Target)
            name = alias[0].data.name
            further, _ = await self._zone(name, view)
            if further is None:
                break  # the rest is somebody else's to tell
            current = further
        return replace(reply, answers=tuple(answers))

    async def _found(
        self, reply: Message, chain: list[Record], records: Sequence[Record], zone: Zone, view: View
    ) -> Message:
        if not records:
            return replace(reply, answers=tuple(chain), authority=(_negative(zone),))  # RFC 2308 §2.2
        extra: list[Record] = []
        for name in dict.fromkeys(key(target) for target in _targets(records)):
            further, _ = await self._zone(name, view)
            node = further.node(name) if further else None
            extra += [record for kind in _ADDRESSES for record in (node or {}).get(kind, ())]
        return replace(reply, answers=(*chain, *records), additional=tuple(extra))

    async def _zone(self, name: Name, view: View, domain: Domain | None = None) -> tuple[Zone | None, str]:
        """The zone that has the name, of the deepest domain that is owned, with the owner; else what capture says."""
        folded = key(name)
        origin, owner = domain or await self._owner(folded)
        if owner is not None:
            return await self._own_zone(origin, owner, view), owner.name
        return await self._foreign_zone(folded, view), DEFAULT

    async def _owner(self, folded: Name) -> Domain:
        for start in range(len(folded)):
            if b"." in folded[start]:
                continue  # a dot within a label is no boundary
            domain = b".".join(folded[start:]).decode("utf-8", "backslashreplace")
            owner = await self._sandboxes.owner(domain)
            if owner is not None:
                return Domain(folded[start:], owner)
        return Domain(ROOT, None)

    async def _own_zone(self, origin: Name, owner: Sandbox, view: View) -> Zone:
        places, written = self._places(view), await self._records.of(owner.name)
        return self._kept(
            (origin, view),
            (places, written),
            lambda: own_zone(origin, places, _parsed(written), self._records.serial()),
        )

    async def _foreign_zone(self, name: Name, view: View) -> Zone | None:
        default = await self._sandboxes.get(DEFAULT)
        if default is None or not default.domains:
            return None
        places, written, home = self._places(view), await self._records.of(DEFAULT), name_of(default.domains[0])
        mail = default.capture == "any"

        def make() -> Zone:
            theirs = reverse_records(places if view is View.INSIDE else (), home) + _parsed(written)
            return foreign_zone(home, theirs, self._records.serial(), mail=mail)

        zone = self._kept((ROOT, view), (places, written, home, mail), make)
        known = mail or (name and zone.node(name) is not None)
        return zone if known else None

    def _kept(self, place: tuple[Name, View], token: object, make: Callable[[], Zone]) -> Zone:
        """The zone as made before while what it is made of is the same."""
        known = self._zones.get(place)
        if known is not None and known[0] == token:
            return known[1]
        if len(self._zones) >= _ZONES_KEPT:
            self._zones.clear()
        zone = make()
        self._zones[place] = (token, zone)
        return zone


def shown(octets: bytes) -> str:
    """A query's octets as a transcript shows them."""
    text = asked_text(octets)
    if text:
        return text
    try:
        return asked_text(octets, _read(octets))
    except MalformedError as error:
        return f"({len(octets)} octets, malformed: {error})"


def opened(octets: bytes) -> Message | Outcome:
    """A query; or, where the octets are none, what becomes of them."""
    try:
        query = _read(octets)
    except MalformedError as error:
        return _malformed(octets, error)
    if query.response:
        return Outcome(None, asked=f"({len(octets)} octets of a reply)")  # two servers must not talk in circles
    return query


def outcome_of(query: Message, reply: Message, sandbox: str, *, stream: bool) -> Outcome:
    """What becomes of a query with this reply."""
    printed, sent = fitted(reply, _limit(query, stream))
    return Outcome(printed, sent, sandbox)


def fitted(reply: Message, limit: int) -> tuple[bytes, Message]:
    """The reply in at most `limit` octets, and what is left of it: first the additional section goes, then all, with TC set."""
    printed = print_message(reply)
    if len(printed) > limit and reply.additional:  # RFC 2181 §9: what nobody asked for may go without a word
        reply = replace(reply, additional=())
        printed = print_message(reply)
    if len(printed) > limit:
        reply = replace(reply, truncated=True, answers=(), authority=(), additional=())
        printed = print_message(reply)
    return printed, reply


def failed(octets: bytes) -> bytes | None:
    """SERVFAIL for a query whose answering broke; None when not even its header can be read."""
    try:
        header = parse_header(octets)
    except MalformedError:
        return None
    return None if header.response else print_message(replace(reply_to(header), rcode=Rcode.SERVFAIL))


def _read(octets: bytes) -> Message:
    """A query; of other kinds than QUERY only the header, because the sections of those mean other things."""
    header = parse_header(octets)
    if header.response or header.opcode != Opcode.QUERY:
        return header
    questions, records = counts(octets)
    if questions != 1:  # RFC 9619 §4
        raise MalformedError(f"{questions} questions", header)
    if records > RECORDS_LIMIT:
        raise MalformedError(f"{records} records in a query", header)
    return parse(octets)


def _malformed(octets: bytes, error: MalformedError) -> Outcome:
    asked = shown(octets)
    if error.header is None or error.header.response:
        return Outcome(None, asked=asked)
    reply = replace(reply_to(error.header), rcode=Rcode.FORMERR)
    printed = print_message(reply)
    return Outcome(printed, reply, asked=asked)


def reply_to(query: Message) -> Message:
    """A reply that has yet to say anything; EDNS is answered only to who speaks it (RFC 6891 §7)."""
    return Message(
        id=query.id,
        response=True,
        opcode=query.opcode,
        recursion_desired=query.recursion_desired,
        checking_disabled=query.checking_disabled,  # RFC 4035 §3.1.6
        questions=query.questions,
        edns=Edns(PAYLOAD, dnssec_ok=query.edns.dnssec_ok) if query.edns else None,  # RFC 3225 §3
    )


def _refusal(query: Message) -> Rcode | None:
    """Why a query isn't even looked up."""
    if query.opcode != Opcode.QUERY:
        return Rcode.NOTIMP
    if query.edns is not None and query.edns.version > 0:
        return Rcode.BADVERS  # RFC 6891 §6.1.3
    question = query.questions[0]
    if question.type == Type.OPT:
        return Rcode.FORMERR
    if question.klass not in (Class.IN, Class.ANY) or question.type in _TRANSFERS:
        return Rcode.REFUSED  # zones are not for copying, and who we are is on the console, not in CHAOS
    if question.type in _META and question.type != Type.ANY:
        return Rcode.NOTIMP
    return None


def _selected(node: Node, kind: int, stream: bool) -> Sequence[Record]:
    if kind != Type.ANY:
        return tuple(node.get(kind, ()))
    if stream:
        return tuple(record for records in node.values() for record in records)  # RFC 8482 §4.4
    return next(iter(node.values()), ())  # RFC 8482 §4.1: one RRset is answer enough


def _negative(zone: Zone) -> Record:
    """RFC 2308 §3: the SOA of a negative answer lives as long as the answer may."""
    soa = zone.soa
    assert isinstance(soa.data, Soa)
    return replace(soa, ttl=min(soa.ttl, soa.data.minimum))


def _targets(records: Sequence[Record]) -> Iterator[Name]:
    for record in records:
        match record.data:
            case Mx(_, name) | Srv(_, _, _, name):
                yield name
            case Target(name) if record.type == Type.NS:
                yield name


def _limit(query: Message, stream: bool) -> int:
    if stream:
        return MESSAGE_LIMIT
    if query.edns is None:
        return PLAIN_PAYLOAD
    return max(PLAIN_PAYLOAD, min(query.edns.payload, PAYLOAD))


def _parsed(written: Sequence[WrittenRecord]) -> list[UserRecord]:
    """The records that can be served; what can't be was refused when it was written, so passing it over hides nothing."""
    found = []
    for record in written:
        try:
            kind = type_of(record.type)
            made = Record(name_of(record.name), kind, record.ttl, data_of(kind, record.value))
            print_message(Message(id=0, answers=(made,)))
        except (NotPresentableError, struct.error, ValueError):
            continue
        if kind not in _META and kind != Type.OPT:
            found.append(UserRecord(made.name, kind, made.ttl, made.data))
    return found
