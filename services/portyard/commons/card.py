"""What a room says of itself: its services, their ports, and where its code is. Read by serving, the CLI, the console and compose's test.

A room's `card.py` holds one `CARD` and imports nothing heavy, so that every port can be bound before a protocol library is loaded.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from portyard.commons.scenario.vocabulary import Vocabulary

HOST_OFFSET = 3000  # host port = 3000 + the standard port, out of the privileged range and easy to remember


class TlsMode(StrEnum):
    """How a port meets TLS."""

    NONE = "none"
    UPGRADE = "upgrade"
    IMPLICIT = "implicit"


@dataclass(frozen=True, slots=True)
class Port:
    """One listener.

    Attributes:
        name: The scheme or service name that endpoints show ("pop3", "pop3s", "submission" …); unique in the whole testbed.
        inside: The standard port, used inside a container.
        host: The port on the user's machine while the offset is 3000.
        tls: How the port meets TLS.
        transport: "tcp" or "udp".
        known: The port by which packet analysers know what is spoken here, where that isn't `inside`.
    """

    name: str
    inside: int
    host: int
    tls: TlsMode = TlsMode.NONE
    transport: str = "tcp"
    known: int = 0


@dataclass(frozen=True, slots=True)
class Service:
    """One process in compose.yaml; a room has one or more.

    Attributes:
        name: Its name in compose and its host name ("mta").
        role: What a room with several roles calls it ("msa"); else the room's name.
        ports: Its listeners.
        summary: One line for endpoint tables.
        journalled: False where connections are no sessions: the testbed's own steering isn't what it watches.
        passive: Whether its sessions have data connections that come to further ports, the setting `passive_ports`.
        overload: What a connection beyond the limit is told before it is closed, in the protocol's own words; empty for nothing.
    """

    name: str
    role: str
    ports: tuple[Port, ...]
    summary: str
    overload: bytes = b""
    journalled: bool = True
    passive: bool = False


@dataclass(frozen=True, slots=True)
class Card:
    """A room.

    Attributes:
        name: The room's name, its folder's name.
        services: The processes it runs as.
        factory: "module:callable" of `async (yard, service) -> Handler`; imported only after the ports are bound.
        capabilities: What it announces, for tables and docs.
        vocabulary: What rules may ask of it; None for a room that obeys none.
        quirks: "module:type" of what its personas may say, imported only when one is looked for; empty for a room that has none.
    """

    name: str
    services: tuple[Service, ...]
    factory: str
    capabilities: tuple[str, ...] = ()
    vocabulary: Vocabulary | None = None
    quirks: str = ""


def standard(
    name: str, number: int, tls: TlsMode = TlsMode.NONE, *, host: int | None = None, transport: str = "tcp"
) -> Port:
    """A port whose host number follows the rule."""
    return Port(name, number, HOST_OFFSET + number if host is None else host, tls, transport)
