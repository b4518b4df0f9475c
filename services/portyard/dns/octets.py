"""What went over the wire, for captures: messages from their presentation in the journal (RFC 1035 §4, §5.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from portyard.commons.journal.export_octets import Recode
from portyard.commons.journal.model import JournalEvent
from portyard.dns.core.grammar import print_message
from portyard.dns.core.model import Message, Rcode, Record
from portyard.dns.core.presentation import data_of, name_of, query_of, type_of

_NO_ID = "from the journal's presentation: the id wasn't kept (zero stands for it), and names may have been compressed otherwise"


def recode(transport: str) -> Recode:
    """Queries' and replies' octets; over TCP a length stands before each (RFC 1035 §4.2.2)."""
    return _Names(transport)


class _Names:
    """Queries and replies from their presentation.

    Args:
        transport: Over TCP a length stands before each (RFC 1035 §4.2.2).
    """

    def __init__(self, transport: str) -> None:
        self._prefixed = transport == "tcp"
        self._asked = ""

    def __call__(self, event: JournalEvent) -> tuple[bytes, str] | None:
        text = str(event.fields.get("text", ""))
        try:
            if event.kind == "command":
                self._asked = text
                octets = print_message(query_of(text))
            else:
                octets = print_message(_reply(self._asked, text.splitlines()))
        except (ValueError, IndexError):
            return None  # not a whole message: it stays a note
        prefix = len(octets).to_bytes(2, "big") if self._prefixed else b""
        return prefix + octets, _NO_ID


def _reply(asked: str, lines: Sequence[str]) -> Message:
    outcome, *flags = lines[0].split()
    question = " ".join(word for word in asked.split() if not word.startswith("+"))
    message = query_of(" ".join([question, *(f"+{flag}" for flag in flags)]))
    sections: dict[str, list[Record]] = {"answer": [], "authority": [], "additional": []}
    for line in lines[1:]:
        section, _, record = line.partition(" ")
        sections[section].append(_record(record))
    return replace(
        message,
        response=True,
        rcode=Rcode[outcome].value if outcome in Rcode.__members__ else int(outcome.removeprefix("RCODE")),
        answers=tuple(sections["answer"]),
        authority=tuple(sections["authority"]),
        additional=tuple(sections["additional"]),
    )


def _record(text: str) -> Record:
    name, ttl, kind, data = text.split(" ", 3)
    number = type_of(kind)
    return Record(name_of(name), number, int(ttl), data_of(number, data))
