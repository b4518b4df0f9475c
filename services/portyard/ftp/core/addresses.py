"""Addresses of data connections: as commands name them, as replies name them, and which of ours a peer can reach."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass

PRIVILEGED = 1024  # ports below it are never connected to (RFC 2577 §3)

# RFC 959 §5.3.2: <host-port> ::= <host-number>,<port-number>; each <number> ::= any decimal integer 1 through 255 (0 is in use too)
_HOST_PORT = re.compile(r"\s*(\d{1,3}),(\d{1,3}),(\d{1,3}),(\d{1,3}),(\d{1,3}),(\d{1,3})\s*", re.ASCII)


class BadAddressError(ValueError):
    """An argument of PORT or EPRT that can't be read; the reply is 501."""


class UnsupportedProtocolError(ValueError):
    """EPRT names a network protocol that we don't speak here; the reply is 522 (RFC 2428 §2)."""


@dataclass(frozen=True, slots=True)
class HostPort:
    """Where a data connection goes.

    Attributes:
        host: IP address.
        port: 0 to 65535.
    """

    host: str
    port: int


def parse_port(argument: str) -> HostPort:
    """PORT's argument.

    Raises:
        BadAddressError: It isn't six numbers of one octet each.
    """
    match = _HOST_PORT.fullmatch(argument)
    numbers = [int(group) for group in match.groups()] if match else []
    if not match or max(numbers) > 255:
        raise BadAddressError(argument)
    return HostPort(".".join(str(number) for number in numbers[:4]), numbers[4] * 256 + numbers[5])


def parse_eprt(argument: str, *, ipv6: bool) -> HostPort:
    """EPRT's argument: `<d><net-prt><d><net-addr><d><tcp-port><d>` (RFC 2428 §2).

    Args:
        argument: As it came.
        ipv6: Whether the control connection runs over IPv6; the data connection does too.

    Raises:
        BadAddressError: It doesn't have that form.
        UnsupportedProtocolError: The protocol isn't the control connection's.
    """
    parts = argument.split(argument[0]) if argument else []
    if len(parts) != 5 or parts[0] or parts[4]:
        raise BadAddressError(argument)
    protocol, host, port = parts[1:4]
    if not (protocol.isdecimal() and port.isdecimal()):
        raise BadAddressError(argument)
    if protocol != ("2" if ipv6 else "1"):
        raise UnsupportedProtocolError(argument)
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        raise BadAddressError(argument) from None
    if address.version != (6 if ipv6 else 4) or int(port) > 65535:
        raise BadAddressError(argument)
    return HostPort(str(address), int(port))


def refusal(target: HostPort, peer: str) -> str | None:
    """Why a data connection to `target` is refused, as a reply; None when it isn't (the FTP bounce attack, RFC 2577 §3)."""
    if not same_host(target.host, peer):
        return "501 Data connections go to your own address only."
    if target.port < PRIVILEGED:
        return "501 Data connections don't go to ports below 1024."
    return None


def same_host(one: str, other: str) -> bool:
    """Whether two texts are one IP address; an IPv4 address mapped into IPv6 is the IPv4 address."""
    return plain(one) == plain(other)


def plain(address: str) -> str:
    """An address in its canonical text, unmapped; text that is no address is returned as it is."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return str(mapped or parsed)


def passive_reply(address: HostPort) -> str:
    """PASV's reply; the parentheses are what most clients look for (RFC 1123 §4.1.2.6)."""
    numbers = [*address.host.split("."), str(address.port // 256), str(address.port % 256)]
    return f"227 Entering passive mode ({','.join(numbers)})."


def extended_passive_reply(port: int) -> str:
    """EPSV's reply (RFC 2428 §3)."""
    return f"229 Entering extended passive mode (|||{port}|)."


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where we stand in the network.

    Attributes:
        advertise: The address by which the user's machine reaches us.
        contained: Whether published ports stand between us and the user's machine.
        gateways: Our default gateways: with published ports, the user's machine shows as one of them.
        networks: The networks that we are in.
    """

    advertise: str
    contained: bool = False
    gateways: frozenset[str] = frozenset()
    networks: tuple[ipaddress.IPv4Network, ...] = ()

    def passive_address(self, local: str, peer: str) -> str:
        """The address of ours that PASV names to a peer whose control connection came to `local`."""
        local, peer = plain(local), plain(peer)
        if _is_loopback(local) or (self._near(peer) and not (self.contained and peer in self.gateways)):
            return local
        if not self.contained and _is_loopback(self.advertise):
            return local  # nobody set it, and a peer from elsewhere can't use it
        return self.advertise

    def _near(self, peer: str) -> bool:
        return any(ipaddress.ip_address(peer) in network for network in self.networks)


def read_routes(table: Iterable[str]) -> tuple[frozenset[str], tuple[ipaddress.IPv4Network, ...]]:
    """Default gateways and own networks from the lines of Linux's `/proc/net/route`."""
    gateways: set[str] = set()
    networks: list[ipaddress.IPv4Network] = []
    for line in table:
        fields = line.split()
        if len(fields) < 8 or fields[0] == "Iface":
            continue
        destination, gateway, mask = (_host_order(fields[index]) for index in (1, 2, 7))
        if gateway != "0.0.0.0":  # noqa: S104 - compared
            if mask == "0.0.0.0":  # noqa: S104 - compared
                gateways.add(gateway)
        else:
            networks.append(ipaddress.IPv4Network((destination, mask)))
    return frozenset(gateways), tuple(network for network in networks if network.prefixlen)


def _host_order(text: str) -> str:
    """`/proc/net/route` prints an address as the number that a little-endian machine reads from its four octets."""
    return str(ipaddress.IPv4Address(bytes.fromhex(text)[::-1]))


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"
