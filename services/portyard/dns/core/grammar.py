"""Messages to octets and back (RFC 1035 §4, RFC 6891 §6.1). Inverse to each other: `parse(print_message(m)) == m`.

A compression pointer may only point before the name it ends and a name may hold only so many, so no chain of them loops or costs.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from portyard.dns.core.model import (
    LABEL_LIMIT,
    NAME_LIMIT,
    ROOT,
    Address,
    Data,
    Edns,
    Message,
    Mx,
    Name,
    Opaque,
    Question,
    Record,
    Soa,
    Srv,
    Target,
    Txt,
    Type,
)

HEADER = struct.Struct("!6H")
_POINTER_REACH = 0x4000  # RFC 1035 §4.1.4: fourteen bits of offset
_POINTERS_LIMIT = 127  # a name has at most 127 labels, so more pointers than that lead to nothing new
_TTL_LIMIT = 0x7FFFFFFF  # RFC 2181 §8

_QR, _AA, _TC, _RD, _RA, _AD, _CD = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080, 0x0020, 0x0010


class MalformedError(ValueError):
    """Octets that are no message.

    Attributes:
        header: What the header said, without questions, when all twelve octets of it were there; None else.
    """

    def __init__(self, reason: str, header: Message | None = None) -> None:
        super().__init__(reason)
        self.header = header


def parse_header(octets: bytes) -> Message:
    """The header alone, as a message without sections.

    Raises:
        MalformedError: Fewer than twelve octets.
    """
    if len(octets) < HEADER.size:
        raise MalformedError(f"{len(octets)} octets hold no header")
    number, flags, *_ = HEADER.unpack_from(octets)
    return Message(
        id=number,
        response=bool(flags & _QR),
        opcode=flags >> 11 & 0xF,
        authoritative=bool(flags & _AA),
        truncated=bool(flags & _TC),
        recursion_desired=bool(flags & _RD),
        recursion_available=bool(flags & _RA),
        authentic_data=bool(flags & _AD),
        checking_disabled=bool(flags & _CD),
        rcode=flags & 0xF,
    )


def counts(octets: bytes) -> tuple[int, int]:
    """How many questions and how many records a header announces, so that a flood of them can be refused unread."""
    _, _, questions, *records = HEADER.unpack_from(octets)
    return questions, sum(records)


def parse(octets: bytes) -> Message:
    """A whole message.

    Raises:
        MalformedError: It isn't one; the error carries the header when that could be read.
    """
    header = parse_header(octets)
    try:
        return _Reader(octets, HEADER.size).message(header)
    except MalformedError as error:
        error.header = header
        raise


def parse_data(kind: int, octets: bytes) -> Data:
    """A record's data from its octets alone.

    Raises:
        MalformedError: It isn't data of that type.
    """
    reader = _Reader(octets, 0)
    data = reader.data(kind, len(octets))
    if reader.at != len(octets):
        raise MalformedError(f"data of type {kind} that is longer than it says")
    return data


def print_message(message: Message) -> bytes:
    """The message's octets, names compressed where RFC 3597 §4 lets them be."""
    writer = _Writer()
    writer.octets += HEADER.pack(
        message.id,
        _flags(message),
        len(message.questions),
        len(message.answers),
        len(message.authority),
        len(message.additional) + (message.edns is not None),
    )
    for question in message.questions:
        writer.name(question.name)
        writer.octets += struct.pack("!HH", question.type, question.klass)
    for record in (*message.answers, *message.authority, *message.additional):
        writer.record(record)
    if message.edns is not None:
        writer.edns(message.edns, message.rcode)
    return bytes(writer.octets)


def _flags(message: Message) -> int:
    bits = (
        (message.response, _QR),
        (message.authoritative, _AA),
        (message.truncated, _TC),
        (message.recursion_desired, _RD),
        (message.recursion_available, _RA),
        (message.authentic_data, _AD),
        (message.checking_disabled, _CD),
    )
    return sum(bit for on, bit in bits if on) | message.opcode << 11 | message.rcode & 0xF


@dataclass(slots=True)
class _Opt:
    """An OPT record while its message is read."""

    edns: Edns
    rcode_high: int


@dataclass(slots=True)
class _Reader:
    """A place in a message's octets."""

    octets: bytes
    at: int

    def message(self, header: Message) -> Message:
        _, _, questions, answers, authority, additional = HEADER.unpack_from(self.octets)
        asked = tuple(self.question() for _ in range(questions))
        first, opts = self.section(answers)
        second, more = self.section(authority)
        if opts or more:
            raise MalformedError("an OPT record outside the additional section")  # RFC 6891 §6.1.1
        third, opts = self.section(additional)
        if len(opts) > 1:
            raise MalformedError("more than one OPT record")  # RFC 6891 §6.1.1
        if self.at != len(self.octets):
            raise MalformedError(f"{len(self.octets) - self.at} octets after the message")
        return _with_sections(header, asked, (first, second, third), opts[0] if opts else None)

    def take(self, count: int) -> bytes:
        piece = self.octets[self.at : self.at + count]
        if len(piece) < count:
            raise MalformedError(f"{count} octets wanted at {self.at}, {len(piece)} there")
        self.at += count
        return piece

    def number(self, count: int = 2) -> int:
        return int.from_bytes(self.take(count), "big")

    def name(self) -> Name:
        """A name, compressed or not (RFC 1035 §4.1.4)."""
        labels: list[bytes] = []
        used, place, floor, after, pointers = 1, self.at, self.at, -1, 0
        while True:
            head = self._octet(place)
            if head == 0:
                self.at = place + 1 if after < 0 else after
                return tuple(labels)
            if head >= 0xC0:
                target = (head & 0x3F) << 8 | self._octet(place + 1)
                after = place + 2 if after < 0 else after
                pointers += 1
                if target >= floor or pointers > _POINTERS_LIMIT:
                    raise MalformedError(f"a compression pointer at {place} that doesn't point back")
                place = floor = target
                continue
            if head > LABEL_LIMIT:
                raise MalformedError(f"a label of unknown kind at {place}")
            used += head + 1
            if used > NAME_LIMIT:
                raise MalformedError("a name of more than 255 octets")
            label = self.octets[place + 1 : place + 1 + head]
            if len(label) < head:
                raise MalformedError(f"a label at {place} that runs past the end")
            labels.append(label)
            place += head + 1

    def _octet(self, place: int) -> int:
        if place >= len(self.octets):
            raise MalformedError("a name that runs past the end")
        return self.octets[place]

    def question(self) -> Question:
        name = self.name()
        return Question(name, self.number(), self.number())

    def section(self, count: int) -> tuple[tuple[Record, ...], list[_Opt]]:
        records: list[Record] = []
        opts: list[_Opt] = []
        for _ in range(count):
            name, kind = self.name(), self.number()
            if kind == Type.OPT:
                opts.append(self.opt(name))
            else:
                records.append(self.record(name, kind))
        return tuple(records), opts

    def record(self, name: Name, kind: int) -> Record:
        klass, ttl, size = self.number(), self.number(4), self.number()
        end = self.at + size
        if end > len(self.octets):
            raise MalformedError("a record that runs past the end")
        data = self.data(kind, size)
        if self.at != end:
            raise MalformedError(f"data of type {kind} that isn't as long as announced")
        return Record(name, kind, ttl if ttl <= _TTL_LIMIT else 0, data, klass)  # RFC 2181 §8

    def data(self, kind: int, size: int) -> Data:
        end = self.at + size
        match kind:
            case Type.A if size == 4:
                return Address(self.take(4))
            case Type.AAAA if size == 16:
                return Address(self.take(16))
            case Type.A | Type.AAAA if size:
                raise MalformedError(f"an address of {size} octets")
            case Type.NS | Type.CNAME | Type.PTR if size:
                return Target(self.name())
            case Type.MX if size:
                return Mx(self.number(), self.name())
            case Type.TXT if size:
                return Txt(self.strings(end))
            case Type.SOA if size:
                mname, rname = self.name(), self.name()
                return Soa(mname, rname, *(self.number(4) for _ in range(5)))
            case Type.SRV if size:
                return Srv(self.number(), self.number(), self.number(), self.name())
            case _:
                return Opaque(self.take(size))

    def strings(self, end: int) -> tuple[bytes, ...]:
        found: list[bytes] = []
        while self.at < end:
            found.append(self.take(self.number(1)))
        return tuple(found)

    def opt(self, name: Name) -> _Opt:
        """The OPT record: CLASS is the payload size, TTL the extended flags (RFC 6891 §6.1.2)."""
        if name != ROOT:
            raise MalformedError("an OPT record whose name isn't the root")
        payload, high, version, flags, size = (self.number(count) for count in (2, 1, 1, 2, 2))
        end = self.at + size
        options: list[tuple[int, bytes]] = []
        while self.at < end:
            code = self.number()
            options.append((code, self.take(self.number())))
        if self.at != end:
            raise MalformedError("an OPT record whose options run over")
        return _Opt(Edns(payload, version, bool(flags & 0x8000), tuple(options)), high)


def _with_sections(
    header: Message, questions: tuple[Question, ...], sections: tuple[tuple[Record, ...], ...], opt: _Opt | None
) -> Message:
    answers, authority, additional = sections
    return Message(
        id=header.id,
        response=header.response,
        opcode=header.opcode,
        authoritative=header.authoritative,
        truncated=header.truncated,
        recursion_desired=header.recursion_desired,
        recursion_available=header.recursion_available,
        authentic_data=header.authentic_data,
        checking_disabled=header.checking_disabled,
        rcode=header.rcode | (opt.rcode_high << 4 if opt else 0),  # RFC 6891 §6.1.3
        questions=questions,
        answers=answers,
        authority=authority,
        additional=additional,
        edns=opt.edns if opt else None,
    )


@dataclass(slots=True)
class _Writer:
    """Octets under way, and where names that were written begin."""

    octets: bytearray = field(default_factory=bytearray)
    seen: dict[Name, int] = field(default_factory=dict)

    def name(self, name: Name, *, compress: bool = True) -> None:
        """A name; suffixes that were written in the same case become pointers, so that every asker's case comes back to him."""
        for start in range(len(name)):
            suffix = name[start:]
            if compress and suffix in self.seen:
                self.octets += (0xC000 | self.seen[suffix]).to_bytes(2, "big")
                return
            if len(self.octets) < _POINTER_REACH:
                self.seen.setdefault(suffix, len(self.octets))
            self.octets.append(len(name[start]))
            self.octets += name[start]
        self.octets.append(0)

    def record(self, record: Record) -> None:
        self.name(record.name)
        self.octets += struct.pack("!HHIH", record.type, record.klass, record.ttl, 0)
        start = len(self.octets)
        self.data(record.data)
        struct.pack_into("!H", self.octets, start - 2, len(self.octets) - start)

    def data(self, data: Data) -> None:
        match data:
            case Address(octets) | Opaque(octets):
                self.octets += octets
            case Target(name):
                self.name(name)
            case Mx(preference, exchange):
                self.octets += struct.pack("!H", preference)
                self.name(exchange)
            case Txt(strings):
                for string in strings:
                    self.octets.append(len(string))
                    self.octets += string
            case Soa(mname, rname, serial, refresh, retry, expire, minimum):
                self.name(mname)
                self.name(rname)
                self.octets += struct.pack("!5I", serial, refresh, retry, expire, minimum)
            case Srv(priority, weight, port, target):
                self.octets += struct.pack("!3H", priority, weight, port)
                self.name(target, compress=False)  # RFC 2782: "name compression is not to be used for this field"

    def edns(self, edns: Edns, rcode: int) -> None:
        flags = 0x8000 if edns.dnssec_ok else 0
        options = b"".join(struct.pack("!HH", code, len(data)) + data for code, data in edns.options)
        self.octets += struct.pack("!BHHBBHH", 0, Type.OPT, edns.payload, rcode >> 4, edns.version, flags, len(options))
        self.octets += options
