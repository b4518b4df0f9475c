"""Where a domain's mail goes, asked of the testbed's own DNS room and of nobody else (RFC 5321 §5.1)."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Protocol

from portyard.commons.directory import Directory
from portyard.smtp.core.model import PeerError, reply

if TYPE_CHECKING:
    import dns.message
    import dns.rdatatype

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
    """Asks the endpoints `dns-udp` and, when an answer is cut, `dns-tcp` of the directory."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._asked: dict[str, asyncio.Task[Sequence[tuple[str, Sequence[str]]]]] = {}

    async def exchanges(self, domain: str) -> Sequence[tuple[str, Sequence[str]]]:
        """See Resolver. Those who ask for the same domain at the same time share an answer; nothing is kept."""
        task = self._asked.get(domain)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._find(domain))
            self._asked[domain] = task
            task.add_done_callback(lambda _: self._asked.pop(domain, None))
        return await asyncio.shield(task)

    async def _find(self, domain: str) -> Sequence[tuple[str, Sequence[str]]]:
        found = await self._query(domain, "MX")
        hosts = [domain]  # no MX: the domain itself is the host (RFC 5321 §5.1)
        if found:
            order = sorted((int(preference), exchange) for preference, exchange in map(str.split, found))
            hosts = [exchange.rstrip(".") for _, exchange in order]
            if hosts == [""]:
                raise PeerError(NO_MAIL)  # RFC 7505 §3
        servers = [(host, addresses) for host in hosts if host and (addresses := await self._addresses(host))]
        if not servers:
            raise PeerError(NO_ADDRESS)
        return servers

    async def _addresses(self, host: str) -> Sequence[str]:
        try:
            return [*await self._query(host, "A"), *await self._query(host, "AAAA")]
        except RefusedError:
            return ()
        except PeerError as error:
            if error.reply.transient:
                raise
            return ()

    async def _query(self, name: str, kind: str) -> list[str]:
        """The data of a name's records of one type, CNAMEs followed, as text."""
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
                return _data_of(answer, dns.rdatatype.from_text(kind))
            case code:
                raise PeerError(reply(451, "4.4.3", f"DNS answers {dns.rcode.to_text(code)}"))

    async def _ask(self, question: dns.message.Message) -> dns.message.Message:
        import dns.asyncquery
        import dns.flags

        udp, tcp = self._directory.find("dns", "dns-udp"), self._directory.find("dns", "dns-tcp")
        if udp is None:
            raise PeerError(NO_DNS)
        answer = await dns.asyncquery.udp(question, udp.address, TIMEOUT_S, udp.number, ignore_unexpected=True)
        if answer.flags & dns.flags.TC and tcp is not None:  # RFC 2181 §9
            return await dns.asyncquery.tcp(question, tcp.address, TIMEOUT_S, tcp.number)
        return answer


def load_dns() -> None:
    """Import the DNS library; done in a thread after the start, so that neither the start nor the first message waits for it."""
    importlib.import_module("dns.asyncquery")


def _data_of(answer: dns.message.Message, kind: dns.rdatatype.RdataType) -> list[str]:
    return [item.to_text() for rrset in answer.answer if rrset.rdtype == kind for item in rrset]
