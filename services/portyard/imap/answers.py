r"""A FETCH's answer made again, for captures: its responses follow from the messages where nothing but these is asked for.

Flags and dates of arrival aren't in a message, so who asks for them, or sets \Seen by reading, is told something that can't be made again.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from portyard.commons.mailstore import mime
from portyard.imap.core.fetch_grammar import print_section
from portyard.imap.core.giving_way import give_way
from portyard.imap.core.grammar import parse_command
from portyard.imap.core.lexing import BadSyntax, Frame
from portyard.imap.core.model import STAR, BodySection, Fetch, FetchAttribute, FetchItem, Section
from portyard.imap.core.replies import body_structure, envelope, flat
from portyard.imap.core.sections import chosen_fields, has_fields_alone, place

OLD_NAMES: Final = {
    FetchItem.RFC822: Section(),
    FetchItem.RFC822_HEADER: Section(text="HEADER"),
    FetchItem.RFC822_TEXT: Section(text="TEXT"),
}
"""The old names of three sections (RFC 3501 §6.4.5)."""
_AT_ONCE: Final = 50  # messages, until others have their turn

Find = Callable[[int], Awaitable[bytes | None]]
"""The octets of a message by its UID, as far as they are known."""


async def responses(asked: str, uids: Sequence[int], find: Find, begun: bytes, most: int) -> bytes | None:
    """The responses to a FETCH; None where they aren't known, or begin otherwise.

    Args:
        asked: The command.
        uids: All of the mailbox, in the order of its sequence numbers.
        find: Where messages are found.
        begun: What is known of the answer from the first response on.
        most: Octets that the responses have at most.
    """
    try:
        command = parse_command(Frame(asked.encode("utf-8", "backslashreplace"))).command
    except BadSyntax:
        return None
    if not isinstance(command, Fetch):
        return None
    attributes = command.attributes
    if command.uid and FetchItem.UID not in attributes:
        attributes = (FetchItem.UID, *attributes)  # RFC 3501 §6.4.8
    said = bytearray()
    for number, index in enumerate(_meant(command, uids), 1):
        octets = await find(uids[index])
        items = None if octets is None else _items(attributes, uids[index], octets)
        if items is None:
            return None
        start = len(said)
        said += b"* %d FETCH (%s)\r\n" % (index + 1, items)
        if len(said) > most or not _agree(said[start:], begun[start:]):
            return None
        if not number % _AT_ONCE:
            await give_way()
    return bytes(said)


def content(octets: bytes, wanted: Section) -> bytes | None:
    """A section's octets (RFC 3501 §6.4.5); None when there is no such part."""
    if wanted == Section():
        return octets
    span = place(mime.parse(octets), wanted)
    if span is None:
        return None
    found = octets[span[0] : span[1]]
    return chosen_fields(found, wanted) if has_fields_alone(wanted) else found


def _agree(one: bytes | bytearray, other: bytes) -> bool:
    """Whether one of them begins with the other."""
    return one.startswith(other) or other.startswith(one)


def _meant(command: Fetch, uids: Sequence[int]) -> list[int]:
    """The indexes of the messages that a command means."""
    found: set[int] = set()
    last = uids[-1] if command.uid and uids else len(uids)
    for ends in command.messages.ranges:
        low, high = sorted(last if end == STAR else end for end in ends)
        if command.uid:
            found.update(range(bisect_left(uids, low), bisect_right(uids, high)))
        elif low >= 1 and high <= last:
            found.update(range(low - 1, high))
    return sorted(found)


def _items(attributes: Sequence[FetchAttribute], uid: int, octets: bytes) -> bytes | None:
    """What a response tells of a message; None where that isn't in it."""
    told = [_item(attribute, uid, octets) for attribute in attributes]
    return b" ".join(each for each in told if each is not None) if None not in told else None


def _item(attribute: FetchAttribute, uid: int, octets: bytes) -> bytes | None:
    match attribute:
        case BodySection():
            begin = b"" if attribute.partial is None else b"<%d>" % attribute.partial[0]
            name = flat([b"BODY[", *print_section(attribute.section), b"]" + begin])
            return b"%s %s" % (name, _literal(content(octets, attribute.section), attribute.partial))
        case FetchItem.UID:
            return b"UID %d" % uid
        case FetchItem.RFC822_SIZE:
            return b"RFC822.SIZE %d" % len(octets)
        case FetchItem.ENVELOPE:
            return b"ENVELOPE %s" % envelope(mime.parse(octets).envelope)
        case FetchItem.BODY | FetchItem.BODYSTRUCTURE:
            part = mime.parse(octets).part
            told = body_structure(part, extensible=attribute is FetchItem.BODYSTRUCTURE)
            return b"%s %s" % (attribute.value.encode(), told)
        case FetchItem.RFC822 | FetchItem.RFC822_HEADER | FetchItem.RFC822_TEXT:
            return b"%s %s" % (attribute.value.encode(), _literal(content(octets, OLD_NAMES[attribute]), None))
    return None


def _literal(found: bytes | None, partial: tuple[int, int] | None) -> bytes:
    if found is None:
        return b"NIL"  # there is no such part
    if partial is not None:
        found = found[partial[0] : partial[0] + partial[1]]
    return b"{%d}\r\n%s" % (len(found), found) if found else b'""'
