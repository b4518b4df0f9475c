"""Talk to text, and a journal's events to a talk."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from portyard.commons.journal.endings import Ending, ending_of
from portyard.commons.journal.model import JournalEvent, SessionRecord
from portyard.commons.talk.model import CLOSE, CLOSED, SKIP, TLS, Talk, TalkLine

_ANNOUNCED: Final = re.compile(r"\{\d+(\+)?\}$")
_PLAINLY: Final = ("", "peer closed", "closed by us")  # reasons that say no more than who closed
_LINE_END: Final = "\r\n"
_RUN: Final = re.compile(r"\{(?=.\*\d+\})", re.DOTALL)


def print_talk(talk: Talk) -> str:
    """The talk as text that `parse_talk` reads back to the same value."""
    numbered = len(talk.sessions) > 1
    out = [f"{key}: {value}".rstrip() for key, value in talk.headers.items()]
    out += [_print_line(line, numbered) for line in talk.lines]
    return "\n".join(out) + "\n"


def _print_line(line: TalkLine, numbered: bool) -> str:
    prefix = f"{line.session} " if numbered or line.session != 1 else ""
    return f"{prefix}{line.step.value}: {line.text}" if line.text else f"{prefix}{line.step.value}:"


def journal_talk(session: SessionRecord, events: Sequence[JournalEvent]) -> str:
    """A session of the journal as a talk: what was said line by line, the rest as comments."""
    return JournalTalk(session).lines(events)


class JournalTalk:
    """The same as its events are read, some at a time.

    Args:
        session: Whose.
    """

    def __init__(self, session: SessionRecord) -> None:
        self._session = session
        self._begun = False
        self._literals = _Literals()
        self._ends: list[JournalEvent] = []  # what says how it ended

    def lines(self, events: Sequence[JournalEvent]) -> str:
        """What the next events add."""
        out = [] if self._begun else self._beginning(events)
        self._ends += (event for event in events if event.kind in ("fault", "closed"))
        for event in events:
            if self._literals.take(event):
                out.append(f"C~: {_exactly(str(event.fields.get('text', '')))}")
            elif event.kind == "closed":
                out += _end(event, ending_of(self._ends))
            else:
                out += _event_lines(event)
        return "".join([f"{line}\n" for line in out])

    def _beginning(self, events: Sequence[JournalEvent]) -> list[str]:
        session, self._begun = self._session, True
        comment = f"# {session.opened_at.isoformat()} {session.service} from {session.peer}"
        return [_headers(session, events), comment]


def _headers(session: SessionRecord, events: Sequence[JournalEvent]) -> str:
    found = [f"room: {session.room}"]
    if events and events[0].kind == "opened" and (port := events[0].fields.get("port")):
        found.append(f"port: {port}")
    if session.account is not None:
        found.append(f"account: {session.account}")
    return "  ".join(found)


class _Literals:
    """Knows which of a client's words are literals (RFC 3501 §4.3): octets with no line end of their own."""

    def __init__(self) -> None:
        self._announced = False
        self._next = False

    def take(self, event: JournalEvent) -> bool:
        """Whether this event, the next of its session, is a literal."""
        text = str(event.fields.get("text", ""))
        if event.kind == "reply":
            self._next = self._next or (self._announced and text.startswith("+ "))  # else it was refused
            self._announced = False
            return False
        if event.kind != "command":
            return False
        literal, found = self._next, _ANNOUNCED.search(text)
        self._announced = found is not None
        self._next = found is not None and bool(found[1])  # RFC 7888 §4: nobody waits for leave
        return literal


def _event_lines(event: JournalEvent) -> Iterable[str]:
    text = str(event.fields.get("text", ""))
    match event.kind:
        case "command":
            return [f"C: {_escaped(line)}" for line in text.split("\n")] + _head(event, "C")
        case "reply" if "unkept" in event.fields:
            return _cut(event, text)
        case "reply" | "greeting":
            return [f"S: {_escaped(line)}" for line in text.replace("\r\n", "\n").split("\n")] + _head(event, "S")
        case "data" if event.fields.get("part") == "body":
            return _body(event, text)
        case "tls" if event.fields.get("step") == "established":
            return [f"C: {TLS}", _comment(event)]
    return [_comment(event)]


def _cut(event: JournalEvent, text: str) -> list[str]:
    """An answer that isn't shown whole: its first lines, any lines, and the last one."""
    *lines, begun = text.replace("\r\n", "\n").split("\n")
    shown = [f"S: {_escaped(line)}" for line in lines] + ([f"S: {_escaped(begun)}$"] if begun else [])
    shown.append(f"# {event.fields['unkept']} octets more")
    match event.fields.get("end"):
        case "":  # the line that is cut was the last, or one stood behind those that aren't
            return shown if begun else [*shown, "S: $"]
        case str(end):
            return [*shown, f"S: {SKIP}", f"S: {_escaped(end.split(_LINE_END)[-2])}"]
    return [*shown, f"S: {SKIP}"]


def _end(closed: JournalEvent, ending: Ending | None) -> list[str]:
    """Who closed, and where that isn't all the reason."""
    by_client = ending in (Ending.CLIENT, Ending.CLIENT_RESET)
    word = f"C: {CLOSE}" if by_client else f"S: {CLOSED}"
    return [word] if closed.fields.get("reason") in _PLAINLY else [_comment(closed), word]


def _head(event: JournalEvent, who: str) -> list[str]:
    """The fields behind a head's first line, and the empty line that ends it."""
    pairs = event.fields.get("headers")
    if not isinstance(pairs, list):
        return []
    return [*(f"{who}: {_escaped(f'{name}: {value}')}" for name, value in pairs), f"{who}:"]


def _body(event: JournalEvent, text: str) -> list[str]:
    """A body: as lines where it is text, and a word about what isn't shown of it."""
    fields = event.fields
    who = "C" if fields.get("direction") == "in" else "S"
    lines = text.replace("\r\n", "\n").removesuffix("\n").split("\n") if text else []
    out = [f"{who}: {_escaped(line)}".rstrip() for line in lines]
    if "base64" in fields:
        out.append(f"# body of {fields.get('octets')} octets, in base64: {fields['base64']}")
    elif not text:
        out.append(f"# body of {fields.get('octets')} octets")
    if "unkept" in fields:
        out.append(f"# {fields['unkept']} octets more")
    return out


def _comment(event: JournalEvent) -> str:
    told = ((key, told_value(value)) for key, value in event.fields.items() if key != "begun")  # what no line can hold
    fields = " ".join(f"{key}={_escaped(value)}" for key, value in told if value)
    return f"# {event.kind} {fields}".rstrip()


def told_value(value: object) -> str:
    """A field's value as a person says it; of a list of numbers, which name nothing by themselves, how many."""
    match value:
        case bool():
            return "yes" if value else "no"
        case None:
            return ""
        case float():
            return f"{value:.6f}".rstrip("0").rstrip(".")
        case list() if value and all(isinstance(each, int) for each in value):
            return str(len(value))
        case list():
            return ",".join(told_value(each) for each in value)
    return str(value)


def _escaped(text: str) -> str:
    """A line that stays one line, whatever it held; a dollar stays a dollar."""
    shown = text.replace("$", "$$")
    if shown.isprintable():  # nearly always, and much quicker than to look at each character
        return shown
    return "".join(c if c.isprintable() or c == "\t" else c.encode("unicode_escape").decode() for c in shown)


def _exactly(text: str) -> str:
    """Octets of the client's that are no line, as `raw_octets` reads them."""
    shown = (
        text.replace("\\", "\\\\").replace("\r", "\\r").replace("\n", "\\n").replace("\t", "\\t").replace("\0", "\\0")
    )
    if not shown.isprintable():
        shown = "".join(c if c.isprintable() else "".join(f"\\x{octet:02x}" for octet in c.encode()) for c in shown)
    return _RUN.sub(r"\\x7b", shown).replace("$", "$$")
