"""Two hundred tests of a user's, each with a sandbox of its own, every protocol and counted faults. All use the same names on purpose.

Run by tests/containers/test_many_sandboxes.py in a pytest of its own, as a user's project would.
"""

from __future__ import annotations

import asyncio
import contextlib
import ftplib
import imaplib
import io
import poplib
import re
import smtplib
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable

import aiohttp
import asyncssh
import pytest

from portyard.testing import Account, Rule, Sandbox, Testbed

TESTS = 200
LIMIT_S = 60.0


def tried(work: Callable[[], object], *errors: type[Exception]) -> int:
    """Try until it works; how often it failed before."""
    for failed in range(10):
        with contextlib.suppress(*errors):
            work()
            return failed
    raise AssertionError("it never worked")


def send(sandbox: Sandbox, text: str) -> None:
    with smtplib.SMTP(sandbox.smtp.host, sandbox.smtp.port, timeout=LIMIT_S) as client:
        client.sendmail("shop@harbour.test", [f"mira@{sandbox.domain}"], f"Subject: the news\r\n\r\n{text}\r\n")


def read_by_imap(sandbox: Sandbox, mira: Account, text: str) -> None:
    client = imaplib.IMAP4(sandbox.imap.host, sandbox.imap.port, timeout=LIMIT_S)
    try:
        client.login(mira.address, mira.password)
        assert client.select("INBOX")[1] == [b"1"]
        assert text.encode() in client.fetch("1", "(BODY[])")[1][0][1]  # type: ignore[index]
    finally:
        client.logout()


def read_by_pop3(sandbox: Sandbox, mira: Account, text: str) -> None:
    client = poplib.POP3(sandbox.pop3.host, sandbox.pop3.port, timeout=LIMIT_S)
    try:
        client.user(mira.address)
        client.pass_(mira.password)
        assert client.stat()[0] == 1
        assert text.encode() in client.retr(1)[1]
    finally:
        client.quit()


def upload_by_ftp(sandbox: Sandbox, mira: Account, text: str) -> None:
    with ftplib.FTP() as client:
        client.connect(sandbox.ftp.host, sandbox.ftp.port, LIMIT_S)
        client.login(mira.address, mira.password)
        client.storbinary("STOR news.txt", io.BytesIO(text.encode()))


def get(url: str) -> bytes:
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=LIMIT_S) as answer:
        return bytes(answer.read())


async def write_by_sftp(sandbox: Sandbox, mira: Account, text: str) -> int:
    async with (
        asyncssh.connect(
            sandbox.ssh.host,
            sandbox.ssh.port,
            username=mira.address,
            password=mira.password,
            known_hosts=None,
            config=None,
            client_keys=None,
            agent_path=None,
        ) as connection,
        connection.start_sftp_client() as client,
    ):
        for failed in range(10):
            with contextlib.suppress(asyncssh.SFTPFailure):
                async with client.open("secure.txt", "w") as file:
                    await file.write(text)
                return failed
    raise AssertionError("it never worked")


async def speak_by_websocket(sandbox: Sandbox, text: str) -> int:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
        for failed in range(10):
            with contextlib.suppress(aiohttp.WSServerHandshakeError):
                async with (
                    session.ws_connect(sandbox.websocket.url("/room/quay")) as one,
                    session.ws_connect(sandbox.websocket.url("/room/quay")) as other,
                ):
                    await one.send_str(text)
                    assert (await other.receive(LIMIT_S)).data == text
                return failed
    raise AssertionError("it never worked")


def refusals(sandbox: Sandbox, faults: list[int]) -> list[Rule]:
    """As many of each kind as are asked for."""
    return [
        sandbox.smtp.refuse("451 4.7.1 later", on="rcpt", times=faults[0]),
        sandbox.imap.refuse("NO later", on="login", times=faults[1]),
        sandbox.pop3.refuse("-ERR later", on="pass", times=faults[2]),
        sandbox.ftp.refuse("450 later", on="stor", times=faults[3]),
        sandbox.ssh.refuse("SSH_FX_FAILURE", on="sftp_open", times=faults[4]),
        sandbox.http.refuse("503 later", on="request", times=faults[5]),
        sandbox.websocket.refuse("503 later", on="upgrade", times=faults[6]),
    ]


@pytest.fixture
def sandbox(testbed: Testbed) -> Sandbox:
    """The kit's, but that it stays: in the end all stand at once, and whoever started the run looks into each."""
    return testbed.sandbox()


@pytest.mark.parametrize("number", range(TESTS))
def test_nobody_else_is_here(sandbox: Sandbox, number: int) -> None:
    mine = f"news of {sandbox.name}"
    mira = sandbox.account("mira", f"secret-{number}")
    faults = [1 + (number + place) % 3 for place in range(7)]
    rules = refusals(sandbox, faults)

    met = [tried(lambda: send(sandbox, mine), smtplib.SMTPRecipientsRefused)]
    message = sandbox.mail.wait(subject="the news", timeout=LIMIT_S)
    assert message.text.strip() == mine
    met.append(tried(lambda: read_by_imap(sandbox, mira, mine), imaplib.IMAP4.error))
    met.append(tried(lambda: read_by_pop3(sandbox, mira, mine), poplib.error_proto))
    met.append(tried(lambda: upload_by_ftp(sandbox, mira, mine), ftplib.error_temp))
    met.append(asyncio.run(write_by_sftp(sandbox, mira, mine)))
    met.append(tried(lambda: get(sandbox.http.url("/get")), urllib.error.HTTPError))
    met.append(asyncio.run(speak_by_websocket(sandbox, mine)))

    assert met == faults
    assert [rule.hits for rule in rules] == faults
    assert [(each.subject, each.account) for each in sandbox.mail.all()] == [("the news", mira.address)]
    files = sandbox.files(mira)
    assert {name: files.get(name).decode() for name in files.list()} == {"news.txt": mine, "secure.txt": mine}
    assert Counter(session["service"] for session in sandbox.sessions()) == {
        "mta": faults[0] + 1,
        "mda": 1,
        "imap": faults[1] + 1,
        "pop3": faults[2] + 1,
        "ftp": faults[3] + 1,
        "ssh": 1,
        "http": faults[5] + 1,
        "websocket": faults[6] + 2,
    }
    talks = sandbox.transcript(100)
    assert mine in talks
    domains = set(re.findall(r"@([\w.-]+\.test)", talks))
    assert domains == {sandbox.domain, "harbour.test", "portyard.test"}  # the last is in POP3's greeting
    assert len(sandbox.events.all(kind="fault")) == sum(faults)
