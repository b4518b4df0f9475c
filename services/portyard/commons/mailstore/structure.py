"""A message's structure as a value: envelope, MIME tree and the byte offsets of everything, computed once and stored with the message.

Knows where things lie; `mime.py` finds out, and this file reads no octets. Offsets count from the message's first octet, so that any
section is a slice. Pure: every core may import it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

import msgspec

VERSION = 1  # the stored form's first octet; another one means that the octets must be parsed again
SectionText = Literal["HEADER", "TEXT", "MIME"]
Span = tuple[int, int]


class StructureError(ValueError):
    """The stored form is of another version, or damaged: parse the octets again."""


class Address(msgspec.Struct, frozen=True, array_like=True):
    """One address as an envelope holds it (RFC 3501 §7.4.2).

    A group is an Address with `mailbox` the group's name and no host, then its members, then one that is all None.

    Attributes:
        name: The display name, quotes taken off, encoded words as they stand.
        route: The obsolete source route ("@a,@b").
        mailbox: The local part, quotes taken off; a group's name at its begin; None at its end.
        host: The domain; None at a group's begin and end.
    """

    name: bytes | None
    route: bytes | None
    mailbox: bytes | None
    host: bytes | None


class Envelope(msgspec.Struct, frozen=True, array_like=True):
    """The envelope (RFC 3501 §7.4.2). Values are unfolded and otherwise raw: encoded words and 8-bit octets stay, NULs are dropped.

    A field that is missing is None or (); `sender` and `reply_to` hold `from_` when theirs are missing or empty, as the RFC asks.
    """

    date: bytes | None = None
    subject: bytes | None = None
    from_: tuple[Address, ...] = ()
    sender: tuple[Address, ...] = ()
    reply_to: tuple[Address, ...] = ()
    to: tuple[Address, ...] = ()
    cc: tuple[Address, ...] = ()
    bcc: tuple[Address, ...] = ()
    in_reply_to: bytes | None = None
    message_id: bytes | None = None


class Field(msgspec.Struct, frozen=True, array_like=True):
    """A header field of the message's own header; together they cover it, save the empty line.

    Attributes:
        name: In lower case; b"" for a line that is no field (no colon, or the mbox "From " line).
        start: Offset of its first octet.
        value: Offset behind the colon (`start` where there is none).
        end: Offset behind its last line's ending.
    """

    name: bytes
    start: int
    value: int
    end: int


Parameters = tuple[tuple[bytes, bytes], ...]


class Part(msgspec.Struct, frozen=True, array_like=True):
    """One entity of the MIME tree; the message itself is the root.

    A multipart always has at least one child, and message/rfc822 always has `envelope` and `message`: what can't be taken apart (no
    boundary, nested too deeply) is shown as a type that needs no inside.

    Attributes:
        type: As written ("text"); the default where the header says nothing (RFC 2045 §5.2, RFC 2046 §5.1.5).
        subtype: As written ("plain").
        parameters: Of Content-Type, in order, quotes taken off; RFC 2231 pieces stay as they are.
        id: Content-ID.
        description: Content-Description.
        encoding: Content-Transfer-Encoding as written; b"7BIT" when missing.
        size: Octets of the body.
        lines: Lines of the body; counted for text/* and message/rfc822 only, else 0.
        md5: Content-MD5.
        disposition: Content-Disposition's type as written.
        disposition_parameters: Its parameters.
        languages: Content-Language.
        location: Content-Location.
        header_start: Offset of the entity's header.
        body_start: Offset of its body; the header ends here, its empty line included.
        body_end: Offset behind its body; the line ending before a boundary belongs to the boundary (RFC 2046 §5.1.1).
        children: The parts of a multipart.
        envelope: Of the message inside message/rfc822 or message/global.
        message: The message inside, as a part whose header_start is this part's body_start.
    """

    type: bytes
    subtype: bytes
    parameters: Parameters
    id: bytes | None
    description: bytes | None
    encoding: bytes
    size: int
    lines: int
    md5: bytes | None
    disposition: bytes | None
    disposition_parameters: Parameters
    languages: tuple[bytes, ...]
    location: bytes | None
    header_start: int
    body_start: int
    body_end: int
    children: tuple[Part, ...] = ()
    envelope: Envelope | None = None
    message: Part | None = None

    @property
    def kind(self) -> str:
        """`type/subtype` in lower case."""
        return f"{self.type.decode('latin-1')}/{self.subtype.decode('latin-1')}".lower()

    @property
    def is_multipart(self) -> bool:
        """It has children."""
        return bool(self.children)

    def parameter(self, name: bytes) -> bytes | None:
        """A Content-Type parameter by its name in lower case."""
        return next((value for key, value in self.parameters if key.lower() == name), None)

    def walk(self) -> Iterator[Part]:
        """This part and all below, messages inside included, in the order of the octets."""
        stack = [self]
        while stack:
            part = stack.pop()
            yield part
            stack.extend(reversed(part.children))
            if part.message is not None:
                stack.append(part.message)


class Structure(msgspec.Struct, frozen=True, array_like=True):
    """Everything about a message but its octets.

    Attributes:
        size: Octets of the message.
        envelope: From its header.
        part: The message as the root of its MIME tree.
        fields: Its header's fields in order.
    """

    size: int
    envelope: Envelope
    part: Part
    fields: tuple[Field, ...]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Structure)


def encode(structure: Structure) -> bytes:
    """The stored form: a version octet, then msgpack."""
    return bytes((VERSION,)) + _encoder.encode(structure)


def decode(stored: bytes) -> Structure:
    """The value of a stored form.

    Raises:
        StructureError: Another version, or damaged.
    """
    if stored[:1] != bytes((VERSION,)):
        raise StructureError(f"structure of version {stored[:1].hex() or 'none'}, this is version {VERSION:02x}")
    try:
        return _decoder.decode(memoryview(stored)[1:])
    except msgspec.DecodeError as error:
        raise StructureError(f"damaged structure: {error}") from None


def find_part(structure: Structure, path: Iterable[int]) -> Part | None:
    """The part that a section's numbers name (RFC 3501 §6.4.5), or None.

    A message that isn't multipart has part 1, its body; numbers below a message/rfc822 part count inside that message. The root itself
    (no numbers) is `structure.part`.
    """
    part = structure.part
    holds_message = True  # numbers are relative to a message: the whole one first, then one inside message/rfc822
    for number in path:
        inside = part if holds_message else part.message or part
        if inside.children:
            if not 1 <= number <= len(inside.children):
                return None
            part = inside.children[number - 1]
        elif (holds_message or part.message is not None) and number == 1:
            part = inside
        else:
            return None
        holds_message = False
    return part


def section(structure: Structure, path: tuple[int, ...] = (), text: SectionText | None = None) -> Span | None:
    """Where BODY[path.text] lies: (start, end) in the message's octets, or None when there is no such section (RFC 3501 §6.4.5).

    Args:
        structure: The message's.
        path: The section's part numbers; () for the message itself.
        text: HEADER and TEXT for the message and for message/rfc822 parts, MIME for numbered parts, None for the whole (a numbered part's
            body). HEADER and MIME include the empty line.
    """
    if not path:
        spans = {None: (0, structure.size), "HEADER": _header(structure.part), "TEXT": _body(structure.part)}
        return spans.get(text)
    part = find_part(structure, path)
    if part is None:
        return None
    if text is None:
        return _body(part)
    if text == "MIME":
        return _header(part)
    if part.message is None:
        return None
    return _header(part.message) if text == "HEADER" else _body(part.message)


def select_fields(fields: Iterable[Field], names: Iterable[bytes], *, exclude: bool = False) -> list[Span]:
    """The spans that HEADER.FIELDS (or, excluding, HEADER.FIELDS.NOT) is made of; neighbours are joined.

    The caller adds the empty line (RFC 3501 §6.4.5). For a message inside another use `mime.header_fields` on its header's octets.
    """
    wanted = {name.lower() for name in names}
    spans: list[Span] = []
    for field in fields:
        if (field.name in wanted) is exclude:
            continue
        if spans and spans[-1][1] == field.start:
            spans[-1] = (spans[-1][0], field.end)
        else:
            spans.append((field.start, field.end))
    return spans


def _header(part: Part) -> Span:
    return part.header_start, part.body_start


def _body(part: Part) -> Span:
    return part.body_start, part.body_end
