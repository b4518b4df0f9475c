"""DNS messages as values, in the nouns of RFC 1035 and RFC 6891. Knows neither octets nor zones.

A name is a tuple of labels without the root's empty one, octets as they came: case is kept for the echo (RFC 1034 §3.1: "preserve case
whenever possible") and folded by `key` for comparing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

Name = tuple[bytes, ...]
ROOT: Name = ()

LABEL_LIMIT = 63  # RFC 1035 §2.3.4
NAME_LIMIT = 255  # RFC 1035 §2.3.4, length octets and the root's included


class Type(IntEnum):
    """TYPE and QTYPE values that have names here (RFC 1035 §3.2.2 and the IANA registry); every other number is spoken as TYPE<n>."""

    A = 1
    NS = 2
    CNAME = 5
    SOA = 6
    PTR = 12
    HINFO = 13
    MX = 15
    TXT = 16
    AAAA = 28
    SRV = 33
    NAPTR = 35
    DNAME = 39
    OPT = 41
    DS = 43
    SSHFP = 44
    DNSKEY = 48
    TLSA = 52
    SVCB = 64
    HTTPS = 65
    SPF = 99
    TKEY = 249
    TSIG = 250
    IXFR = 251
    AXFR = 252
    MAILB = 253
    MAILA = 254
    ANY = 255
    CAA = 257


class Class(IntEnum):
    """CLASS and QCLASS values (RFC 1035 §3.2.4)."""

    IN = 1
    CH = 3
    HS = 4
    NONE = 254
    ANY = 255


class Opcode(IntEnum):
    """Kinds of query (RFC 1035 §4.1.1, RFC 1996, RFC 2136)."""

    QUERY = 0
    IQUERY = 1
    STATUS = 2
    NOTIFY = 4
    UPDATE = 5


class Rcode(IntEnum):
    """Response codes (RFC 1035 §4.1.1, RFC 6891 §9)."""

    NOERROR = 0
    FORMERR = 1
    SERVFAIL = 2
    NXDOMAIN = 3
    NOTIMP = 4
    REFUSED = 5
    NOTAUTH = 9
    BADVERS = 16


@dataclass(frozen=True, slots=True)
class Address:
    """An A or AAAA record's data: 4 or 16 octets (RFC 1035 §3.4.1, RFC 3596 §2.2)."""

    octets: bytes


@dataclass(frozen=True, slots=True)
class Target:
    """The data of NS, CNAME and PTR: one name (RFC 1035 §3.3)."""

    name: Name


@dataclass(frozen=True, slots=True)
class Mx:
    """A mail exchange (RFC 1035 §3.3.9)."""

    preference: int
    exchange: Name


@dataclass(frozen=True, slots=True)
class Txt:
    """Character-strings of up to 255 octets each, at least one (RFC 1035 §3.3.14)."""

    strings: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Soa:
    """The start of a zone of authority (RFC 1035 §3.3.13); `minimum` is the negative TTL in seconds (RFC 2308 §4)."""

    mname: Name
    rname: Name
    serial: int
    refresh: int
    retry: int
    expire: int
    minimum: int


@dataclass(frozen=True, slots=True)
class Srv:
    """A service's place (RFC 2782)."""

    priority: int
    weight: int
    port: int
    target: Name


@dataclass(frozen=True, slots=True)
class Opaque:
    """Data of a type that isn't spoken here, as octets (RFC 3597 §3)."""

    octets: bytes


Data = Address | Target | Mx | Txt | Soa | Srv | Opaque


@dataclass(frozen=True, slots=True)
class Record:
    """A resource record (RFC 1035 §3.2.1); `ttl` in seconds."""

    name: Name
    type: int
    ttl: int
    data: Data
    klass: int = Class.IN


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked (RFC 1035 §4.1.2)."""

    name: Name
    type: int
    klass: int = Class.IN


@dataclass(frozen=True, slots=True)
class Edns:
    """The OPT pseudo-record (RFC 6891 §6.1).

    Attributes:
        payload: Octets of the largest UDP message that its sender takes.
        version: The EDNS version.
        dnssec_ok: The DO bit (RFC 3225 §3).
        options: Code and octets of each option.
    """

    payload: int
    version: int = 0
    dnssec_ok: bool = False
    options: tuple[tuple[int, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class Message:
    """A whole message (RFC 1035 §4.1).

    Attributes:
        id: Chosen by the asker, 16 bits.
        rcode: All twelve bits; those above four need `edns` (RFC 6891 §6.1.3).
        edns: The OPT record, kept apart from `additional`.
    """

    id: int
    response: bool = False
    opcode: int = Opcode.QUERY
    authoritative: bool = False
    truncated: bool = False
    recursion_desired: bool = False
    recursion_available: bool = False
    authentic_data: bool = False
    checking_disabled: bool = False
    rcode: int = Rcode.NOERROR
    questions: tuple[Question, ...] = ()
    answers: tuple[Record, ...] = ()
    authority: tuple[Record, ...] = ()
    additional: tuple[Record, ...] = ()
    edns: Edns | None = field(default=None)


def key(name: Name) -> Name:
    """The name as it compares: ASCII letters without case (RFC 4343 §3)."""
    return tuple(map(bytes.lower, name))


def length(name: Name) -> int:
    """Octets of the name uncompressed on the wire."""
    return sum(len(label) + 1 for label in name) + 1
