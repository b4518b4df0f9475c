"""Talk to text, and a journal's events to a talk."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from portyard.commons.journal.model import JournalEvent, SessionRecord
from portyard.commons.talk.model import CLOSE, CLOSED, TLS, Talk, TalkLine


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
    out = [f"room: {session.room}", f"# {session.opened_at.isoformat()} {session.service} from {session.peer}"]
    for event in events:
        out += _event_lines(event)
    return "\n".join(out) + "\n"


def _event_lines(event: JournalEvent) -> Iterable[str]:
    text = str(event.fields.get("text", ""))
    match event.kind:
        case "command":
            return [f"C: {_escaped(line)}" for line in text.split("\n")]
        case "reply" | "greeting":
            return [f"S: {_escaped(line)}" for line in text.replace("\r\n", "\n").split("\n")]
        case "tls" if event.fields.get("step") == "established":
            return [f"C: {TLS}", _comment(event)]
        case "closed":
            word = f"C: {CLOSE}" if event.fields.get("reason") == "peer closed" else f"S: {CLOSED}"
            return [word]
    return [_comment(event)]


def _comment(event: JournalEvent) -> str:
    fields = " ".join(f"{key}={_escaped(str(value))}" for key, value in event.fields.items())
    return f"# {event.kind} {fields}".rstrip()


def _escaped(text: str) -> str:
    """A line that stays one line, whatever it held; a dollar stays a dollar."""
    shown = text.replace("$", "$$")
    return "".join(c if c.isprintable() or c == "\t" else c.encode("unicode_escape").decode() for c in shown)
