"""Sessions as packet captures: what is said where, under which port, and who closed.

What a room knows better than its journal's text says stands in a module of its own, `portyard.<room>.octets`, by any of four names:
`recode(transport)` gives a `Recode` where commands and replies aren't their text, `known(events, stored)` what the mail store has of gaps,
`beside(dialogue, events)` the connections that a session had besides its own, and `UNSHOWN` says what no capture shows.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Coroutine, Iterable, Sequence
from types import ModuleType

from portyard import __version__
from portyard.commons.card import Card, Port, TlsMode
from portyard.commons.journal.endings import Ending, ending_of
from portyard.commons.journal.export_octets import Recode, pieces
from portyard.commons.journal.export_pcapng import Dialogue, endpoint, pcapng
from portyard.commons.journal.export_stored import Known, Stored
from portyard.commons.journal.model import JournalEvent, SessionRecord

_CLOSERS = {
    Ending.CLIENT: "client",
    Ending.CLIENT_RESET: "client's reset",
    Ending.SERVER: "server",
    Ending.SERVER_RESET: "reset",
}
_OPENED = {"port": "", "peer": "127.0.0.1:49152", "local": "127.0.0.1:0"}


def capture(dialogues: Iterable[Dialogue]) -> bytes:
    """These dialogues as one pcapng file."""
    return pcapng(dialogues, f"Portyard {__version__}")


async def dialogues(
    record: SessionRecord, events: Sequence[JournalEvent], cards: Sequence[Card], stored: Stored
) -> list[Dialogue]:
    """A session as packets show it, and the connections that it had besides its own.

    Args:
        record: It.
        events: All that the journal has of it.
        cards: Every room's card.
        stored: Where octets are looked for that the journal didn't keep.
    """
    module = _octets(record.room)
    find: Callable[[Sequence[JournalEvent], Stored], Coroutine[None, None, Known]] | None = getattr(
        module, "known", None
    )
    beside: Callable[[Dialogue, Sequence[JournalEvent]], list[Dialogue]] | None = getattr(module, "beside", None)
    whole = dialogue(record, events, cards, await find(events, stored) if find else None)
    return [whole, *(beside(whole, events) if beside else ())]


def dialogue(
    record: SessionRecord, events: Sequence[JournalEvent], cards: Sequence[Card], known: Known | None = None
) -> Dialogue:
    """A session's own connection.

    Args:
        record: The session.
        events: All that the journal has of it.
        cards: Every room's card.
        known: What the journal didn't keep of it.
    """
    opened = _OPENED | next((event.fields for event in events if event.kind == "opened"), {"peer": record.peer})
    number, transport = _plain_port(record.service, str(opened["port"]), cards)
    closed = next((event for event in events if event.kind == "closed"), None)
    module = _octets(record.room)
    recode: Callable[[str], Recode] | None = getattr(module, "recode", None)
    unshown = getattr(module, "UNSHOWN", "")
    return Dialogue(
        client=endpoint(str(opened["peer"])),
        server=endpoint(str(opened["local"]), number),
        transport=transport,
        opened_at=record.opened_at,
        pieces=tuple(pieces(events, recode(transport) if recode else None, known)),
        closed_at=closed.at if closed else None,
        closer=_CLOSERS[ending_of(events) or Ending.CLIENT],
        title=f"Portyard's journal: session {record.id} of {record.service}, sandbox {record.sandbox}; "
        f"it took place at {opened['port'] or 'a port'} {opened['local']}{unshown and f'; {unshown}'}",
    )


def _plain_port(service: str, port: str, cards: Sequence[Card]) -> tuple[int, str]:
    """The port by which the service's plaintext is known, and the transport."""
    ports: list[Port] = [p for card in cards for each in card.services if each.name == service for p in each.ports]
    transport = next((each.transport for each in ports if each.name == port), "tcp")
    plain = [p for p in ports if p.transport == transport and p.tls is not TlsMode.IMPLICIT]
    return (plain[0].known or plain[0].inside if plain else 0), transport


def _octets(room: str) -> ModuleType | None:
    """What a room knows of its octets."""
    name = f"portyard.{room}.octets"
    return importlib.import_module(name) if importlib.util.find_spec(name) is not None else None
