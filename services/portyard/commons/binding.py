"""Binds ports before anything else is loaded: a connection that comes meanwhile waits in the kernel."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from portyard.commons.authority import authority
from portyard.commons.card import Card, Port, Service
from portyard.commons.hints import did_you_mean
from portyard.commons.holders import holder
from portyard.commons.settings import SettingError

BACKLOG = 4096  # connections that wait in the kernel while a room's library is still being imported


class PortTakenError(Exception):
    """A port can't be bound; the message names it and the remedy."""


@dataclass(slots=True)
class Bound:
    """A port that is bound.

    Attributes:
        card: The room's.
        service: Whose.
        port: Its entry on the card.
        sock: The listening (or UDP) socket, non-blocking.
    """

    card: Card
    service: Service
    port: Port
    sock: socket.socket

    @property
    def number(self) -> int:
        """The port number that was bound."""
        return int(self.sock.getsockname()[1])


def bind(card: Card, service: Service, port: Port, address: str, number: int) -> Bound:
    """Bind a port, and listen on it when it is TCP's.

    Raises:
        PortTakenError: The address can't be bound.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    kind = socket.SOCK_DGRAM if port.transport == "udp" else socket.SOCK_STREAM
    sock = socket.socket(family, kind)
    try:
        if port.transport == "tcp":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address, number))
        if port.transport == "tcp":
            sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise PortTakenError(_explain(error, service, port, address, number)) from None
    sock.setblocking(False)
    return Bound(card, service, port, sock)


def check_numbers(chosen: Mapping[str, int], cards: Iterable[Card]) -> None:
    """Hold the settings' numbers for single ports against what ports there are.

    Raises:
        SettingError: No port has such a name.
    """
    known = [port.name for card in cards for service in card.services for port in service.ports]
    for name, number in chosen.items():
        if name not in known:
            near = did_you_mean(name, [*known, "offset"])
            variable = f"PORTYARD_PORT_{name.upper().replace('-', '_')}"
            raise SettingError(
                f"port_overrides.{name} = {number} ({variable}): no such port{near}; known are {', '.join(known)}"
            )


def _explain(error: OSError, service: Service, port: Port, address: str, number: int) -> str:
    what = f"{service.name}: cannot listen on {authority(address, number)} ({port.name})"
    remedy = (
        f"set PORTYARD_PORT_{port.name.upper().replace('-', '_')} to another number, or PORTYARD_PORT_OFFSET for all"
    )
    if error.errno == errno.EADDRINUSE:
        who = holder(number, port.transport)
        taken = f"the port is taken by {who}; stop it" if who else "the port is taken; stop what uses it"
        return f"{what}: {taken}, or {remedy}"
    if error.errno == errno.EACCES:
        return f"{what}: ports below 1024 need a privilege; {remedy}"
    return f"{what}: {error.strerror}; set PORTYARD_LISTEN to an address of this machine"
