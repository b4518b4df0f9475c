"""Sessions as packet captures: what is said where, under which port, and who closed.

A room whose commands and replies stand in octets that aren't their text says so in a module of its own, `portyard.<room>.octets`, whose
`recode(transport)` gives a `Recode`.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterable, Sequence

from portyard import __version__
from portyard.commons.card import Card, Port, TlsMode
from portyard.commons.journal.export_octets import Recode, pieces
from portyard.commons.journal.export_pcapng import Dialogue, endpoint, pcapng
from portyard.commons.journal.model import JournalEvent, SessionRecord
from portyard.commons.wire.reset import Reset

_OPENED = {"port": "", "peer": "127.0.0.1:49152", "local": "127.0.0.1:0"}


def capture(dialogues: Iterable[Dialogue]) -> bytes:
    """These dialogues as one pcapng file."""
    return pcapng(dialogues, f"Portyard {__version__}")


def dialogue(record: SessionRecord, events: Sequence[JournalEvent], cards: Sequence[Card]) -> Dialogue:
    """A session as packets show it.

    Args:
        record: It.
        events: All that the journal has of it.
        cards: Every room's card.
    """
    opened = _OPENED | next((event.fields for event in events if event.kind == "opened"), {"peer": record.peer})
    number, transport = _plain_port(record.service, str(opened["port"]), cards)
    closed = next((event for event in events if event.kind == "closed"), None)
    return Dialogue(
        client=endpoint(str(opened["peer"])),
        server=endpoint(str(opened["local"]), number),
        transport=transport,
        opened_at=record.opened_at,
        pieces=tuple(pieces(events, _recode(record.room, transport))),
        closed_at=closed.at if closed else None,
        closer=_closer(str(closed.fields.get("reason", "")), events) if closed else "client",
        title=f"Portyard's journal: session {record.id} of {record.service}, sandbox {record.sandbox}; "
        f"it took place at {opened['port'] or 'a port'} {opened['local']}",
    )


def _plain_port(service: str, port: str, cards: Sequence[Card]) -> tuple[int, str]:
    """The port by which the service's plaintext is known, and the transport."""
    ports: list[Port] = [p for card in cards for each in card.services if each.name == service for p in each.ports]
    transport = next((each.transport for each in ports if each.name == port), "tcp")
    plain = [p for p in ports if p.transport == transport and p.tls is not TlsMode.IMPLICIT]
    return (plain[0].known or plain[0].inside if plain else 0), transport


def _closer(reason: str, events: Sequence[JournalEvent]) -> str:
    if reason == "aborted by us" or "reset" in reason or any(map(_is_reset, events)):
        return "reset"
    return "client" if reason in ("", "peer closed") else "server"


def _is_reset(event: JournalEvent) -> bool:
    """Whether the wire broke the connection off here; where an event has a verb, that was only asked for."""
    fields = event.fields
    elsewhere = "verb" in fields or fields.get("channel") == "data"  # FTP's data connection isn't the session's
    return event.kind == "fault" and not elsewhere and fields.get("does") == [Reset.name]


def _recode(room: str, transport: str) -> Recode | None:
    name = f"portyard.{room}.octets"
    if importlib.util.find_spec(name) is None:
        return None
    found: Recode = importlib.import_module(name).recode(transport)
    return found
