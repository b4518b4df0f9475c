"""How noted events become octets, and events again.

A leaf is a MessagePack array in which each event is three things: when, in nanoseconds since 1970 (or as ISO 8601 has it, of a clock that
isn't the machine's and may go anywhere); its kind; and what. Text that goes with its kind alone stands as it is: a string, or the octets
that went over the wire, which nobody turns into text before somebody reads it (an answer's last line end is taken off then). Of an event
with fields the kind is octets, and the fields are JSON: what they hold may change before the leaf is written. Behind them, too, octets of
the wire may stand that end the event's text. Long fields that a leaf has again are the number of the place where it has them first. A page
is an array of leaves.
"""

from __future__ import annotations

import itertools
import json
import operator
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from portyard.commons.journal.model import KINDS, JournalEvent

PLACES: Final = 3
"""Of an event in a leaf."""
FIELDS: Final = {kind: kind.encode() for kind in KINDS}
"""The kind of an event with fields."""
REST: Final = b"\0"
"""Between an event's fields and the rest of its text: JSON has no such octet."""
VEILED: Final = b"\1"
"""The same where the rest is four octets and others, each of which was taken exclusive or with one of those in turn."""
_MARK: Final = re.compile(b"[" + REST + VEILED + b"]")
LONG: Final = 200
"""Octets of fields from which on it is worth while to look whether a leaf has them already."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ARRAY: Final = b"\xdd"  # of up to 2**32 values, whose number follows
_encode = msgspec.json.Encoder(enc_hook=str).encode
_pack = msgspec.msgpack.Encoder(enc_hook=str).encode
_unpack: Final = msgspec.msgpack.Decoder(list[list[Any]]).decode


def as_json(fields: dict[str, object]) -> bytes:
    """An event's fields as JSON."""
    try:
        return _encode(fields)
    except (ValueError, OverflowError):  # half of a surrogate pair, which a lax decoder left, or a giant number
        return json.dumps(fields, default=_lax).encode()


def once(noted: list[int | str | bytes]) -> None:
    """Have what is long stand in a leaf once: a kept connection says mostly the same."""
    first: dict[bytes, int] = {}
    for place in range(2, len(noted), PLACES):
        what = noted[place]
        if type(what) is bytes and len(what) >= LONG and (before := first.setdefault(what, place)) < place:
            noted[place] = before


def leaf(noted: list[int | str | bytes]) -> bytes:
    """Events, their places one behind the other, as octets."""
    try:
        return _pack(noted)
    except ValueError:  # half of a surrogate pair in a text: JSON can tell of it
        for place in range(2, len(noted), PLACES):
            text, kind = noted[place], noted[place - 1]
            if isinstance(text, str) and isinstance(kind, str):
                noted[place - 1 : place + 1] = (kind.encode(), as_json({"text": text}))
        return _pack(noted)


def page(leaves: Sequence[bytes]) -> bytes:
    """Leaves as one row's body."""
    return b"".join((_ARRAY, len(leaves).to_bytes(4, "big"), *leaves))


def events(seq: int, body: bytes) -> Iterator[JournalEvent]:
    """A page's events, the first of this number."""
    for each in _unpack(body):
        places = iter(each)
        for at, kind, noted in zip(places, places, places, strict=True):
            what = each[noted] if isinstance(noted, int) else noted
            yield JournalEvent(seq, _at(at), _text(kind), _fields(kind, what))
            seq += 1


def _at(at: int | str) -> datetime:
    return datetime.fromisoformat(at) if isinstance(at, str) else _EPOCH + timedelta(microseconds=at // 1000)


def _text(kind: object) -> str:
    return kind.decode() if isinstance(kind, bytes) else str(kind)


def _fields(kind: object, what: object) -> dict[str, object]:
    if isinstance(what, str):
        return {"text": what}
    assert isinstance(what, bytes)
    if isinstance(kind, bytes):
        return told(what)
    text = what.decode("utf-8", "backslashreplace")
    return {"text": text if kind == "command" else text.removesuffix("\r\n")}


def told(fields: bytes) -> dict[str, object]:
    """What `SessionLog.told` was told."""
    mark = _MARK.search(fields)
    found: dict[str, object] = json.loads(fields if mark is None else fields[: mark.start()])
    if mark is not None:
        rest = fields[mark.end() :]
        octets = rest if mark[0] == REST else bytes(map(operator.xor, rest[4:], itertools.cycle(rest[:4])))
        found["text"] = f"{found.get('text', '')}{octets.decode('utf-8', 'replace')}"
    return found


def _lax(value: object) -> object:
    """What JSON can show of a value that it can't hold."""
    if isinstance(value, datetime):
        return value.isoformat()
    return json.loads(bytes(value)) if isinstance(value, msgspec.Raw) else str(value)
