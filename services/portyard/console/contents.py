"""A message taken apart for reading: header fields, text, HTML, the list of its other parts. Reads only the octets that it shows."""

from __future__ import annotations

import asyncio
import binascii
import quopri
import re
from collections.abc import AsyncIterator, Iterator

import msgspec

from portyard.commons.mailstore.model import Mailstore, Message
from portyard.commons.mailstore.structure import Part, Structure, decode
from portyard.commons.mailstore.summary import decode_words, parameter_text, text_of
from portyard.console import shapes
from portyard.console.beside import beside
from portyard.console.core import finding, onetime

PIECE = 64 * 1024  # octets of one read
TEXT_LIMIT = 1 << 20  # encoded octets of text or HTML that are decoded
HEADER_LIMIT = 256 * 1024  # octets of a header that are shown

_SHORT = 16 * 1024  # characters in which links and codes are found in some milliseconds
_FOLD = re.compile(r"\r?\n(?=[ \t])")
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/]")


async def whole(mail: Mailstore, message: Message, listed: shapes.Message) -> shapes.WholeMessage:
    """The message as `/messages/{id}` shows it."""
    structure = decode(message.structure)
    leaves = dict(_leaves(structure.part))
    text, html = _first(leaves, "text/plain"), _first(leaves, "text/html")
    shown = [part for number, part in leaves.items() if number in (text, html)]
    read = await _text(mail, message, leaves[text]) if text else None
    read_html = await _text(mail, message, leaves[html]) if html else None
    links, codes = await _found(listed.subject, read, read_html)
    return shapes.WholeMessage(
        **msgspec.structs.asdict(listed),
        headers=await _headers(mail, message, structure),
        text=read,
        html=read_html,
        cut=any(part.size > TEXT_LIMIT for part in shown),
        attachments=[_attachment(number, part) for number, part in leaves.items() if number not in (text, html)],
        links=links,
        codes=codes,
    )


async def arrived(mail: Mailstore, message: Message, listed: shapes.Message) -> shapes.Arrived:
    """The message as a wait answers with it."""
    leaves = dict(_leaves(decode(message.structure).part))
    text, html = _first(leaves, "text/plain"), _first(leaves, "text/html")
    read = await _text(mail, message, leaves[text]) if text else None
    read_html = await _text(mail, message, leaves[html]) if html else None
    links, codes = await _found(listed.subject, read, read_html)
    return shapes.Arrived(**msgspec.structs.asdict(listed), links=links, codes=codes)


async def _found(subject: str, text: str | None, html: str | None) -> tuple[list[str], list[str]]:
    """The links and the one-time codes; in a long text they take some hundred milliseconds to find, in which others go on."""

    def look() -> tuple[list[str], list[str]]:
        return finding.links(text, html), onetime.codes(subject, text, html)

    return look() if len(text or "") + len(html or "") <= _SHORT else await beside(look)


def part_of(message: Message, number: str) -> Part | None:
    """The part that a listing gave this number, or None."""
    return dict(_leaves(decode(message.structure).part)).get(number)


async def pieces(mail: Mailstore, message: Message, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
    """The message's octets from `start` to `end`, piece by piece."""
    end = message.size if end is None else end
    for at in range(start, end, PIECE):
        if at > start:
            await asyncio.sleep(0)  # the store answers without ever waiting: others want their turn
        yield await mail.octets(message, at, min(PIECE, end - at))


async def content(mail: Mailstore, message: Message, part: Part, limit: int | None = None) -> bytes:
    """A part's content, its transfer encoding taken off, of at most `limit` encoded octets."""
    end = part.body_end if limit is None else min(part.body_end, part.body_start + limit)
    octets = b"".join([piece async for piece in pieces(mail, message, part.body_start, end)])
    match part.encoding.strip().lower():
        case b"base64":  # RFC 2045 §6.8: what isn't of the alphabet is ignored
            letters = _NOT_BASE64.sub(b"", octets)
            whole_groups = letters[: len(letters) - (len(letters) % 4 == 1)]
            return binascii.a2b_base64(whole_groups + b"=" * (-len(whole_groups) % 4))
        case b"quoted-printable":  # RFC 2045 §6.7
            return quopri.decodestring(octets)
    return octets


def filename_of(part: Part) -> str | None:
    """A part's file name (RFC 2183 §2.3), or the name parameter that older peers write."""
    return parameter_text(part.disposition_parameters, b"filename") or parameter_text(part.parameters, b"name")


async def _headers(mail: Mailstore, message: Message, structure: Structure) -> list[shapes.Header]:
    octets = b"".join([p async for p in pieces(mail, message, 0, min(structure.part.body_start, HEADER_LIMIT))])
    headers = []
    for field in structure.fields:
        if field.name and field.end <= len(octets):
            name = text_of(octets[field.start : field.value]).rstrip(": \t")
            value = decode_words(_FOLD.sub("", text_of(octets[field.value : field.end])).strip().encode())
            headers.append(shapes.Header(name, value))
    return headers


async def _text(mail: Mailstore, message: Message, part: Part) -> str:
    octets = await content(mail, message, part, TEXT_LIMIT)
    charset = (part.parameter(b"charset") or b"utf-8").decode("latin-1")
    try:
        return octets.decode(charset, "replace")
    except (LookupError, ValueError):
        return text_of(octets)


def _leaves(part: Part, number: str = "") -> Iterator[tuple[str, Part]]:
    """The parts that hold content, with their numbers (RFC 3501 §6.4.5); a message inside is one of them."""
    for place, child in enumerate(part.children, 1):
        yield from _leaves(child, f"{number}.{place}" if number else str(place))
    if not part.children:
        yield number or "1", part


def _first(leaves: dict[str, Part], kind: str) -> str | None:
    """The number of the first part of a kind that isn't an attachment."""
    return next((number for number, part in leaves.items() if part.kind == kind and not _is_attached(part)), None)


def _is_attached(part: Part) -> bool:
    return (part.disposition or b"").lower() == b"attachment"


def _attachment(number: str, part: Part) -> shapes.Attachment:
    return shapes.Attachment(
        part=number,
        filename=filename_of(part),
        type=part.kind,
        size=part.size,
        content_id=text_of(part.id).strip("<> ") if part.id else None,
        disposition=text_of(part.disposition).lower() if part.disposition else None,
    )
