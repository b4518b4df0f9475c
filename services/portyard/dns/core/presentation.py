"""Names, data and messages as text: the master file form for records, and one line for each query, outcome and record in transcripts.

Knows no octets of messages and no zones. Text to value and value to text are inverse to each other.
"""

from __future__ import annotations

import ipaddress
import operator
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

from portyard.dns.core.grammar import parse_data
from portyard.dns.core.model import (
    LABEL_LIMIT,
    NAME_LIMIT,
    ROOT,
    Address,
    Class,
    Data,
    Edns,
    Message,
    Mx,
    Name,
    Opaque,
    Opcode,
    Question,
    Rcode,
    Record,
    Soa,
    Srv,
    Target,
    Txt,
    Type,
    length,
)

# A transcript's lines, from which a talk's queries are read and with which its replies are compared:
#   query  = [opcode] type name [class] *( "+" flag )       MX portyard.test +edns=1232 +rd
#   reply  = rcode *( flag )                                NOERROR aa
#   record = section name ttl [class] type data             answer portyard.test. 0 MX 10 mta.portyard.test.

# RFC 1035 §5.1: <character-string> is one word, or quoted text; "\" escapes a character or three decimal digits.
_WORD = re.compile(r'"((?:[^"\\]|\\.)*)"|((?:[^\s"\\]|\\.)+)', re.DOTALL)
_LABEL = re.compile(r"((?:[^.\\]|\\.)*)(?:\.|$)", re.DOTALL)
_ESCAPE = re.compile(rb"\\([0-9]{3}|.)", re.DOTALL)
_PLAIN = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_*/=:"
_PLAIN_NAME = _PLAIN + b"."
_STRING_LIMIT = 255  # RFC 1035 §3.3
_SPOKEN = frozenset({Type.A, Type.AAAA, Type.NS, Type.CNAME, Type.PTR, Type.MX, Type.TXT, Type.SOA, Type.SRV})
_TYPES = {member.value: member.name for member in Type}
_CLASSES = {member.value: member.name for member in Class}
_OPCODES = {member.value: member.name for member in Opcode}
_RCODES = {member.value: member.name for member in Rcode}
_IN = Class.IN.value
_SECTIONS = ("answer", "authority", "additional")
_FLAGS = {
    "aa": "authoritative",
    "tc": "truncated",
    "rd": "recursion_desired",
    "ra": "recursion_available",
    "ad": "authentic_data",
    "cd": "checking_disabled",
}
_flags = operator.attrgetter(*_FLAGS.values())


class NotPresentableError(ValueError):
    """Text that is no name, type or data; the message says what was expected."""


def name_of(text: str) -> Name:
    """The name that the text means, always absolute; "." is the root.

    Raises:
        NotPresentableError: An empty or over-long label or name.
    """
    if text in (".", "@"):
        return ROOT
    labels: list[bytes] = []
    place = 0
    while place < len(text) and (found := _LABEL.match(text, place)):
        labels.append(_unescaped(found[1]))
        place = found.end()
    name = tuple(labels)
    if place < len(text) or not name or not all(0 < len(label) <= LABEL_LIMIT for label in name):
        raise NotPresentableError(f"{text!r}: expected a domain name of labels of 1 to 63 octets")
    if length(name) > NAME_LIMIT:
        raise NotPresentableError(f"{text!r}: expected a domain name of at most 255 octets")
    return name


@lru_cache(maxsize=1024)  # a query's name is told several times, and asked for again
def name_text(name: Name) -> str:
    """The name with its final dot, octets beyond letters, digits and a few marks escaped."""
    plain = b".".join(name)
    if name and plain.count(b".") == len(name) - 1 and not plain.translate(None, _PLAIN_NAME):  # as almost all are
        return plain.decode() + "."
    return "".join(_escaped(label) + "." for label in name) or "."


def type_of(text: str) -> int:
    """A TYPE by name or as TYPE<n> (RFC 3597 §5).

    Raises:
        NotPresentableError: No such type.
    """
    return _number_of(text, Type.__members__, "TYPE")


def type_text(number: int) -> str:
    """A type's name, or TYPE<n>."""
    return _TYPES.get(number) or f"TYPE{number}"


def data_of(kind: int, text: str) -> Data:
    r"""A record's data from its master file form; any type takes RFC 3597's `\# length hex`.

    Raises:
        NotPresentableError: The text isn't data of that type.
    """
    words = _words(text)
    try:
        return _data_of(kind, words)
    except (ValueError, IndexError, OverflowError) as error:
        if isinstance(error, NotPresentableError):
            raise
        raise NotPresentableError(f"{text!r}: not the data of {type_text(kind)}") from None


def _data_of(kind: int, words: list[str]) -> Data:
    if words[:1] == ["\\#"]:
        octets = bytes.fromhex("".join(words[2:]))
        if len(octets) != int(words[1]) or (not octets and kind in _SPOKEN):
            raise ValueError
        return parse_data(kind, octets)  # RFC 3597 §5: for a known type it means the same as its own form
    match kind, words:
        case Type.A, [address]:
            return Address(ipaddress.IPv4Address(address).packed)
        case Type.AAAA, [address]:
            return Address(ipaddress.IPv6Address(address).packed)
        case Type.NS | Type.CNAME | Type.PTR, [name]:
            return Target(name_of(name))
        case Type.MX, [preference, exchange]:
            return Mx(_sixteen(preference), name_of(exchange))
        case Type.TXT, [_, *_]:
            return Txt(tuple(_strings(words)))
        case Type.SRV, [priority, weight, port, target]:
            return Srv(_sixteen(priority), _sixteen(weight), _sixteen(port), name_of(target))
        case Type.SOA, [mname, rname, *numbers] if len(numbers) == 5:
            serial, refresh, retry, expire, minimum = (int(number) for number in numbers)
            return Soa(name_of(mname), name_of(rname), serial, refresh, retry, expire, minimum)
        case Type.CAA, [flags, tag, value]:
            return Opaque(bytes([int(flags), len(tag)]) + tag.encode() + _unescaped(value))  # RFC 8659 §4.1
    raise ValueError


def data_text(data: Data) -> str:
    """A record's data in master file form."""
    match data:
        case Address(octets):
            return ".".join(map(str, octets)) if len(octets) == 4 else str(ipaddress.ip_address(octets))
        case Target(name):
            return name_text(name)
        case Mx(preference, exchange):
            return f"{preference} {name_text(exchange)}"
        case Txt(strings):
            return " ".join(f'"{_quoted(string)}"' for string in strings)
        case Soa(mname, rname, serial, refresh, retry, expire, minimum):
            return f"{name_text(mname)} {name_text(rname)} {serial} {refresh} {retry} {expire} {minimum}"
        case Srv(priority, weight, port, target):
            return f"{priority} {weight} {port} {name_text(target)}"
        case Opaque(octets):
            return f"\\# {len(octets)} {octets.hex()}".rstrip()


def query_of(text: str, number: int = 0) -> Message:
    """The query that a transcript's line means; `number` becomes its id.

    Raises:
        NotPresentableError: The line isn't a query.
    """
    words = text.split()
    opcode = _number_of(words.pop(0), Opcode.__members__, "OPCODE") if words and _is_opcode(words[0]) else Opcode.QUERY
    plain = [word for word in words if not word.startswith("+")]
    if len(plain) not in (2, 3):
        raise NotPresentableError(f"{text!r}: expected a type and a name, perhaps a class, perhaps +flags")
    klass = _number_of(plain[2], Class.__members__, "CLASS") if len(plain) == 3 else Class.IN
    question = Question(name_of(plain[1]), type_of(plain[0]), klass)
    values = _query_flags(words)
    edns = None
    if not values.keys().isdisjoint({"edns", "version", "do"}):
        edns = Edns(int(values.get("edns") or 1232), int(values.get("version") or 0), "do" in values)
    return Message(
        id=number,
        opcode=opcode,
        authoritative="aa" in values,
        truncated="tc" in values,
        recursion_desired="rd" in values,
        recursion_available="ra" in values,
        authentic_data="ad" in values,
        checking_disabled="cd" in values,
        questions=(question,),
        edns=edns,
    )


def query_text(message: Message) -> str:
    """A query as a transcript shows it."""
    opcode = "" if message.opcode == Opcode.QUERY else _OPCODES.get(message.opcode, f"OPCODE{message.opcode}") + " "
    asked = " ".join([_question_text(question) for question in message.questions]) or "(no question)"
    return f"{opcode}{asked}{_flags_text(message, ' +')}"


def reply_lines(message: Message) -> list[str]:
    """A reply as a transcript shows it: the outcome, then a line for each record."""
    lines = [f"{_RCODES.get(message.rcode) or f'RCODE{message.rcode}'}{_flags_text(message, ' ')}"]
    for section, records in zip(_SECTIONS, (message.answers, message.authority, message.additional), strict=True):
        for record in records:
            lines.append(f"{section} {record_text(record)}")
    return lines


def reply_of(reply: Message, text: str) -> Message:
    """The reply that a transcript's lines mean: perhaps the outcome with flags, then the records; without an outcome, "NOERROR aa".

    Args:
        reply: One that has yet to say anything; what it echoes of the query stays.
        text: The lines.

    Raises:
        NotPresentableError: They aren't a reply.
    """
    lines = [line for line in text.replace("\r\n", "\n").split("\n") if line.strip()]
    outcome = ["NOERROR", "aa"]
    if lines and lines[0].split()[0] not in _SECTIONS:
        outcome = lines.pop(0).split()
    unknown = set(outcome[1:]) - _FLAGS.keys()
    if unknown:
        raise NotPresentableError(f"{min(unknown)}: known are {', '.join(_FLAGS)}")
    sections: dict[str, list[Record]] = {section: [] for section in _SECTIONS}
    for line in lines:
        section, _, record = line.strip().partition(" ")
        if section not in sections:
            raise NotPresentableError(f"{line!r}: expected answer, authority or additional, then a record")
        sections[section].append(record_of(record))
    answers, authority, additional = (tuple(records) for records in sections.values())
    rcode = _number_of(outcome[0], Rcode.__members__, "RCODE")
    for word in outcome[1:]:
        flag: dict[str, Any] = {_FLAGS[word]: True}
        reply = replace(reply, **flag)
    return replace(reply, rcode=rcode, answers=answers, authority=authority, additional=additional)


def record_of(text: str) -> Record:
    """A record from its master file form, the class left out where it is IN.

    Raises:
        NotPresentableError: The text isn't a record.
    """
    name, ttl, kind, *rest = (*text.split(None, 3), "", "", "")[:4]
    klass = Class.IN.value
    if kind.upper() in Class.__members__ or kind.upper().startswith("CLASS"):
        klass = _number_of(kind, Class.__members__, "CLASS")
        kind, *rest = (*rest[0].split(None, 1), "")[:2]
    if not ttl.isdecimal() or int(ttl) >= 1 << 31:  # RFC 2181 §8
        raise NotPresentableError(f"{text!r}: expected a name, a TTL in seconds, a type and its data")
    number = type_of(kind)
    return Record(name_of(name), number, int(ttl), data_of(number, rest[0] if rest else ""), klass)


def record_text(record: Record) -> str:
    """A record in master file form, the class left out where it is IN."""
    klass = "" if record.klass == _IN else _CLASSES.get(record.klass, f"CLASS{record.klass}") + " "
    return f"{name_text(record.name)} {record.ttl} {klass}{type_text(record.type)} {data_text(record.data)}"


def _question_text(question: Question) -> str:
    klass = "" if question.klass == Class.IN else " " + _CLASSES.get(question.klass, f"CLASS{question.klass}")
    return f"{type_text(question.type)} {name_text(question.name)}{klass}"


def _flags_text(message: Message, before: str) -> str:
    """Its flags and what it says of EDNS, with something before each."""
    text = _words_text(_flags(message), before)
    edns = message.edns
    if edns is not None:
        text += f"{before}edns={edns.payload}"
        if edns.version > 0:
            text += f"{before}version={edns.version}"
        if edns.dnssec_ok:
            text += f"{before}do"
    return text


@lru_cache
def _words_text(flags: tuple[bool, ...], before: str) -> str:
    return "".join(before + word for word, on in zip(_FLAGS, flags, strict=True) if on)


def _query_flags(words: list[str]) -> dict[str, str]:
    values = dict(word[1:].partition("=")[::2] for word in words if word.startswith("+"))
    unknown = values.keys() - _FLAGS.keys() - {"edns", "version", "do"}
    if unknown:
        raise NotPresentableError(f"+{min(unknown)}: known are {', '.join(_FLAGS)}, edns=<octets>, version=<n> and do")
    return values


def _is_opcode(word: str) -> bool:
    return word in Opcode.__members__ or re.fullmatch(r"OPCODE\d+", word) is not None


def _number_of(text: str, members: Mapping[str, int], prefix: str) -> int:
    word = text.upper()
    if word in members:
        return int(members[word])
    number = word.removeprefix(prefix)
    if word.startswith(prefix) and number.isdecimal() and int(number) <= 0xFFFF:
        return int(number)
    raise NotPresentableError(f"{text!r}: expected a name or {prefix}<number>")


def _sixteen(text: str) -> int:
    value = int(text)
    if not 0 <= value <= 0xFFFF:
        raise ValueError
    return value


def _words(text: str) -> list[str]:
    words: list[str] = []
    rest = text.strip()
    while rest:
        found = _WORD.match(rest)
        if found is None:
            raise NotPresentableError(f"{text!r}: a quote without its end")
        words.append(found[1] if found[1] is not None else found[2])
        rest = rest[found.end() :].lstrip()
    return words


def _strings(words: list[str]) -> list[bytes]:
    """Character-strings of the words; a longer one is cut into several, as zone tools do."""
    strings: list[bytes] = []
    for word in words:
        octets = _unescaped(word)
        strings += [octets[at : at + _STRING_LIMIT] for at in range(0, max(len(octets), 1), _STRING_LIMIT)]
    return strings


def _unescaped(text: str) -> bytes:
    def octet(found: re.Match[bytes]) -> bytes:
        return bytes([int(found[1])]) if found[1].isdigit() and len(found[1]) == 3 else found[1]

    return _ESCAPE.sub(octet, text.encode())


def _escaped(label: bytes) -> str:
    return "".join(chr(octet) if octet in _PLAIN else f"\\{octet:03d}" for octet in label)


def _quoted(string: bytes) -> str:
    marks = {0x22: '\\"', 0x5C: "\\\\"}
    return "".join(marks.get(octet) or (chr(octet) if 0x20 <= octet < 0x7F else f"\\{octet:03d}") for octet in string)
