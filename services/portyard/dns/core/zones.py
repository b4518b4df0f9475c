"""The testbed's zones, made on the fly from where its services are and from the records that users wrote.

Knows names and records; knows no message, no socket and no store. A zone is made anew whenever what it is made of has changed, so every
record's TTL is 0: nobody may keep an answer that the next call of a test can change.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from portyard.dns.core.model import ROOT, Address, Data, Mx, Name, Record, Soa, Srv, Target, Txt, Type, key

TTL_S = 0  # RFC 1035 §3.2.1: zero forbids caching, which is what a testbed wants
EXCHANGE = "mta"  # the service that takes a domain's mail
SERVER = "dns"  # the service that answers for a domain
MAILERS = ("msa", "mta")  # the services that send a domain's mail
# RFC 6186 §3, RFC 8314 §5.1: the service labels by which mail clients find servers; each is also the name of the port.
SERVICE_LABELS = ("submission", "submissions", "imap", "imaps", "pop3", "pop3s")

Node = Mapping[int, tuple[Record, ...]]


class View(Enum):
    """From where a peer asks: from among the testbed's services, or from the user's machine."""

    INSIDE = "inside"
    HOST = "host"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a service is, as one view sees it.

    Attributes:
        service: Its name, the first label of its host name.
        addresses: Each of 4 or 16 octets; none when the view knows no address of it.
        ports: Port name and number.
    """

    service: str
    addresses: tuple[bytes, ...]
    ports: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class UserRecord:
    """A record that a user wrote, parsed."""

    name: Name
    type: int
    ttl: int
    data: Data


class Zone:
    """One zone's names (RFC 1034 §4.2).

    Args:
        origin: The zone's apex.
        records: Everything in it; owners at or below the origin.
        pending: Names whose address will be known once their service is up.
        exchange: The MX of every name below the origin that has none of its own, existing or not.
    """

    def __init__(
        self,
        origin: Name,
        records: Iterable[Record],
        pending: frozenset[Name] = frozenset(),
        exchange: Mx | None = None,
    ) -> None:
        self.origin = origin
        self.pending = pending
        self._exchange = exchange
        self._nodes: dict[Name, dict[int, tuple[Record, ...]]] = {}
        for record in records:
            self._add(record)

    @property
    def soa(self) -> Record:
        """The SOA record, as negative answers carry it (RFC 2308 §3)."""
        return self._nodes[key(self.origin)][Type.SOA][0]

    def node(self, name: Name) -> Node | None:
        """What stands at a name, wildcards applied and owners as asked; empty when only names below it exist, None when nothing does."""
        asked = key(name)
        found = self._nodes.get(asked)
        if found is None:
            found = self._wildcard(asked)
        if self._exchange and name and (found is None or found.keys().isdisjoint({Type.MX, Type.CNAME})):
            found = {**(found or {}), Type.MX: (_ours(name, Type.MX, self._exchange),)}
        if found is None:
            return None
        return {kind: tuple(replace(record, name=name) for record in records) for kind, records in found.items()}

    def _wildcard(self, asked: Name) -> dict[int, tuple[Record, ...]] | None:
        """RFC 4592 §3.3.1: the source of synthesis is the wildcard right below the closest name that exists."""
        for start in range(1, len(asked) - len(self.origin) + 1):
            encloser = asked[start:]
            if encloser in self._nodes:
                return self._nodes.get((b"*", *encloser))
        return None

    def _add(self, record: Record) -> None:
        owner = key(record.name)
        node = self._nodes.setdefault(owner, {})
        node[record.type] = (*node.get(record.type, ()), record)
        for start in range(1, len(owner) - len(self.origin)):
            self._nodes.setdefault(owner[start:], {})  # RFC 4592 §2.2.2: empty non-terminals exist


def own_zone(origin: Name, places: Sequence[Place], written: Iterable[UserRecord], serial: int) -> Zone:
    """The zone of a domain that a sandbox owns; a user's records take the place of ours of the same name and type."""
    pending = frozenset() if _place(places, EXCHANGE) else frozenset({(EXCHANGE.encode(), *key(origin))})
    standing = [
        _soa(origin, origin, serial),
        *_apex(origin, places),
        *_hosts(origin, places),
        *_services(origin, places),
    ]
    theirs = [_record(record) for record in written if within(record.name, origin)]
    return _overlaid(origin, standing, theirs, pending)


def foreign_zone(home: Name, written: Iterable[UserRecord], serial: int, *, mail: bool) -> Zone:
    """The zone of every domain that nobody owns, rooted at the root: with `mail` an MX to the testbed for each name, and nothing else.

    Nothing is pretended beyond mail: a foreign host has no address here, so no client is led to believe that it is reachable. A user's
    records say how a domain looks, not that it takes no mail, so their names have the MX too (a null MX, RFC 7505, takes it away).
    """
    standing = [
        _soa(ROOT, home, serial),
        _ours(ROOT, Type.NS, Target((SERVER.encode(), *home))),
    ]
    theirs = [_record(record) for record in written]
    return _overlaid(ROOT, standing, theirs, exchange=Mx(10, (EXCHANGE.encode(), *home)) if mail else None)


def reverse_name(address: bytes) -> Name:
    """The name under which an address is looked up (RFC 1035 §3.5, RFC 3596 §2.5)."""
    if len(address) == 4:
        return (*(str(octet).encode() for octet in reversed(address)), b"in-addr", b"arpa")
    return (*(digit.encode() for digit in reversed(address.hex())), b"ip6", b"arpa")


def reverse_records(places: Sequence[Place], home: Name) -> list[UserRecord]:
    """PTR records of loopback and of the services, so that a reverse look-up ends at once instead of in a time-out."""
    loopback = [b"\x7f\0\0\1", bytes(15) + b"\1"]
    found: dict[bytes, Name] = dict.fromkeys(loopback, (b"localhost",))
    for place in places:
        for address in place.addresses:
            found.setdefault(address, (place.service.encode(), *home))
    return [UserRecord(reverse_name(address), Type.PTR, TTL_S, Target(name)) for address, name in found.items()]


def _apex(origin: Name, places: Sequence[Place]) -> list[Record]:
    mailers = " ".join(f"a:{mailer}.{'.'.join(label.decode() for label in origin)}" for mailer in MAILERS)
    records = [
        _ours(origin, Type.NS, Target((SERVER.encode(), *origin))),
        _ours(origin, Type.MX, Mx(10, (EXCHANGE.encode(), *origin))),
        # RFC 7208: our senders pass; "~all" because a testbed's users also hand mail straight to the exchange.
        _ours(origin, Type.TXT, Txt((f"v=spf1 {mailers} ~all".encode(),))),
    ]
    web = _place(places, "http") or _place(places, EXCHANGE)
    return records + (_addresses(origin, web) if web else [])


def _hosts(origin: Name, places: Sequence[Place]) -> list[Record]:
    return [record for place in places for record in _addresses((place.service.encode(), *origin), place)]


def _services(origin: Name, places: Sequence[Place]) -> list[Record]:
    """RFC 6186 §3: where the domain's mail services are. What isn't up isn't there."""
    records = []
    for place in places:
        for port, number in place.ports:
            if port in SERVICE_LABELS:
                owner = (b"_" + port.encode(), b"_tcp", *origin)
                records.append(_ours(owner, Type.SRV, Srv(0, 1, number, (place.service.encode(), *origin))))
    return records


def _overlaid(
    origin: Name,
    standing: list[Record],
    theirs: list[Record],
    pending: frozenset[Name] = frozenset(),
    exchange: Mx | None = None,
) -> Zone:
    taken = {(key(record.name), record.type) for record in theirs}
    aliased = {owner for owner, kind in taken if kind == Type.CNAME and owner != key(origin)}
    kept = [
        record
        for record in standing
        if (key(record.name), record.type) not in taken and key(record.name) not in aliased  # RFC 2181 §10.1
    ]
    return Zone(origin, [*kept, *theirs], pending - {owner for owner, _ in taken}, exchange)


def _soa(origin: Name, home: Name, serial: int) -> Record:
    data = Soa((SERVER.encode(), *home), (b"hostmaster", *home), serial & 0xFFFFFFFF, 3600, 600, 86400, TTL_S)
    return _ours(origin, Type.SOA, data)


def _ours(name: Name, kind: Type, data: Data) -> Record:
    return Record(name, kind, TTL_S, data)


def _record(written: UserRecord) -> Record:
    return Record(written.name, written.type, written.ttl, written.data)


def _addresses(name: Name, place: Place) -> list[Record]:
    return [_ours(name, Type.A if len(octets) == 4 else Type.AAAA, Address(octets)) for octets in place.addresses]


def _place(places: Sequence[Place], service: str) -> Place | None:
    return next((place for place in places if place.service == service and place.addresses), None)


def within(name: Name, origin: Name) -> bool:
    """True when the name is the origin or below it."""
    return key(name[max(len(name) - len(origin), 0) :]) == key(origin)
