"""From where a peer asks: from the container network, or from the user's machine. Reads the kernel's routes.

A query from the host comes through Docker's published port and shows the bridge's gateway as its peer; that is the host asking.
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from portyard.commons.directory import Directory, Endpoint
from portyard.dns.core.zones import Place, View

ROUTES = Path("/proc/net/route")
LOOK_S = 0.05  # where the directory counts no changes, a look at it costs more than an answer: queries that come together share one

_GATEWAY_FLAG = 0x2  # RTF_GATEWAY of the kernel's route flags


@dataclass(frozen=True, slots=True)
class Network:
    """The networks that this machine or container stands in.

    Attributes:
        links: Networks whose members are reached directly.
        gateways: Addresses through which everybody else is.
    """

    links: tuple[ipaddress.IPv4Network, ...] = ()
    gateways: frozenset[ipaddress.IPv4Address] = frozenset()

    @classmethod
    def of(cls, table: str) -> Network:
        """The networks of a route table as Linux prints it: hexadecimal words of the machine's own octet order."""
        links, gateways = [], set()
        for line in table.splitlines()[1:]:
            _, destination, gateway, flags, _, _, _, mask, *_ = line.split()
            if int(flags, 16) & _GATEWAY_FLAG:
                gateways.add(_address(gateway))
            else:
                links.append(ipaddress.IPv4Network((_address(destination), str(_address(mask)))))
        return cls(tuple(links), frozenset(gateways))


class Views:
    """Chooses the view for a peer, and shows the directory as each view sees it.

    Args:
        directory: Where the services are.
        routes: The kernel's route table.
        now: Monotonic seconds.
    """

    def __init__(self, directory: Directory, routes: Path = ROUTES, now: Callable[[], float] = time.monotonic) -> None:
        self._directory = directory
        self._now = now
        self._look_at = float("-inf")
        self._generation: int | None = None
        self._network = Network.of(routes.read_text()) if routes.exists() else Network()
        self._seen: list[Endpoint] = []
        self._places: dict[View, tuple[Place, ...]] = {}

    def of(self, peer: str, service: str) -> View:
        """The view of a peer of ours.

        Args:
            peer: Its IP address.
            service: Our name, by which our own address is known.
        """
        self._look()
        ours = next((_parsed(endpoint.address) for endpoint in self._seen if endpoint.service == service), None)
        theirs = _parsed(peer)
        if theirs is None or ours is None or theirs.is_loopback or ours.is_loopback or theirs in self._network.gateways:
            return View.HOST
        near = any(theirs in link for link in self._network.links if theirs.version == link.version)
        return View.INSIDE if near or theirs == ours else View.HOST

    def places(self, view: View) -> tuple[Place, ...]:
        """Every service that is up, as the view reaches it; the same tuple while nothing moved."""
        self._look()
        if view not in self._places:
            self._places[view] = tuple(_places(self._seen, view))
        return self._places[view]

    def _look(self) -> None:
        generation = self._directory.generation
        if generation is None:
            if self._now() < self._look_at:
                return
            self._look_at = self._now() + LOOK_S
        elif generation == self._generation:
            return
        self._generation = generation
        endpoints = self._directory.all()
        if endpoints != self._seen:
            self._seen = endpoints
            self._places.clear()


def _places(endpoints: list[Endpoint], view: View) -> list[Place]:
    places = []
    for service in dict.fromkeys(endpoint.service for endpoint in endpoints):
        own = [endpoint for endpoint in endpoints if endpoint.service == service]
        inside = view is View.INSIDE
        addresses = [address for endpoint in own if (address := _parsed(_reached(endpoint, view))) is not None]
        ports = tuple((endpoint.port, endpoint.number if inside else endpoint.host_number) for endpoint in own)
        places.append(Place(service, tuple(dict.fromkeys(address.packed for address in addresses)), ports))
    return places


def _reached(endpoint: Endpoint, view: View) -> str:
    """The endpoint's address for a view; a host that is told by name has only the address that we bound, where that is loopback."""
    if view is View.INSIDE or (_parsed(endpoint.host) is None and _loopback(endpoint.address)):
        return endpoint.address
    return endpoint.host


def _loopback(address: str) -> bool:
    parsed = _parsed(address)
    return parsed is not None and parsed.is_loopback


def _parsed(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return None
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return mapped or parsed


def _address(word: str) -> ipaddress.IPv4Address:
    return ipaddress.IPv4Address(bytes.fromhex(word)[::-1])
