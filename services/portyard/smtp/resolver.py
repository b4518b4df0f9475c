"""Where a domain's mail goes, asked of the testbed's own DNS room and of nobody else (RFC 5321 §5.1)."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import socket
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final, Protocol

from portyard.commons.directory import Directory, Endpoint
from portyard.commons.insiders import bound_towards, end_of
from portyard.commons.scenario.engine import Insiders
from portyard.smtp.core.model import PeerError, reply

if TYPE_CHECKING:
    import dns.message
    import dns.rdatatype

Servers = Sequence[tuple[str, Sequence[str]]]

KEPT: Final = 10_000
"""Domains whose servers are known at once."""
TIMEOUT_S: Final = 5.0
"""Seconds for an answer; the DNS room is near."""
NO_DNS: Final = reply(451, "4.4.3", "the testbed's DNS service isn't up")
NO_DOMAIN: Final = reply(550, "5.1.2", "the recipient's domain doesn't exist")
NO_MAIL: Final = reply(556, "5.1.10", "the recipient's domain takes no mail")
NO_ADDRESS: Final = reply(550, "5.4.4", "the recipient's domain has no server that could be reached")


class RefusedError(Exception):
    """The DNS room knows nothing of the domain and says so (REFUSED)."""


class Resolver(Protocol):
    """Finds the servers of a domain."""

    async def exchanges(self, domain: str) -> Sequence[tuple[str, Sequence[str]]]:
        """Host names with their addresses, in the order in which to try them.

        Raises:
            PeerError: There are none; its reply says whether trying again makes sense.
            RefusedError: The DNS room doesn't answer for the domain.
        """


class DnsResolver:
    """Asks the endpoints `dns-udp` and, when an answer is cut, `dns-tcp` of the directory.

    Args:
        directory: Where the DNS room is.
        insiders: Where our ends are noted, so that rules don't take us for somebody from outside.
        state: A value that is another one whenever the DNS room might answer otherwise, and whether that can be trusted: then an
            answer is kept as long as the value stays.
    """

    def __init__(
        self,
        directory: Directory,
        insiders: Insiders | None = None,
        state: Callable[[], tuple[object, bool]] = lambda: (None, False),
    ) -> None:
        self._directory = directory
        self._insiders: Insiders = set() if insiders is None else insiders
        self._state = state
        self._known_in: object | None = None
        self._known: dict[str, Servers] = {}
        self._asked: dict[tuple[object, str], asyncio.Task[Servers]] = {}

    async def exchanges(self, domain: str) -> Servers:
        """See Resolver. Those who ask for the same domain at the same time share an answer."""
        state, kept = self._state()  # before the question: what changes in between is asked again
        if state != self._known_in or len(self._known) >= KEPT:
            self._known, self._known_in = {}, state
        if kept and domain in self._known:
            return self._known[domain]
        servers = await self._shared((state, domain))
        if kept and state == self._known_in:
            self._known[domain] = servers
        return servers

    async def _shared(self, key: tuple[object, str]) -> Servers:
        task = self._asked.get(key)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._find(key[1]))
            self._asked[key] = task
            task.add_done_callback(lambda _: self._asked.pop(key, None))
        return await asyncio.shield(task)

    async def _find(self, domain: str) -> Servers:
        found, known = await self._query(domain, "MX")
        hosts = [domain]  # no MX: the domain itself is the host (RFC 5321 §5.1)
        if found:
            order = sorted((int(preference), exchange) for preference, exchange in map(str.split, found))
            hosts = [exchange.rstrip(".") for _, exchange in order]
            if hosts == [""]:
                raise PeerError(NO_MAIL)  # RFC 7505 §3
        servers = [
            (host, addresses)
            for host in hosts
            if host and (addresses := known.get(host.lower()) or await self._addresses(host))
        ]
        if not servers:
            raise PeerError(NO_ADDRESS)
        return servers

    async def _addresses(self, host: str) -> Sequence[str]:
        try:
            return [*(await self._query(host, "A"))[0], *(await self._query(host, "AAAA"))[0]]
        except RefusedError:
            return ()
        except PeerError as error:
            if error.reply.transient:
                raise
            return ()

    async def _query(self, name: str, kind: str) -> tuple[list[str], dict[str, list[str]]]:
        """The data of a name's records of one type, CNAMEs followed, as text; and the addresses of hosts that came along."""
        import dns.exception
        import dns.message
        import dns.name
        import dns.rcode
        import dns.rdatatype

        try:
            qname = dns.name.from_unicode(name.rstrip(".") + ".", idna_codec=dns.name.IDNA_2003)
            question = dns.message.make_query(qname, kind, use_edns=0, payload=1232)
            answer = await self._ask(question)
        except (dns.name.NameTooLong, dns.name.LabelTooLong, dns.name.EmptyLabel, UnicodeError):
            raise PeerError(NO_DOMAIN) from None
        except (dns.exception.DNSException, OSError) as error:
            raise PeerError(reply(451, "4.4.3", f"DNS: {error or type(error).__name__}")) from error
        match answer.rcode():
            case dns.rcode.NXDOMAIN:
                raise PeerError(NO_DOMAIN)
            case dns.rcode.REFUSED:
                raise RefusedError(name)
            case dns.rcode.NOERROR:
                return _data_of(answer, dns.rdatatype.from_text(kind)), _along(answer)
            case code:
                raise PeerError(reply(451, "4.4.3", f"DNS answers {dns.rcode.to_text(code)}"))

    async def _ask(self, question: dns.message.Message) -> dns.message.Message:
        import dns.flags
        import dns.message

        udp, tcp = self._directory.find("dns", "dns-udp"), self._directory.find("dns", "dns-tcp")
        if udp is None:
            raise PeerError(NO_DNS)
        answer = await self._by_udp(question, udp)
        if answer.flags & dns.flags.TC and tcp is not None:  # RFC 2181 §9
            return await self._by_tcp(question, tcp)
        return answer

    async def _by_udp(self, question: dns.message.Message, server: Endpoint) -> dns.message.Message:
        import dns.message

        loop = asyncio.get_running_loop()
        async with asyncio.timeout(TIMEOUT_S):
            with self._socket(server, socket.SOCK_DGRAM) as sock:
                await loop.sock_connect(sock, (server.address, server.number))
                await loop.sock_sendall(sock, question.to_wire())
                while True:
                    answer = dns.message.from_wire(await loop.sock_recv(sock, 65535), ignore_trailing=True)
                    if question.is_response(answer):
                        return answer

    async def _by_tcp(self, question: dns.message.Message, server: Endpoint) -> dns.message.Message:
        import dns.message

        async with asyncio.timeout(TIMEOUT_S):
            with self._socket(server, socket.SOCK_STREAM) as sock:
                await asyncio.get_running_loop().sock_connect(sock, (server.address, server.number))
                reader, writer = await asyncio.open_connection(sock=sock)
                try:
                    writer.write(question.to_wire(prepend_length=True))  # RFC 1035 §4.2.2
                    (octets,) = struct.unpack("!H", await reader.readexactly(2))
                    return dns.message.from_wire(await reader.readexactly(octets))
                finally:
                    writer.close()

    @contextlib.contextmanager
    def _socket(self, server: Endpoint, kind: socket.SocketKind) -> Iterator[socket.socket]:
        """A socket towards a server of the testbed, which knows it for ours."""
        with bound_towards(server.address, server.number, kind) as sock:
            end = end_of(sock)
            self._insiders.add(end)
            try:
                yield sock
            finally:
                self._insiders.discard(end)


def load_dns() -> None:
    """Import the DNS library; done in a thread after the start, so that neither the start nor the first message waits for it."""
    importlib.import_module("dns.message")
    importlib.import_module("dns.rdtypes.ANY.MX")
    importlib.import_module("dns.rdtypes.IN.A")
    importlib.import_module("dns.rdtypes.IN.AAAA")


def _data_of(answer: dns.message.Message, kind: dns.rdatatype.RdataType) -> list[str]:
    return [item.to_text() for rrset in answer.answer if rrset.rdtype == kind for item in rrset]


def _along(answer: dns.message.Message) -> dict[str, list[str]]:
    """The addresses of the additional section by their hosts' names (RFC 1035 §3.3.9), IPv4 first."""
    found: dict[str, list[str]] = {}
    for kind in ("A", "AAAA"):
        for rrset in answer.additional:
            if rrset.rdtype.name == kind:
                host = rrset.name.to_text(omit_final_dot=True).lower()
                found.setdefault(host, []).extend(item.to_text() for item in rrset)
    return found
