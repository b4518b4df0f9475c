"""What a list of messages shows: subject and addresses as text, encoded words decoded (RFC 2047). Pure; never raises."""

from __future__ import annotations

import base64
import binascii
import codecs
import re
from collections.abc import Iterable
from dataclasses import dataclass

from portyard.commons.mailstore.structure import Address, Parameters, Structure

_WORD = re.compile(rb"=\?([^?*\s]+)(?:\*[^?\s]*)?\?([bBqQ])\?([^?\s]*)\?=")  # RFC 2047 §2, with RFC 2231 §5's language
_BETWEEN = re.compile(
    rb"(\?=)[ \t\r\n]+(?==\?[^?\s]+\?[bBqQ]\?)"
)  # RFC 2047 §6.2: white space between encoded words isn't shown
_HEX = re.compile(rb"=([0-9A-Fa-f]{2})")
_PIECE = re.compile(rb"([^*]+?)(?:\*(\d{1,3}))?(\*)?")  # RFC 2231 §3, §4: name*0*, name*1, name*
_PERCENT = re.compile(rb"%([0-9A-Fa-f]{2})")
_CONTROLS = re.compile("[\x00-\x08\x0a-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Summary:
    """A message in a list.

    Attributes:
        subject: Decoded; empty when there is none.
        from_: `Name <address>` or the address.
        to: Addresses of To, bare.
        cc: Addresses of Cc, bare.
        message_id: With its angle brackets; empty when there is none.
        date: As written; empty when there is none.
        attachments: File names of the parts that have one, or are attachments.
    """

    subject: str
    from_: tuple[str, ...]
    to: tuple[str, ...]
    cc: tuple[str, ...]
    message_id: str
    date: str
    attachments: tuple[str, ...]


def summarise(structure: Structure) -> Summary:
    """The summary of a message."""
    envelope = structure.envelope
    return Summary(
        subject=decode_words(envelope.subject or b""),
        from_=tuple(full(address) for address in _mailboxes(envelope.from_)),
        to=tuple(bare(address) for address in _mailboxes(envelope.to)),
        cc=tuple(bare(address) for address in _mailboxes(envelope.cc)),
        message_id=text_of(envelope.message_id or b""),
        date=text_of(envelope.date or b""),
        attachments=tuple(_attachments(structure)),
    )


def decode_words(value: bytes) -> str:
    """A header's unstructured value with its encoded words decoded; one that can't be is left as it stands."""
    value = _BETWEEN.sub(rb"\1", value)
    pieces: list[str] = []
    pending: tuple[str, bytes] | None = (
        None  # neighbours in one charset are joined first: some peers cut characters in two
    )
    at = 0
    for found in _WORD.finditer(value):
        between = value[at : found.start()]
        charset, octets = found[1].decode("latin-1").lower(), _word_octets(found[2], found[3])
        at = found.end()
        if pending is not None and (between or octets is None or pending[0] != charset):
            pieces.append(_decoded(*pending))
            pending = None
        pieces.append(text_of(between))
        if octets is None:
            pieces.append(text_of(found[0]))
        else:
            pending = (charset, (pending[1] if pending else b"") + octets)
    if pending is not None:
        pieces.append(_decoded(*pending))
    pieces.append(text_of(value[at:]))
    return _CONTROLS.sub(" ", "".join(pieces)).strip()


def _word_octets(encoding: bytes, text: bytes) -> bytes | None:
    if encoding in b"qQ":  # RFC 2047 §4.2
        return _HEX.sub(lambda found: bytes((int(found[1], 16),)), text.replace(b"_", b" "))
    try:
        return base64.b64decode(text + b"=" * (-len(text) % 4))
    except binascii.Error:
        return None


def _decoded(charset: str, octets: bytes) -> str:
    try:
        if not codecs.lookup(charset)._is_text_encoding:
            return text_of(octets)
        return octets.decode(charset, "replace")
    except (LookupError, ValueError):
        return text_of(octets)


def text_of(octets: bytes) -> str:
    """Raw octets as text: UTF-8 (RFC 6532), else Latin-1, so that nothing is lost."""
    try:
        return octets.decode()
    except UnicodeDecodeError:
        return octets.decode("latin-1")


def _mailboxes(addresses: Iterable[Address]) -> Iterable[Address]:
    return (address for address in addresses if address.host is not None)  # without a group's begin and end


def bare(address: Address) -> str:
    """`local@domain`, or what there is of it."""
    local, host = text_of(address.mailbox or b""), text_of(address.host or b"")
    return f"{local}@{host}" if host else local


def full(address: Address) -> str:
    """`Name <local@domain>`, or the bare address when it has no name."""
    name = decode_words(address.name or b"")
    return f"{name} <{bare(address)}>" if name else bare(address)


def parameter_text(parameters: Parameters, name: bytes) -> str | None:
    """A parameter's value as text: plain, with encoded words as many peers write it, or in RFC 2231's pieces (§3, §4)."""
    pieces: dict[int, tuple[bool, bytes]] = {}
    for key, value in parameters:
        found = _PIECE.fullmatch(key.lower())
        if found is None or found[1] != name:
            continue
        if found[2] is None and found[3] is None:
            return decode_words(value)
        pieces[int(found[2] or 0)] = (found[3] is not None, value)
    if not pieces:
        return None
    charset, octets = "utf-8", b""
    for number in sorted(pieces):
        extended, value = pieces[number]
        if extended and number == 0 and value.count(b"'") >= 2:
            before, _, value = value.split(b"'", 2)
            charset = before.decode("latin-1") or charset
        octets += _PERCENT.sub(lambda hit: bytes((int(hit[1], 16),)), value) if extended else value
    return _CONTROLS.sub(" ", _decoded(charset, octets))


def _attachments(structure: Structure) -> Iterable[str]:
    for part in structure.part.walk():
        name = parameter_text(part.disposition_parameters, b"filename")
        if name is None:
            name = parameter_text(part.parameters, b"name")
        if name is not None:
            yield name
        elif part.disposition is not None and part.disposition.lower() == b"attachment":
            yield ""
