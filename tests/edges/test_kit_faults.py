"""The kit's faults of bytes in a sandbox of a test's own, armed by an event on the listeners that all share, seen by stock clients."""

from __future__ import annotations

import asyncio
import contextlib
import ftplib
import http.client
import imaplib
import os
import poplib
import smtplib
import socket
import ssl
import time
from collections.abc import Callable, Iterator

import asyncssh
import pytest

from portyard.commons.unready import UNREADY
from portyard.testing import Sandbox, Testbed
from tests.support.matrix.place import CLOSED
from tests.support.matrix.web import ECHO, TEXT, frame

LIMIT_S = 20
PASSWORD = "w-secret"
WAIT_S = 0.2
CONTEXT: list[ssl.SSLContext] = []
"""A client's, that trusts the testbed."""


@pytest.fixture(scope="module")
def testbed() -> Iterator[Testbed]:
    with Testbed.embedded() as running:
        CONTEXT[:] = [running.ssl_context()]
        yield running


@pytest.fixture
def sandbox(testbed: Testbed) -> Iterator[Sandbox]:
    with testbed.own_sandbox() as own:
        own.account("mira", PASSWORD)
        yield own


def mail(sandbox: Sandbox) -> str:
    with smtplib.SMTP(sandbox.smtp.host, sandbox.smtp.port, timeout=LIMIT_S) as client:
        client.sendmail("a@harbour.test", [f"mira@{sandbox.domain}"], "Subject: x\r\n\r\n")
    return "sent"


def submission(sandbox: Sandbox) -> str:
    with smtplib.SMTP(sandbox.submission.host, sandbox.submission.port, timeout=LIMIT_S) as client:
        client.login(f"mira@{sandbox.domain}", PASSWORD)
        client.mail(f"mira@{sandbox.domain}")
    return "sent"


def pop3(sandbox: Sandbox) -> str:
    client = poplib.POP3(sandbox.pop3.host, sandbox.pop3.port, timeout=LIMIT_S)
    try:
        client.user(f"mira@{sandbox.domain}")
        client.pass_(PASSWORD)
        return repr(client.stat())
    finally:
        client.close()


def imap(sandbox: Sandbox) -> str:
    client = imaplib.IMAP4(sandbox.imap.host, sandbox.imap.port, timeout=LIMIT_S)
    try:
        client.login(f"mira@{sandbox.domain}", PASSWORD)
        return repr(client.select())
    finally:
        client.shutdown()


def ftp(sandbox: Sandbox) -> str:
    with ftplib.FTP(timeout=LIMIT_S) as client:
        client.connect(sandbox.ftp.host, sandbox.ftp.port)
        client.login(f"mira@{sandbox.domain}", PASSWORD)
        return client.pwd()


def web(sandbox: Sandbox) -> str:
    client = http.client.HTTPConnection(sandbox.http.host, sandbox.http.port, timeout=LIMIT_S)
    try:
        client.request("GET", "/bytes/100", headers={"Host": sandbox.domain})
        return repr(len(client.getresponse().read()))
    finally:
        client.close()


ENDS: list[tuple[Callable[[Sandbox], str], str, str]] = [
    (mail, "smtp", "rcpt"),
    (mail, "smtp", "data"),
    (submission, "submission", "mail"),
    (pop3, "pop3", "stat"),
    (imap, "imap", "login"),
    (imap, "imap", "select"),
    (ftp, "ftp", "pass"),
    (web, "http", "request"),
]


@pytest.mark.parametrize(("errand", "service", "verb"), ENDS)
def test_a_reset(sandbox: Sandbox, errand: Callable[[Sandbox], str], service: str, verb: str) -> None:
    rule = getattr(sandbox, service).reset(on=verb, times=1)
    with pytest.raises((ConnectionResetError, smtplib.SMTPServerDisconnected, imaplib.IMAP4.abort)) as told:
        errand(sandbox)
    if not isinstance(told.value, smtplib.SMTPServerDisconnected):  # who hides what it met
        assert "reset" in str(told.value).lower()
    assert rule.hits == 1
    assert errand(sandbox)


@pytest.mark.parametrize(("errand", "service", "verb"), ENDS)
def test_a_cut(sandbox: Sandbox, errand: Callable[[Sandbox], str], service: str, verb: str) -> None:
    getattr(sandbox, service).cut_after(0, on=verb, times=1)
    ends = (EOFError, poplib.error_proto, smtplib.SMTPException, imaplib.IMAP4.abort, http.client.HTTPException)
    with pytest.raises((*ends, ftplib.Error)):
        errand(sandbox)
    assert errand(sandbox)


@pytest.mark.parametrize(("errand", "service", "verb"), ENDS)
def test_latency(sandbox: Sandbox, errand: Callable[[Sandbox], str], service: str, verb: str) -> None:
    getattr(sandbox, service).latency(WAIT_S, on=verb)
    began = time.monotonic()
    errand(sandbox)
    assert time.monotonic() - began >= 0.9 * WAIT_S


def test_nobody_else_meets_it(testbed: Testbed, sandbox: Sandbox) -> None:
    sandbox.smtp.reset(on="rcpt")
    with testbed.own_sandbox() as other:
        assert mail(other) == "sent"


@contextlib.contextmanager
def told_by_the_kernel(sock: socket.socket) -> Iterator[None]:
    """Python's ssl tells of an end where there was a RST."""
    kept = socket.socket(fileno=os.dup(sock.fileno()))  # the client may close its own
    try:
        yield
    except (OSError, EOFError, imaplib.IMAP4.abort):
        if kept.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == CLOSED:
            raise ConnectionResetError from None
        raise
    finally:
        kept.close()


def kept_mail(sandbox: Sandbox) -> Iterator[None]:
    with smtplib.SMTP(sandbox.smtp.host, sandbox.smtp.port, timeout=LIMIT_S) as client:
        client.ehlo()
        client.mail("a@harbour.test")
        yield
        client.rcpt(f"mira@{sandbox.domain}")


def kept_pop3(sandbox: Sandbox) -> Iterator[None]:
    client = poplib.POP3(sandbox.pop3.host, sandbox.pop3.port, timeout=LIMIT_S)
    client.user(f"mira@{sandbox.domain}")
    try:
        yield
        client.pass_(PASSWORD)
    finally:
        client.close()


def kept_imap(sandbox: Sandbox) -> Iterator[None]:
    """Under TLS."""
    client = imaplib.IMAP4_SSL("localhost", sandbox.imap.tls_port, ssl_context=CONTEXT[0], timeout=LIMIT_S)
    try:
        client.login(f"mira@{sandbox.domain}", PASSWORD)
        yield
        with told_by_the_kernel(client.sock):
            client.select()
    finally:
        client.shutdown()


def kept_ftp(sandbox: Sandbox) -> Iterator[None]:
    with ftplib.FTP(timeout=LIMIT_S) as client:
        client.connect(sandbox.ftp.host, sandbox.ftp.port)
        client.login(f"mira@{sandbox.domain}", PASSWORD)
        yield
        client.pwd()


def kept_ftps(sandbox: Sandbox) -> Iterator[None]:
    with ftplib.FTP_TLS(timeout=LIMIT_S, context=CONTEXT[0]) as client:
        client.connect("localhost", sandbox.ftp.port)
        client.login(f"mira@{sandbox.domain}", PASSWORD)
        yield
        assert client.sock
        with told_by_the_kernel(client.sock):
            client.pwd()


def kept_web(sandbox: Sandbox) -> Iterator[None]:
    client = http.client.HTTPConnection(sandbox.http.host, sandbox.http.port, timeout=LIMIT_S)
    try:
        for _ in range(2):
            client.request("GET", "/get", headers={"Host": sandbox.domain})
            client.getresponse().read()
            yield
    finally:
        client.close()


def kept_socket(sandbox: Sandbox) -> Iterator[None]:
    with socket.create_connection((sandbox.websocket.host, sandbox.websocket.port), LIMIT_S) as client:
        client.sendall(ECHO.replace(b"Host: localhost", b"Host: " + sandbox.domain.encode()))
        assert client.recv(4096).startswith(b"HTTP/1.1 101 ")
        yield
        client.sendall(frame(TEXT, b"flotsam"))
        assert client.recv(4096)
        yield


def kept_ssh(sandbox: Sandbox) -> Iterator[None]:
    lost: list[Exception | None] = []

    class User(asyncssh.SSHClient):
        def connection_lost(self, exc: Exception | None) -> None:
            lost.append(exc)

    async def connected() -> asyncssh.SSHClientConnection:
        return await asyncssh.connect(
            sandbox.ssh.host,
            sandbox.ssh.port,
            username=f"mira@{sandbox.domain}",
            password=PASSWORD,
            known_hosts=None,
            config=None,
            client_keys=None,
            agent_path=None,
            client_factory=User,
        )

    async def run(client: asyncssh.SSHClientConnection) -> None:
        with contextlib.suppress(asyncssh.Error, ConnectionError):
            await client.run("echo hi")
        await client.wait_closed()

    with asyncio.Runner() as runner:
        client = runner.run(connected())
        yield
        runner.run(run(client))
        (why,) = lost
        raise why or EOFError


KEPT = [
    (kept_mail, "smtp", "rcpt"),
    (kept_pop3, "pop3", "pass"),
    (kept_imap, "imap", "select"),
    (kept_ftp, "ftp", "pwd"),
    (kept_ftps, "ftp", "pwd"),
    (kept_web, "http", "request"),
    (kept_socket, "websocket", "message"),
    (kept_ssh, "ssh", "exec"),
]


@pytest.mark.parametrize(("errand", "service", "verb"), KEPT)
def test_a_reset_at_once_needs_no_relay(
    sandbox: Sandbox, errand: Callable[[Sandbox], Iterator[None]], service: str, verb: str
) -> None:
    """A connection that was accepted before any rule stood meets it, too."""
    steps = errand(sandbox)
    next(steps)
    rule = getattr(sandbox, service).reset(on=verb, times=1)
    with pytest.raises((ConnectionResetError, smtplib.SMTPServerDisconnected, imaplib.IMAP4.abort, EOFError)) as told:
        next(steps)
    if errand is not kept_mail:  # smtplib hides what it met
        assert isinstance(told.value, ConnectionResetError)
    assert rule.hits == 1
    assert sandbox.events.all(kind="error") == []
    assert [each["fields"]["does"] for each in sandbox.events.all(kind="fault")] == [["reset"], ["reset"]]


@pytest.mark.parametrize("fault", [{"latency": "1ms"}, {"cut_after": 0}, {"reset": {"after_octets": 3}}])
@pytest.mark.parametrize(("errand", "service", "verb"), [each for each in KEPT if each[0] is not kept_ssh])
def test_of_all_else_it_says_that_it_stays_as_it_is(
    sandbox: Sandbox,
    errand: Callable[[Sandbox], Iterator[None]],
    service: str,
    verb: str,
    fault: dict[str, object],
) -> None:
    steps = errand(sandbox)
    next(steps)
    rule = getattr(sandbox, service).rule(verb, fault, times=1)
    with contextlib.suppress(StopIteration):
        next(steps)
    steps.close()
    assert rule.hits == 1
    (told,) = sandbox.events.wait(kind="error", timeout=LIMIT_S)
    assert told["fields"] == {"text": f"{next(iter(fault))}: {UNREADY}", "undone": [*fault]}


def test_a_connection_that_came_before_says_that_it_stays_as_it_is(sandbox: Sandbox) -> None:
    """The rule has fired, and the journal tells that nothing came of it."""
    with smtplib.SMTP(sandbox.smtp.host, sandbox.smtp.port, timeout=LIMIT_S) as client:
        client.ehlo()
        client.mail("a@harbour.test")
        rule = sandbox.smtp.rule("rcpt", [{"latency": "1ms"}, {"reset": True}])
        assert client.rcpt(f"mira@{sandbox.domain}")[0] == 250
    assert rule.hits == 1
    (told,) = sandbox.events.wait(kind="error", timeout=LIMIT_S)
    assert told["fields"] == {"text": f"latency, reset: {UNREADY}", "undone": ["latency", "reset"]}


def test_a_script_s_reset(sandbox: Sandbox) -> None:
    sandbox.smtp.script({"delay": "1ms"}, {"reset": True}, on="rcpt", times=1)
    with pytest.raises(smtplib.SMTPServerDisconnected):
        mail(sandbox)
    assert sandbox.events.all(kind="error") == []


def test_a_data_connection_that_came_before_says_so_too(sandbox: Sandbox) -> None:
    """FTP's data connections have relays of their own, put in when they come."""
    with ftplib.FTP(timeout=LIMIT_S) as client:
        client.connect(sandbox.ftp.host, sandbox.ftp.port)
        client.login(f"mira@{sandbox.domain}", PASSWORD)
        host, port = client.makepasv()
        with socket.create_connection((host, port), LIMIT_S) as data:
            client.sendcmd("NOOP")  # the connection was taken
            sandbox.ftp.cut_after(0, on="transfer", times=1)
            client.sendcmd("LIST")
            data.recv(4096)
        client.voidresp()
    (told,) = sandbox.events.wait(kind="error", timeout=LIMIT_S)
    assert told["fields"]["undone"] == ["cut_after"]
