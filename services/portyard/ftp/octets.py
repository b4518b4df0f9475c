"""What went over the wire, for captures: the data connections, each a connection of its own beside the control connection."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from portyard.commons.journal.export_octets import note
from portyard.commons.journal.export_pcapng import Address, Dialogue, endpoint
from portyard.commons.journal.export_piece import Piece, kept_of
from portyard.commons.journal.model import JournalEvent
from portyard.commons.wire.reset import Reset
from portyard.ftp.core.addresses import BadAddressError, HostPort, UnsupportedProtocolError, parse_eprt, parse_port

_HOST_PORT: Final = re.compile(r"\d{1,3}(?:,\d{1,3}){5}", re.ASCII)
_EXTENDED: Final = re.compile(r"\(\|\|\|(\d{1,5})\|\)", re.ASCII)
_MOMENT: Final = timedelta(microseconds=1)
_DATA_PORT: Final = 20  # a server's own, by default (RFC 959 §5.2): analysers know it


def beside(control: Dialogue, events: Sequence[JournalEvent]) -> list[Dialogue]:
    """The session's data connections that carried a transfer, as far as the journal knows them."""
    return list(_Reader(control).read(events))


@dataclass(slots=True)
class _Reader:
    """Reads events with what was said before in mind.

    Attributes:
        control: The control connection.
        asked: The last command.
        where: Where the next data connection goes, and whether it is the client who connects.
        begun: When the preliminary reply went out (RFC 959 §4.2).
        said: The last other reply, and when.
        notes: What is known of the connection that is coming to be.
        broken: Whether it was broken off by a fault.
    """

    control: Dialogue
    asked: str = ""
    where: tuple[Address, int] | None = None
    passive: bool = True
    begun: datetime | None = None
    said: datetime | None = None
    notes: list[str] = field(default_factory=list)
    broken: bool = False

    def read(self, events: Sequence[JournalEvent]) -> Iterator[Dialogue]:
        """The connections in their order."""
        for event in events:
            if event.kind == "command":
                self.asked = str(event.fields.get("text", ""))
            elif event.kind == "reply":
                self._hear(event)
            elif event.kind == "transfer":
                if self.where is not None:
                    yield self._connection(event, self.where)
                self.where = self.begun = None
                self.broken, self.notes = False, []
            elif event.fields.get("channel") == "data":
                self.notes.append(note(event))
                self.broken = self.broken or event.fields.get("does") == [Reset.name]

    def _hear(self, event: JournalEvent) -> None:
        """A reply may say where the next data connection goes, that it begins, or that it ended."""
        text = str(event.fields.get("text", ""))
        code, (verb, _, argument) = text[:3], self.asked.partition(" ")
        if code in ("125", "150"):
            self.begun = event.at
            return
        self.said = event.at
        told: HostPort | None = None
        if code == "227" and (passive := _HOST_PORT.search(text, 3)):
            told = _port(passive[0])
        elif code == "229" and (extended := _EXTENDED.search(text)):
            told = HostPort(str(self.control.server[0]), int(extended[1]))
        elif code == "200" and verb.upper() == "PORT":
            told = _port(argument)
        elif code == "200" and verb.upper() == "EPRT":
            told = _extended_port(argument, ipv6=self.control.client[0].version == 6)
        if told is not None:
            self.where, self.passive = endpoint(f"{told.host}:0", told.port), code in ("227", "229")
            self.notes.clear()

    def _connection(self, event: JournalEvent, where: tuple[Address, int]) -> Dialogue:
        """The connection of a transfer: what it carried is counted, not kept."""
        fields, own = event.fields, self.control
        told = fields.get("peer_port" if self.passive else "local_port")
        port = told if isinstance(told, int) else 0
        client, server = ((own.client[0], port), where) if self.passive else (where, (own.server[0], _DATA_PORT))
        size, ours = int(str(fields.get("bytes", 0))), fields.get("direction") == "send"
        ended = self.said if self.said is not None and self.said <= event.at else event.at
        opened = self.begun or event.at - timedelta(seconds=float(str(fields.get("seconds", 0))))
        ended = max(opened, ended - _MOMENT)  # it closes, then the reply comes (RFC 959 §5.1)
        what = " ".join(str(fields[key]) for key in ("command", "path") if key in fields)
        begun = fields.get("begun")
        kept = kept_of(begun, size) if isinstance(begun, dict) else b""
        gap = size - len(kept)
        notes = [f"{'the rest of ' if kept else ''}what {what} carried wasn't kept: {gap} octets"] if gap else []
        notes += [] if fields.get("complete") else ["it was broken off"]
        notes += ["«*» stands for each octet of a secret"] if "«secret" in str(begun) else []
        closer = "reset" if self.broken else "server" if ours else "client"
        session = own.title.partition(";")[0]
        title = f"{session}; data connection of {what}{self._stand_in(port)}"
        pieces = (Piece(ended, ours, kept, gap, (*notes, *self.notes)),)
        return Dialogue(client, server, "tcp", opened, pieces, ended, closer, title)

    def _stand_in(self, port: int) -> str:
        """What stands for the connecting end's port, where it isn't shown: this one, or 0 where it isn't known."""
        if self.passive:
            return "" if port else "; the client's port wasn't kept: 0 stands for it"
        truth = f"was {port}" if port else "wasn't kept"
        return f"; the server's port {truth}: {_DATA_PORT}, by which analysers know it, stands for it"


def _port(text: str) -> HostPort | None:
    try:
        return parse_port(text)
    except BadAddressError:
        return None


def _extended_port(text: str, *, ipv6: bool) -> HostPort | None:
    try:
        return parse_eprt(text, ipv6=ipv6)
    except (BadAddressError, UnsupportedProtocolError):
        return None
