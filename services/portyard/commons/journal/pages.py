"""How noted events become octets, and events again.

An event is three things. When: in nanoseconds since 1970, or as ISO 8601 has it, of a clock that isn't the machine's and may go anywhere.
How it is told, a number: of a kind whose text stands as it is, a string or the octets that went over the wire, which nobody turns into text
before somebody reads it (an answer's last line end is taken off then; one without was broken off in its midst); of a kind with fields,
which are JSON, since what they hold may change later; or of a form, whose fields are known and whose text or base64 are octets of the wire.
And what. Long fields that a page has already are the number of the event that has them.

A page is a MessagePack array: the forms that it needs, how each event is told, in an octet, and then when and what each is.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import importlib
import itertools
import json
import operator
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

import msgspec

from portyard.commons.blanking import is_suspicious, masked
from portyard.commons.journal.model import KINDS, JournalEvent

PLACES: Final = 3
"""Of an event that is noted: when, how it is told, and what."""
_WITH_FIELDS: Final = 16
_FIRST_FORM: Final = 32
_MOST_FORMS: Final = 256 - _FIRST_FORM
TEXTS: Final = {kind: number for number, kind in enumerate(KINDS)}
"""How an event of a kind with nothing but a text is told."""
FIELDS: Final = {kind: _WITH_FIELDS + number for kind, number in TEXTS.items()}
"""The same of one with fields."""
OTHER: Final = _FIRST_FORM - 1
"""The same of one whose kind isn't one of KINDS: it stands before the fields, and NUL between them."""
LONG: Final = 200
"""Octets of fields from which on it is worth while to look whether a page has them already."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ARRAY: Final = b"\xdd"  # of up to 2**32 values, whose number follows
_encode = msgspec.json.Encoder(enc_hook=str).encode
_pack = msgspec.msgpack.Encoder(enc_hook=str).encode
_unpack: Final = msgspec.msgpack.Decoder(list[Any]).decode
_SHORT: Final = 16  # an array with fewer values has a head of one octet, one of fewer than 65,536 a head of three


class _Form(NamedTuple):
    """What a form's number stands for.

    Attributes:
        kind: Of the events.
        fields: The first of their fields as JSON. `octets` says how many were noted, and `text` ends with their number and themselves.
        skip: How many octets of the wire come before those that are meant.
        veiled: The first four of the others are a key, and those behind it were taken exclusive or with one of its octets in turn.
        binary: The octets aren't text: `base64` tells them.
        bare: `text` is the octets alone; where they aren't UTF-8, or have NUL among them, `base64` tells them.
        length: Where two octets tell how many were meant, of which these may be the first; 0 where these are all.
        room: Whose octets they are, where it takes a room's knowledge to tell them: see `_teller`. `text` is their only field.
        secrets: There may be secrets in the octets, which are blanked before they are written: see `blank`.
    """

    kind: str
    fields: bytes
    skip: int
    veiled: bool
    binary: bool = False
    bare: bool = False
    length: int = 0
    room: str = ""
    secrets: bool = False


_FORMS: Final[list[_Form]] = []
SECRETS: Final[set[int]] = set()
"""The forms in whose octets there may be secrets."""


def form(
    kind: str,
    fields: dict[str, object],
    *,
    skip: int = 0,
    veiled: bool = False,
    binary: bool = False,
    bare: bool = False,
    length: int = 0,
    room: str = "",
    secrets: bool = False,
) -> int:
    """A number by which this process's pens tell of events that differ in octets of the wire alone; for the arguments see `_Form`.

    For what there is a fixed and small number of: a form is never forgotten.
    """
    assert len(_FORMS) < _MOST_FORMS
    _FORMS.append(_Form(kind, as_json(fields), skip, veiled, binary, bare, length, room, secrets))
    number = _FIRST_FORM + len(_FORMS) - 1
    if secrets:
        SECRETS.add(number)
    return number


def as_json(fields: dict[str, object]) -> bytes:
    """An event's fields as JSON."""
    try:
        return _encode(fields)
    except (ValueError, OverflowError):  # half of a surrogate pair, which a lax decoder left, or a giant number
        return json.dumps(fields, default=_lax).encode()


def blank(noted: list[Any]) -> None:
    """Blank the secrets in noted octets of the forms of SECRETS.

    All are looked through at once: one by one among other work takes several times as long.
    """
    places = [place for place in range(PLACES - 1, len(noted), PLACES) if noted[place - 1] in SECRETS]
    if not is_suspicious(b"\n".join([noted[place] for place in places])):
        return
    for place in places:
        how, octets = noted[place - 1 : place + 1]
        if masked(octets) is not octets:
            kind, fields = formed(how, octets)
            noted[place - 1], noted[place] = FIELDS[kind], as_json(fields)


def fold(noted: list[Any], hows: bytearray, values: bytearray) -> None:
    """Add noted events to those of a page; the list of them is empty then."""
    told = noted[1::PLACES]
    del noted[1::PLACES]
    try:
        packed = _pack(noted)
    except ValueError:  # half of a surrogate pair in a text: JSON can tell of it
        for place, how in enumerate(told):
            if isinstance(text := noted[2 * place + 1], str):
                told[place], noted[2 * place + 1] = how + _WITH_FIELDS, as_json({"text": text})
        packed = _pack(noted)
    hows += bytes(told)
    values += packed[1 if len(noted) < _SHORT else 3 :]
    noted.clear()


def page(hows: bytearray, values: bytearray) -> bytes:
    """Events as one row's body: how they are told, and when and what."""
    forms = {how: _FORMS[how - _FIRST_FORM] for how in set(hows) if how >= _FIRST_FORM}
    return b"".join((_ARRAY, (2 + 2 * len(hows)).to_bytes(4, "big"), _pack(forms), _pack(hows), values))


def events(seq: int, body: bytes, after: int = 0, only: str | None = None) -> Iterator[JournalEvent]:
    """A page's events, the first of this number; those behind the one that is named, for to tell the others would cost as much.

    Args:
        seq: The first one's number.
        body: The page.
        after: The one behind which they are wanted.
        only: The kind that is wanted.
    """
    forms, hows, *values = _unpack(body)
    others = {how for how in set(hows) if how != OTHER and _kind(how, forms) != only} if only is not None else ()
    for number in range(max(after + 1 - seq, 0), len(hows)):
        how = hows[number]
        if how in others:
            continue
        at, what = values[2 * number : 2 * number + 2]
        if isinstance(what, int):
            what = values[2 * what + 1]
        kind, fields = _filled(_Form(*forms[how]), what) if how >= _FIRST_FORM else _event(how, what)
        yield JournalEvent(seq + number, _at(at), kind, fields)


def size_of(body: bytes) -> int:
    """How many events a page has."""
    return (int.from_bytes(body[1:5], "big") - 2) // 2


def _kind(how: int, forms: dict[int, Any]) -> str:
    return str(forms[how][0]) if how >= _FIRST_FORM else kind_of(how)


def kind_of(how: int) -> str:
    """The kind of the events that are told so."""
    if how >= _FIRST_FORM:
        return _FORMS[how - _FIRST_FORM].kind
    return "other" if how == OTHER else KINDS[how % _WITH_FIELDS]


def formed(how: int, octets: bytes) -> tuple[str, dict[str, object]]:
    """What a noter of this form, or of a kind, notes: the kind, and the fields."""
    return _filled(_FORMS[how - _FIRST_FORM], octets) if how >= _FIRST_FORM else _event(how, octets)


def _at(at: int | str) -> datetime:
    return datetime.fromisoformat(at) if isinstance(at, str) else _EPOCH + timedelta(microseconds=at // 1000)


def _event(how: int, what: str | bytes) -> tuple[str, dict[str, object]]:
    if isinstance(what, str):
        return kind_of(how), {"text": what}
    if how >= _WITH_FIELDS:
        named, _, fields = what.rpartition(b"\0")  # JSON has no such octet
        return named.decode() or kind_of(how), json.loads(fields)
    kind, text = kind_of(how), what.decode("utf-8", "backslashreplace")
    if kind == "command" or not text:
        return kind, {"text": text}
    shown: dict[str, object] = {"text": text.removesuffix("\r\n")}
    return kind, shown if text.endswith("\r\n") else {**shown, "broken_off": True}


def _filled(form: _Form, octets: bytes) -> tuple[str, dict[str, object]]:
    fields: dict[str, object] = json.loads(form.fields)
    if form.room:
        return form.kind, fields | {"text": _teller(form.room)(form.kind, octets)}
    told = int.from_bytes(octets[form.length : form.length + 2], "big")
    octets = octets[form.skip :]
    if form.veiled:
        octets = bytes(map(operator.xor, octets[4:], itertools.cycle(octets[:4])))
    size = fields["octets"] = told if form.length else len(octets)
    if form.bare:
        return form.kind, fields | text_or_base64(masked(octets) if form.secrets else octets)
    cut = "…" if size > len(octets) else ""
    octets = masked(octets)  # looked for by whoever reads: whoever noted it had no time to
    if not form.binary:
        fields["text"] = f"{fields['text']} {size} {octets.decode('utf-8', 'replace')}{cut}"
        return form.kind, fields
    fields["text"] = f"{fields['text']} {size}"
    if octets or not form.length:
        fields["base64"] = base64.b64encode(octets).decode()
    return form.kind, fields


@functools.cache
def _teller(room: str) -> Callable[[str, bytes], str]:
    """What makes text of a room's octets: `told(kind, octets)` of a module of its own, `portyard.<room>.core.transcripts`."""
    found: Callable[[str, bytes], str] = importlib.import_module(f"portyard.{room}.core.transcripts").told
    return found


def text_or_base64(octets: bytes) -> dict[str, object]:
    """The field that tells octets: `text` where they are text, else `base64`."""
    if b"\0" not in octets:
        with contextlib.suppress(UnicodeDecodeError):
            return {"text": octets.decode()}
    return {"base64": base64.b64encode(octets).decode()}


def _lax(value: object) -> object:
    """What JSON can show of a value that it can't hold."""
    if isinstance(value, datetime):
        return value.isoformat()
    return json.loads(bytes(value)) if isinstance(value, msgspec.Raw) else str(value)
