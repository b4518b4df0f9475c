"""What went over the wire in a session, as far as the journal kept it: its events as octets and gaps, in their order.

The journal keeps lines, heads and the beginnings of bodies, secrets blanked. Where octets weren't kept there is a gap of that many, and a
note that says so; nothing is made up. Knows events by their fields, and no protocol: who knows one can give its `Recode`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from portyard.commons.journal.export_bodies import content_behind, frame_of
from portyard.commons.journal.export_piece import SECRET_SIZE, Piece, blanked, gap_of, kept_by, octets_of
from portyard.commons.journal.model import JournalEvent
from portyard.commons.turns import go_on

Recode = Callable[[JournalEvent], tuple[bytes, str] | None]
"""A command's or reply's octets and a note, where they aren't its text; None where the event stands for no octets."""

_COUNTED: Final = re.compile(r"«(?:message, |literal, )?(\d+) (?:octets|bytes)»")
_BLOCK: Final = re.compile(r"«message, (\d+) octets»")
_ANNOUNCED: Final = re.compile(r"\{(\d+)(\+?)\}$")  # so many octets come next, with no line end of their own
_ESCAPED: Final = re.compile(rb"\\x([0-9a-f]{2})")  # an octet that isn't UTF-8
_CHUNK: Final = re.compile(r"BDAT \d+", re.IGNORECASE)  # as do those of a chunk
_END: Final = b"\r\n.\r\n"  # of a block that was counted: its last line's end and the lone dot
_NO_BODY: Final = re.compile(r"\S+ (?:1\d\d|204|304)\b")
_NOTE_LIMIT: Final = 500  # characters
_CUT_AT: Final = 4096 - 4  # a text at least as long may have been cut where nothing says that it wasn't


def pieces(
    events: Sequence[JournalEvent], recode: Recode | None = None, known: Mapping[int, Sequence[Piece]] | None = None
) -> Iterator[Piece]:
    """The session's octets and gaps; a note of what is no octets goes with what comes next, or stands alone at the end.

    Args:
        events: All of them.
        recode: Where commands and replies aren't their text.
        known: What stands in place of some events, by their `seq`.
    """
    notes: list[str] = []
    said = afresh = False
    last: datetime | None = None
    for event, found in _Reader(events, recode, known or {}).read():
        last = event.at
        if not found:
            notes += [note(event)] if event.kind not in ("opened", "closed") else []
            afresh = afresh or (said and _is_handshake(event))
        for piece in found:
            yield replace(piece, notes=(*notes, *piece.notes), afresh=afresh)
            notes, said, afresh = [], True, False
    if notes and last is not None:
        yield Piece(last, True, b"", notes=tuple(notes))


def _is_handshake(event: JournalEvent) -> bool:
    return event.kind == "tls" and event.fields.get("step") == "established"


def note(event: JournalEvent) -> str:
    """What a comment says of an event that is no octets."""
    plain = {key: value for key, value in event.fields.items() if isinstance(value, str | int | float) and value != ""}
    if event.kind == "fault":
        plain["does"] = str(event.fields.get("does"))
    return f"{event.kind}: {' '.join(f'{key}={value}' for key, value in plain.items())}"[:_NOTE_LIMIT]


class _Reader:
    """Reads events with what was said before in mind."""

    def __init__(
        self, events: Sequence[JournalEvent], recode: Recode | None, known: Mapping[int, Sequence[Piece]]
    ) -> None:
        self._events = events
        self._recode = recode
        self._known = known
        self._asked = ""  # the last command
        self._literal: int | None = None  # the size of what comes next, where that is no line
        self._awaited: int | None = None  # the same, where it comes only if the server wants it
        self._methods: list[str] = []  # of requests that wait for their answer

    def read(self) -> Iterator[tuple[JournalEvent, list[Piece]]]:
        """Each event with its pieces."""
        merged: set[int] = set()
        for place, event in enumerate(self._events):
            go_on()
            if place in merged:
                continue
            found = self._body_of(place)
            merged.add(found)
            before, literal = self._literals(place)
            if event.seq in self._known:
                yield event, list(self._known[event.seq])
            elif literal is not None:
                yield event, [literal]
            else:
                yield event, [*before, *self._pieces(event, self._events[found] if found else None)]
            if event.kind == "command":
                self._asked = str(event.fields.get("text", ""))

    def _literals(self, place: int) -> tuple[list[Piece], Piece | None]:
        """What is known of literals (RFC 3501 §4.3) where this event stands: one that was dropped before it, or that it is one."""
        event = self._events[place]
        text = str(event.fields.get("text", ""))
        if event.kind == "reply":
            self._literal = self._awaited if text == "+" or text.startswith("+ ") else None  # else nobody sends it
        if event.kind != "command" or self._recode is not None:
            return [], None
        size, self._literal = self._literal, None
        literal = None if size is None else _literal(event, text, size, ends=self._is_last(place))
        if literal is not None:
            return [], literal
        dropped = size if self._awaited is None else None
        self._awaited = None
        if (announced := _ANNOUNCED.search(text)) is not None:
            if announced[2]:
                self._literal = int(announced[1])  # RFC 7888 §4: nobody waits for leave
            else:
                self._awaited = int(announced[1])
        return ([Piece(event.at, False, b"", dropped, gap_of(dropped, "a literal"))] if dropped else []), None

    def _is_last(self, place: int) -> bool:
        """Whether the server answers what the client says here."""
        rest = range(place + 1, len(self._events))  # a slice would be a copy for each literal
        behind = (self._events[at].kind for at in rest)
        return next((kind == "reply" for kind in behind if kind in ("command", "reply", "closed")), False)

    def _body_of(self, place: int) -> int:
        """The place of the event that tells of the body behind a head, which stands before the next one; 0 where none does."""
        head = self._events[place]
        if head.kind not in ("command", "reply") or "headers" not in head.fields:
            return 0
        direction = "in" if head.kind == "command" else "out"
        for at in range(place + 1, len(self._events)):
            event = self._events[at]
            if event.kind in ("command", "reply"):
                break
            if event.kind == "data" and event.fields.get("direction") == direction and _is_body(event):
                return at
        return 0

    def _pieces(self, event: JournalEvent, body: JournalEvent | None) -> Iterator[Piece]:
        fields = event.fields
        if event.kind == "data":
            yield from _data(event)
        elif event.kind == "greeting":
            yield Piece(event.at, fields.get("role") != "client", octets_of(f"{fields.get('text', '')}\r\n"))
        elif event.kind not in ("command", "reply"):
            return
        elif self._recode is not None:
            recoded = self._recode(event)
            if recoded is not None:
                yield Piece(event.at, event.kind == "reply", recoded[0], notes=(recoded[1],) if recoded[1] else ())
        elif isinstance(fields.get("headers"), list):
            yield self._head(event, body)
        elif event.kind == "command":
            yield from self._command(event)
        else:
            yield from _reply(event)

    def _head(self, event: JournalEvent, body: JournalEvent | None) -> Piece:
        """A request's or response's line and header fields, and its body as far as it was kept."""
        text, pairs = str(event.fields.get("text", "")), event.fields["headers"]
        assert isinstance(pairs, list)
        kept = octets_of("\r\n".join([text, *(f"{name}: {value}" for name, value in pairs)]) + "\r\n\r\n")
        ours = event.kind == "reply"
        told = event.fields.get("octets")
        method = self._methods.pop(0) if ours and self._methods else ""
        if not ours:
            self._methods.append(text.partition(" ")[0])
            told = 0
        if method == "HEAD" or (ours and _NO_BODY.match(text)):
            return Piece(event.at, ours, kept)
        content = content_behind({str(name).lower(): str(value) for name, value in pairs}, told, body)
        return Piece(event.at, ours, kept + content.kept, content.more, content.notes)

    def _command(self, event: JournalEvent) -> Iterator[Piece]:
        text = str(event.fields.get("text", ""))
        if (block := _BLOCK.fullmatch(text)) is None:
            yield Piece(event.at, False, octets_of(f"{text}\r\n"), notes=blanked(text))
            return
        size = int(block[1])
        if _CHUNK.match(self._asked):
            yield Piece(event.at, False, b"", size, gap_of(size, "a chunk"))
            return
        unkept = f"a message of {size} octets, as it was before dots were doubled, wasn't kept; its end mark follows"
        yield Piece(event.at, False, b"", max(size - 2, 0), (unkept,))
        yield Piece(event.at, False, _END)


def _is_body(event: JournalEvent) -> bool:
    """Whether an event tells of a message's body; one from the client by itself does, as those of older journals."""
    fields = event.fields
    return "opcode" not in fields and (fields.get("part") == "body" or fields.get("direction") == "in")


def _literal(event: JournalEvent, text: str, size: int, *, ends: bool) -> Piece | None:
    """A literal of the client's; None where this is what followed one that the server wanted none of.

    Args:
        event: What is a literal, unless the server dropped it.
        text: Its text.
        size: Octets that were announced.
        ends: Whether the command ends here.
    """
    if (counted := _COUNTED.fullmatch(text)) is not None:
        return Piece(event.at, False, b"", int(counted[1]), gap_of(int(counted[1]), "a literal"))
    octets = octets_of(text)
    kept = next((each for each in (octets, _ESCAPED.sub(_unescaped, octets)) if len(each) == size), None)
    if kept is None and ends and SECRET_SIZE.fullmatch(text) is None:
        return None
    return Piece(event.at, False, octets if kept is None else kept, notes=blanked(text))


def _unescaped(escaped: re.Match[bytes]) -> bytes:
    return bytes.fromhex(escaped[1].decode())


def _reply(event: JournalEvent) -> Iterator[Piece]:
    text = str(event.fields.get("text", ""))
    text = text if "\r\n" in text else text.replace("\n", "\r\n")
    left = event.fields.get("unkept")
    unkept = left if isinstance(left, int) else 0
    start = 0
    for counted in _COUNTED.finditer(text):
        size = int(counted[1])
        yield Piece(event.at, True, octets_of(text[start : counted.start()]), size, gap_of(size, "what comes here"))
        start = counted.end() + (2 if text[counted.end() :].startswith("\r\n") else 0)  # the journal's own line end
    rest = text[start:]
    if unkept:
        end = end_of(event, unkept)
        gap = unkept - len(end)
        yield Piece(event.at, True, octets_of(rest), gap, gap_of(gap, "what comes here" if end else "the rest"))
        if end:
            yield Piece(event.at, True, end)
        return
    whole = len(octets_of(text)) < _CUT_AT
    notes = () if whole else ("the journal may have cut this reply: what followed was neither kept nor counted",)
    line_end = "" if event.fields.get("broken_off") else "\r\n"
    if rest or start == 0:
        yield Piece(event.at, True, octets_of(rest + line_end), notes=(*notes, *blanked(rest)))


def end_of(event: JournalEvent, unkept: int) -> bytes:
    """The last of the octets that a reply's text doesn't show, so many of them, as far as the journal has them."""
    return octets_of(str(event.fields.get("end", "")))[-unkept:] if unkept else b""


def _data(event: JournalEvent) -> Iterator[Piece]:
    """A frame, a body by itself, or octets as they stand; other data events carry none."""
    fields = event.fields
    direction, octets = fields.get("direction"), fields.get("octets")
    if direction not in ("in", "out") or not isinstance(octets, int):
        return
    ours = direction == "out"
    if "opcode" in fields:
        yield frame_of(event, ours, octets)
        return
    kept = kept_by(event)
    gap = octets - len(kept)
    yield Piece(event.at, ours, kept, gap, gap_of(gap, "a body"))
