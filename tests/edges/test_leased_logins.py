"""A bare login name or recipient means the sandbox whose listener it is said to, in every room; on the shared ones, `default`."""

from __future__ import annotations

import asyncio
import ftplib
import imaplib
import poplib
import smtplib
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Callable

import asyncssh
import pytest

from portyard.testing import Sandbox, Testbed

LIMIT_S = 20.0
NAME, PASSWORD, OTHERS = "alice", "of-the-lease", "alice-secret"
KEY = asyncssh.generate_private_key("ssh-ed25519")


@pytest.fixture
def sandbox(sandbox: Sandbox) -> Sandbox:
    sandbox.account(NAME, PASSWORD, public_keys=(KEY.export_public_key().decode(),))
    return sandbox


# Each logs in with a bare name; false where it is refused.


def pop3(say: Callable[[poplib.POP3, str], object]) -> Callable[[int, str], bool]:
    def login(port: int, password: str) -> bool:
        client = poplib.POP3("127.0.0.1", port, timeout=LIMIT_S)
        try:
            say(client, password)
            client.quit()
        except poplib.error_proto:
            client.close()
            return False
        return True

    return login


def plain(client: poplib.POP3, password: str) -> None:
    client._shortcmd("AUTH PLAIN " + b64encode(f"\0{NAME}\0{password}".encode()).decode())  # type: ignore[attr-defined]


def imap_login(port: int, password: str) -> bool:
    with imaplib.IMAP4("127.0.0.1", port, timeout=LIMIT_S) as client:
        try:
            return client.login(NAME, password)[0] == "OK"
        except imaplib.IMAP4.error:
            return False


def imap_authenticate(port: int, password: str) -> bool:
    with imaplib.IMAP4("127.0.0.1", port, timeout=LIMIT_S) as client:
        try:
            return client.authenticate("PLAIN", lambda _: f"\0{NAME}\0{password}".encode())[0] == "OK"
        except imaplib.IMAP4.error:
            return False


def submission(mechanism: str) -> Callable[[int, str], bool]:
    def login(port: int, password: str) -> bool:
        with smtplib.SMTP("127.0.0.1", port, timeout=LIMIT_S) as client:
            client.ehlo()
            client.user, client.password = NAME, password
            try:
                return client.auth(mechanism, getattr(client, f"auth_{mechanism.lower()}"))[0] == 235
            except smtplib.SMTPAuthenticationError:
                return False

    return login


def ftp(port: int, password: str) -> bool:
    with ftplib.FTP(timeout=LIMIT_S) as client:
        client.connect("127.0.0.1", port)
        try:
            return client.login(NAME, password).startswith("230")
        except ftplib.error_perm:
            return False


def ssh(port: int, password: str, **more: object) -> bool:
    async def go() -> None:
        options = {"username": NAME, "known_hosts": None, "config": None, "client_keys": None, **more}
        async with asyncssh.connect("127.0.0.1", port, password=password, **options) as connection:
            await connection.run("true")

    try:
        asyncio.run(go())
    except asyncssh.PermissionDenied:
        return False
    return True


def http(port: int, password: str) -> bool:
    headers = {"Authorization": "Basic " + b64encode(f"{NAME}:{password}".encode()).decode()}
    request = urllib.request.Request(f"http://127.0.0.1:{port}/files/{NAME}/", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=LIMIT_S) as answer:
            return answer.status == 200
    except urllib.error.HTTPError as error:
        error.close()
        return False


LOGINS: dict[str, tuple[str, Callable[[int, str], bool]]] = {
    "pop3 USER": ("pop3", pop3(lambda client, password: (client.user(NAME), client.pass_(password)))),
    "pop3 APOP": ("pop3", pop3(lambda client, password: client.apop(NAME, password))),
    "pop3 AUTH": ("pop3", pop3(plain)),
    "imap LOGIN": ("imap", imap_login),
    "imap AUTHENTICATE": ("imap", imap_authenticate),
    "submission PLAIN": ("submission", submission("PLAIN")),
    "submission LOGIN": ("submission", submission("LOGIN")),
    "ftp": ("ftp", ftp),
    "ssh": ("ssh", ssh),
    "http": ("http", http),
}


@pytest.mark.parametrize("name", LOGINS)
def test_a_bare_name_is_the_leases(name: str, testbed: Testbed, sandbox: Sandbox) -> None:
    service, login = LOGINS[name]
    shared = getattr(testbed.default(), service).port
    leased = getattr(sandbox, service).lease().port
    assert login(leased, PASSWORD)
    assert not login(leased, OTHERS)
    assert login(shared, OTHERS)
    assert not login(shared, PASSWORD)
    assert len(sandbox.sessions()) == 2  # the refused one, too


def test_a_key_is_the_leases(testbed: Testbed, sandbox: Sandbox) -> None:
    assert ssh(sandbox.ssh.lease().port, "wrong", client_keys=[KEY])
    assert not ssh(testbed.default().ssh.port, "wrong", client_keys=[KEY])


@pytest.mark.parametrize("starttls", [False, True])
def test_a_bare_name_behind_an_upgrade(starttls: bool, testbed: Testbed, sandbox: Sandbox) -> None:
    """A room that forgets what it learned in plaintext still knows whose listener it is."""
    with smtplib.SMTP("127.0.0.1", sandbox.submission.lease().port, timeout=LIMIT_S) as client:
        if starttls:
            client._host = "localhost"  # type: ignore[attr-defined]  # what it verifies
            client.starttls(context=testbed.ssl_context())
        assert client.login(NAME, PASSWORD)[0] == 235


@pytest.mark.parametrize(("service", "client"), [("smtp", smtplib.SMTP), ("lmtp", smtplib.LMTP)])
def test_mail_for_whom_nobody_owns_is_the_leases(service: str, client: type[smtplib.SMTP], sandbox: Sandbox) -> None:
    with client("127.0.0.1", getattr(sandbox, service).lease().port, timeout=LIMIT_S) as mail:
        mail.ehlo()
        mail.mail("a@client.test")
        assert (
            mail.docmd("RCPT TO:<postmaster>")[0] == 250
        )  # RFC 5321 §4.1.1.3: the one bare name that a recipient may be
        assert mail.rcpt("someone@foreign.test")[0] == 250
        assert mail.rcpt(NAME)[0] // 100 == 5
        mail.putcmd("DATA")
        assert mail.getreply()[0] == 354
        mail.send(b"Subject: to nobody\r\n\r\n.\r\n")
        assert mail.getreply()[0] == 250
        if service == "lmtp":
            assert mail.getreply()[0] == 250
    came = sandbox.mail.wait_for(2, subject="to nobody", timeout=LIMIT_S)
    assert {message.account for message in came} == {f"postmaster@{sandbox.domain}", "someone@foreign.test"}
