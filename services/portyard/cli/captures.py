"""Sessions as packet captures: the ports by which dissectors know the rooms' protocols, and rooms whose octets aren't their text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from portyard import __version__
from portyard.commons.card import Port, TlsMode
from portyard.commons.journal.export_octets import Recode, pieces
from portyard.commons.journal.export_pcapng import Dialogue, endpoint, pcapng
from portyard.commons.journal.model import JournalEvent
from portyard.dns.core.grammar import print_message
from portyard.dns.core.model import Message, Rcode, Record
from portyard.dns.core.presentation import data_of, name_of, query_of, type_of
from portyard.rooms import cards

_NO_ID = "from the journal's presentation: the id wasn't kept (zero stands for it), and names may have been compressed otherwise"
_OPENED = {"service": "", "port": "", "peer": "127.0.0.1:49152", "local": "127.0.0.1:0"}


def capture(sessions: Sequence[Mapping[str, Any]]) -> bytes:
    """These sessions, with their events as the API gives them, as one pcapng file."""
    return pcapng([_dialogue(session) for session in sessions], f"Portyard {__version__}")


def _dialogue(session: Mapping[str, Any]) -> Dialogue:
    events = [
        JournalEvent(event["seq"], datetime.fromisoformat(event["at"]), event["kind"], event["fields"])
        for event in session["events"]
    ]
    opened = _OPENED | next((event.fields for event in events if event.kind == "opened"), {"peer": session["peer"]})
    number, transport = _plain_port(session["service"], str(opened["port"]))
    closed = next((event for event in events if event.kind == "closed"), None)
    return Dialogue(
        client=endpoint(str(opened["peer"])),
        server=endpoint(str(opened["local"]), number),
        transport=transport,
        opened_at=datetime.fromisoformat(session["opened_at"]),
        pieces=tuple(pieces(events, _recode(session["room"], transport))),
        closed_at=closed.at if closed else None,
        closer=_closer(str(closed.fields.get("reason", ""))) if closed else "client",
        title=f"Portyard's journal: session {session['id']} of {session['service']}, sandbox {session['sandbox']}; "
        f"it took place at {opened['port'] or 'a port'} {opened['local']}",
    )


def _plain_port(service: str, port: str) -> tuple[int, str]:
    """The standard port at which the service begins in plaintext, and the transport."""
    ports: list[Port] = [p for card in cards() for each in card.services if each.name == service for p in each.ports]
    transport = next((each.transport for each in ports if each.name == port), "tcp")
    plain = [p for p in ports if p.transport == transport and p.tls is not TlsMode.IMPLICIT]
    return (plain[0].inside if plain else 0), transport


def _closer(reason: str) -> str:
    if reason == "aborted by us" or "reset" in reason:
        return "reset"
    return "client" if reason in ("", "peer closed") else "server"


def _recode(room: str, transport: str) -> Recode | None:
    match room:
        case "dns":
            return _Names(transport)
        case "ssh":
            return lambda event: None  # what was said in channels stood in no octets of its own
    return None


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
