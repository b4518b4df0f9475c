"""The kit's faults of bytes in a sandbox of a test's own, armed by an event on the listeners that all share, seen by stock clients."""

from __future__ import annotations

import ftplib
import http.client
import imaplib
import poplib
import smtplib
import time
from collections.abc import Callable, Iterator

import pytest

from portyard.commons.unready import UNREADY
from portyard.testing import Sandbox, Testbed

LIMIT_S = 20
PASSWORD = "w-secret"
WAIT_S = 0.2


@pytest.fixture(scope="module")
def testbed() -> Iterator[Testbed]:
    with Testbed.embedded() as running:
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


def test_a_connection_that_came_before_says_that_it_stays_as_it_is(sandbox: Sandbox) -> None:
    """Arming it is impossible: the rule has fired, and the journal tells that nothing came of it."""
    with smtplib.SMTP(sandbox.smtp.host, sandbox.smtp.port, timeout=LIMIT_S) as client:
        client.ehlo()
        client.mail("a@harbour.test")
        rule = sandbox.smtp.rule("rcpt", [{"latency": "1ms"}, {"reset": True}])
        assert client.rcpt(f"mira@{sandbox.domain}")[0] == 250
    assert rule.hits == 1
    (told,) = sandbox.events.wait(kind="error", timeout=5)
    assert told["fields"] == {"text": f"latency, reset: {UNREADY}", "undone": ["latency", "reset"]}


def test_a_script_s_reset(sandbox: Sandbox) -> None:
    sandbox.smtp.script({"delay": "1ms"}, {"reset": True}, on="rcpt", times=1)
    with pytest.raises(smtplib.SMTPServerDisconnected):
        mail(sandbox)
    assert sandbox.events.all(kind="error") == []
