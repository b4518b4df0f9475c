"""Whole errands of stock clients, the same for both engines: each takes a target and either succeeds or raises."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ftplib
import imaplib
import io
import poplib
import smtplib
import ssl
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import aiohttp
import asyncssh
import dns.message
import dns.query
import dns.rdatatype
import pytest
import socketio

from tests.support.control import Console

PASSWORD = "errand-secret"
LIMIT_S = 60


@dataclass(frozen=True, slots=True)
class Target:
    """A running testbed.

    Attributes:
        port: A port's number on this machine by its name.
        ca_file: The CA's certificate.
        name: An account of the errand's own: local part of portyard.test, with `PASSWORD`.
    """

    port: Callable[[str], int]
    ca_file: str
    name: str

    @property
    def address(self) -> str:
        return f"{self.name}@portyard.test"

    @property
    def console(self) -> Console:
        return Console(self.port("console"))

    def context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.ca_file)


def mail_comes_through(target: Target) -> None:
    """Submitted with STARTTLS, heard by an IDLEing session, read by IMAP, fetched and deleted by POP3."""
    client = imaplib.IMAP4("localhost", target.port("imap"), timeout=LIMIT_S)
    client.starttls(target.context())
    client.login(target.address, PASSWORD)
    assert client.select("INBOX")[1] == [b"0"]
    client.send(b"idle IDLE\r\n")
    assert client.readline().startswith(b"+ ")
    with smtplib.SMTP("localhost", target.port("submission"), timeout=LIMIT_S) as sender:
        sender.starttls(context=target.context())
        sender.login(target.address, PASSWORD)
        sender.sendmail(target.address, [f"{target.name}+tag@portyard.test"], "Subject: errand\r\n\r\n.dots\r\n..\r\n")
    assert client.readline() == b"* 1 EXISTS\r\n"
    client.send(b"DONE\r\n")
    while not client.readline().startswith(b"idle OK"):
        pass
    kind, data = client.fetch("1", "(ENVELOPE BODY.PEEK[TEXT])")
    assert kind == "OK"
    assert data[0][1] == b".dots\r\n..\r\n"
    client.logout()
    maildrop = poplib.POP3_SSL("localhost", target.port("pop3s"), context=target.context(), timeout=LIMIT_S)
    maildrop.user(target.name)
    maildrop.pass_(PASSWORD)
    assert maildrop.retr(1)[1][-2:] == [b".dots", b".."]
    maildrop.dele(1)
    maildrop.quit()


def implicit_submission_and_plain_helo(target: Target) -> None:
    """Submissions on 465; an old client's HELO at the MTA; LMTP at the MDA."""
    with smtplib.SMTP_SSL("localhost", target.port("submissions"), context=target.context(), timeout=LIMIT_S) as sender:
        sender.login(target.name, PASSWORD)
        sender.sendmail(target.address, [target.address], "Subject: one\r\n\r\n")
    with smtplib.SMTP("localhost", target.port("smtp"), timeout=LIMIT_S) as sender:
        sender.helo("old.client.test")
        sender.sendmail("stranger@elsewhere.test", [target.address], "Subject: two\r\n\r\n")
    with smtplib.LMTP("localhost", target.port("lmtp"), timeout=LIMIT_S) as sender:
        sender.sendmail("stranger@elsewhere.test", [target.address], "Subject: three\r\n\r\n")
    came = target.console.wait(3, to=target.address)
    assert {message["subject"] for message in came} == {"one", "two", "three"}


def any_domain_is_captured(target: Target) -> None:
    """Mail to a domain that nobody owns makes its account; the default password opens it."""
    recipient = f"{target.name}@faraway.example"
    with smtplib.SMTP("localhost", target.port("submission"), timeout=LIMIT_S) as sender:
        sender.login(target.address, PASSWORD)
        sender.sendmail(target.address, [recipient], "Subject: far\r\n\r\n")
    (message,) = target.console.wait(1, to=recipient)
    assert message["account"] == recipient
    client = imaplib.IMAP4_SSL("localhost", target.port("imaps"), ssl_context=target.context(), timeout=LIMIT_S)
    client.login(f"default/{recipient}", "portyard")
    assert client.select("INBOX")[1] == [b"1"]
    client.logout()


class ReusedFtps(ftplib.FTP_TLS):
    """FTPS as most clients speak it: data connections resume the control connection's session."""

    def ntransfercmd(self, cmd: str, rest: int | str | None = None) -> tuple[ssl.SSLSocket, int | None]:
        connection, size = ftplib.FTP.ntransfercmd(self, cmd, rest)
        session = self.sock.session  # type: ignore[union-attr]
        return self.context.wrap_socket(connection, server_hostname="localhost", session=session), size


@contextlib.contextmanager
def explicit_ftps(target: Target) -> Iterator[ftplib.FTP_TLS]:
    client = ReusedFtps(context=target.context(), timeout=LIMIT_S)
    client.connect("localhost", target.port("ftp"))
    client.host = "localhost"
    try:
        client.login(target.address, PASSWORD)
        client.prot_p()
        yield client
    finally:
        client.close()


def one_file_by_every_way(target: Target) -> None:
    """Uploaded by FTPS, read by SFTP and HTTP; written by SFTP, read by plain FTP."""
    cargo = bytes(range(256)) * 4096
    with explicit_ftps(target) as client:
        client.mkd("hold")
        client.storbinary("STOR hold/cargo.bin", io.BytesIO(cargo))
    token = base64.b64encode(f"{target.address}:{PASSWORD}".encode()).decode()
    for scheme in ("http", "https"):
        request = urllib.request.Request(
            f"{scheme}://localhost:{target.port(scheme)}/files/{target.name}/hold/cargo.bin",
            headers={"Authorization": f"Basic {token}"},
        )
        context = target.context() if scheme == "https" else None
        with urllib.request.urlopen(request, timeout=LIMIT_S, context=context) as answer:
            assert answer.read() == cargo
    assert asyncio.run(read_and_write_by_sftp(target)) == cargo
    got: list[bytes] = []
    with ftplib.FTP(timeout=LIMIT_S) as plain:
        plain.connect("localhost", target.port("ftp"))
        plain.login(target.name, PASSWORD)
        plain.retrbinary("RETR hold/by-sftp.txt", got.append)
        assert sorted(plain.nlst("hold")) in (["by-sftp.txt", "cargo.bin"], ["hold/by-sftp.txt", "hold/cargo.bin"])
    assert b"".join(got) == b"written by SFTP\n"


async def read_and_write_by_sftp(target: Target) -> bytes:
    async with (
        asyncssh.connect(
            "localhost",
            target.port("ssh"),
            username=target.address,
            password=PASSWORD,
            known_hosts=None,
            client_keys=None,
            config=None,
        ) as connection,
        connection.start_sftp_client() as sftp,
    ):
        async with sftp.open("/hold/by-sftp.txt", "w") as file:
            await file.write("written by SFTP\n")
        async with sftp.open("/hold/cargo.bin", "rb") as file:
            return bytes(await file.read())


def the_shell_stays_inside(target: Target) -> None:
    """Commands work on the account's own files; the host's are out of reach."""

    async def go() -> None:
        async with asyncssh.connect(
            "localhost",
            target.port("ssh"),
            username=target.name,
            password=PASSWORD,
            known_hosts=None,
            client_keys=None,
            config=None,
        ) as connection:
            done = await connection.run("echo ahoy > note.txt; cat note.txt; pwd; exit 3")
            assert (done.stdout, done.exit_status) == ("ahoy\n/\n", 3)
            outside = await connection.run("cat /etc/passwd ../../../../etc/passwd")
            assert outside.exit_status == 1
            assert "root:" not in str(outside.stdout)

    asyncio.run(go())


def http_answers(target: Target) -> None:
    """Plain and over TLS, HTTP tells a client what it sent."""

    async def go() -> None:
        async with aiohttp.ClientSession() as session:
            for scheme in ("http", "https"):
                url = f"{scheme}://localhost:{target.port(scheme)}/anything?tide=high"
                async with session.post(url, json={"a": [1]}, ssl=target.context()) as answer:
                    told = await answer.json()
                    assert (told["args"], told["json"], told["url"]) == ({"tide": "high"}, {"a": [1]}, url)

    asyncio.run(go())


def websockets_echo_broadcast_and_deny(target: Target) -> None:
    """Echo with compression over TLS, a room of two, and upgrades refused."""

    async def go() -> None:
        async with aiohttp.ClientSession() as session:
            base = f"wss://localhost:{target.port('wss')}"
            async with session.ws_connect(f"{base}/echo", ssl=target.context(), compress=15) as echo:
                await echo.send_str("ahoy " * 1000)
                assert await echo.receive_str() == "ahoy " * 1000
                await echo.close(code=1000)
                assert echo.close_code == 1000
            room = f"ws://localhost:{target.port('ws')}/room/{target.name}"
            async with session.ws_connect(room) as one, session.ws_connect(room) as other:
                await one.send_str("to all")
                assert await other.receive_str() == "to all"
            for status in (401, 403):
                with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                    await session.ws_connect(f"ws://localhost:{target.port('ws')}/deny/{status}")
                assert refused.value.status == status

    asyncio.run(go())


def socket_io_acknowledges(target: Target) -> None:
    """Socket.IO's echo answers by acknowledgement."""

    async def go() -> None:
        async with socketio.AsyncSimpleClient(request_timeout=LIMIT_S) as client:
            await client.connect(f"http://localhost:{target.port('ws')}", wait_timeout=LIMIT_S)
            assert await client.call("echo", {"tide": "high"}) == {"tide": "high"}

    asyncio.run(go())


def names_are_known(target: Target) -> None:
    """MX by UDP, SRV by TCP, and a domain that nobody owns, all as the user's machine sees them."""
    for ask, number in ((dns.query.udp, target.port("dns-udp")), (dns.query.tcp, target.port("dns-tcp"))):
        query = dns.message.make_query("portyard.test", dns.rdatatype.MX)
        answer = ask(query, "127.0.0.1", port=number, timeout=LIMIT_S)
        assert "mta.portyard.test." in answer.answer[0].to_text()
    query = dns.message.make_query("_imaps._tcp.portyard.test", dns.rdatatype.SRV)
    (record,) = dns.query.udp(query, "127.0.0.1", port=target.port("dns-udp"), timeout=LIMIT_S).answer[0]
    assert record.port == target.port("imaps")
    query = dns.message.make_query("imap.portyard.test", dns.rdatatype.A)
    (record,) = dns.query.udp(query, "127.0.0.1", port=target.port("dns-udp"), timeout=LIMIT_S).answer[0]
    assert record.address == "127.0.0.1"
    query = dns.message.make_query("nobody.example", dns.rdatatype.MX)
    assert dns.query.udp(query, "127.0.0.1", port=target.port("dns-udp"), timeout=LIMIT_S).answer


def the_console_tells(target: Target) -> None:
    """Everything is healthy, and a session's talk shows no secret."""
    maildrop = poplib.POP3("localhost", target.port("pop3"), timeout=LIMIT_S)
    maildrop.user(target.address)
    maildrop.pass_(PASSWORD)
    maildrop.quit()
    mine = until(lambda: next((talk for talk in talks_of(target, "pop3") if target.address in talk), None))
    assert "C: PASS «secret" in mine
    assert PASSWORD not in mine


def talks_of(target: Target, room: str) -> Iterator[str]:
    """The talks of the latest sessions that have ended."""
    for session in target.console.get("sessions", room=room)[:5]:
        if session["closed_at"]:
            yield target.console.ask(f"sandboxes/default/sessions/{session['id']}/talk").decode()


def until(ask: Callable[[], str | None]) -> str:
    """What `ask` answers once it does; the journal writes some milliseconds behind the wire."""
    end = time.monotonic() + LIMIT_S
    while time.monotonic() < end:
        if answer := ask():
            return answer
    raise AssertionError("it never came")


ERRANDS: tuple[Callable[[Target], None], ...] = (
    mail_comes_through,
    implicit_submission_and_plain_helo,
    any_domain_is_captured,
    one_file_by_every_way,
    the_shell_stays_inside,
    http_answers,
    websockets_echo_broadcast_and_deny,
    socket_io_acknowledges,
    names_are_known,
    the_console_tells,
)
