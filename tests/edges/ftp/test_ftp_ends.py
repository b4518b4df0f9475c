"""The journal and captures have both ends of data connections, the one that no reply tells included."""

from __future__ import annotations

import asyncio
import ftplib
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from portyard.commons.journal.export_sessions import dialogues
from portyard.console.stored import StoredMail
from portyard.ftp.card import CARD
from tests.support.asyncio_tests import run
from tests.support.ftp import LIMIT_S, open_ftp

End = tuple[str, int]


def errand(client: ftplib.FTP, *, passive: bool) -> Iterator[tuple[End, End]]:
    """An upload, a listing and a download: the client's and the server's end of each data connection."""
    client.set_pasv(passive)
    for command, upload in (("STOR a", b"hello"), ("NLST", b""), ("RETR a", b"")):
        with client.transfercmd(command) as data:
            client_end, server_end = data.getsockname()[:2], data.getpeername()[:2]
            if upload:
                data.sendall(upload)
            else:
                while data.recv(100):
                    pass
            if isinstance(data, ssl.SSLSocket):
                data.unwrap()
        client.voidresp()
        yield client_end, server_end


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.parametrize("fault", [False, True], ids=["direct", "relayed"])
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("passive", [True, False], ids=["passive", "active"])
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_both_ends(host: str, passive: bool, tls: bool, fault: bool, tmp_path: Path) -> None:
    if host == "::1" and not has_ipv6():
        pytest.skip("this machine has no IPv6 loopback")

    async def go() -> None:
        async with open_ftp(tmp_path, listen=host) as ftp:
            if fault:
                await ftp.rule("data_connect", slice={"octets": 2, "direction": "down"})
            context, ends = ftp.served.client_context(), list[tuple[End, End]]()
            context.check_hostname = False

            def talk() -> None:
                client = ftplib.FTP_TLS(context=context, timeout=LIMIT_S) if tls else ftplib.FTP(timeout=LIMIT_S)
                with client:
                    client.connect(host, ftp.served.port("ftp"))
                    client.login("alice", "alice-secret")
                    if isinstance(client, ftplib.FTP_TLS):
                        client.prot_p()
                    client.voidcmd("TYPE I")
                    ends.extend(errand(client, passive=passive))

            await asyncio.to_thread(talk)
            await ftp.yard.journal.flush()
            key, told = ("peer_port", 0) if passive else ("local_port", 1)
            transfers = [event.fields for event in await ftp.events("transfer")]
            assert [fields[key] for fields in transfers] == [each[told][1] for each in ends]
            (record,) = await ftp.yard.journal.sessions("default")
            events = await ftp.yard.journal.events(record.id)
            _, *beside = await dialogues(record, events, [CARD], StoredMail(ftp.yard))
            assert [(str(each.client[0]), each.client[1]) for each in beside] == [client for client, _ in ends]
            shown = [(str(each.server[0]), each.server[1]) for each in beside]
            assert shown == [server if passive else (server[0], 20) for _, server in ends]
            assert passive or f"port was {ends[0][1][1]}: 20" in beside[0].title

    run(go())
