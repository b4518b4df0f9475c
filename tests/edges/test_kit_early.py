"""Rules of the kit at what clients say before they name a sandbox: each is met, on a listener that its service leases by itself."""

from __future__ import annotations

import asyncio
import socket

import asyncssh
import pytest

from portyard.testing import Sandbox, Testbed

LIMIT_S = 20

CASES = [
    ("smtp", "ehlo", "421 4.3.2 too busy", "EHLO harbour.test"),
    ("smtp", "helo", "421 4.3.2 too busy", "HELO harbour.test"),
    ("smtp", "starttls", "454 4.7.0 no TLS just now", "EHLO harbour.test", "STARTTLS"),
    ("smtp", "mail", "451 4.3.0 later", "EHLO harbour.test", "MAIL FROM:<a@harbour.test>"),
    ("smtp", "noop", "421 4.3.2 too busy", "NOOP"),
    ("smtp", "vrfy", "502 5.5.1 no", "EHLO harbour.test", "VRFY mira"),
    ("smtp", "expn", "502 5.5.2 no", "EHLO harbour.test", "EXPN crew"),
    ("smtp", "help", "502 5.5.1 no", "HELP"),
    ("lmtp", "lhlo", "421 4.3.2 too busy", "LHLO harbour.test"),
    ("lmtp", "mail", "451 4.3.0 later", "LHLO harbour.test", "MAIL FROM:<a@harbour.test>"),
    ("submission", "ehlo", "421 4.3.2 too busy", "EHLO harbour.test"),
    ("submission", "starttls", "454 4.7.0 no TLS just now", "EHLO harbour.test", "STARTTLS"),
    ("submission", "challenge", "454 4.7.0 no login just now", "EHLO harbour.test", "AUTH LOGIN"),
    ("pop3", "capa", "-ERR none", "CAPA"),
    ("pop3", "stls", "-ERR [SYS/TEMP] no TLS just now", "STLS"),
    ("imap", "capability", "NO none", "a CAPABILITY"),
    ("imap", "id", "NO nobody", "a ID NIL"),
    ("imap", "starttls", "NO [UNAVAILABLE] no TLS just now", "a STARTTLS"),
    ("ftp", "auth", "431 no TLS just now", "AUTH TLS"),
    ("ftp", "feat", "502 none", "FEAT"),
    ("ftp", "host", "504 no such host", "HOST harbour.test"),
]


def talked(host: str, port: int, lines: tuple[str, ...]) -> str:
    """The first line that answers the last of these; nothing where the server closes."""
    with socket.create_connection((host, port), LIMIT_S) as client, client.makefile("rb") as answers:
        answers.readline()
        for line in lines[:-1]:
            client.sendall(line.encode() + b"\r\n")
            while answers.readline()[3:4] == b"-":
                pass
        client.sendall(lines[-1].encode() + b"\r\n")
        return answers.readline().decode()


@pytest.mark.parametrize("case", CASES, ids=lambda case: " ".join(case[:2]))
def test_what_is_said_before_a_name_meets_the_rule(sandbox: Sandbox, case: tuple[str, ...]) -> None:
    room, verb, reply, *lines = case
    service = getattr(sandbox, room)
    rule = service.refuse(reply, on=verb, times=1)
    assert reply in talked(service.host, service.port, tuple(lines))
    assert rule.hits == 1


def test_a_challenge_is_met(sandbox: Sandbox) -> None:
    rule = sandbox.imap.hang_up(on="challenge", times=1)
    assert talked(sandbox.imap.host, sandbox.imap.port, ("a AUTHENTICATE PLAIN",)) == ""
    assert rule.hits == 1


def test_a_key_exchange_is_met(sandbox: Sandbox) -> None:
    rule = sandbox.ssh.refuse("SSH_DISCONNECT_KEY_EXCHANGE_FAILED: not today", on="kex", times=1)
    with pytest.raises((asyncssh.Error, OSError)):
        asyncio.run(asyncssh.get_server_host_key(sandbox.ssh.host, sandbox.ssh.port, config=None))
    assert rule.hits == 1


def test_what_is_said_after_a_name_needs_no_listener(testbed: Testbed, sandbox: Sandbox) -> None:
    sandbox.smtp.refuse("451 4.7.1 later", on="rcpt")
    sandbox.submission.refuse("451 4.3.0 later", on="mail")
    sandbox.imap.refuse("NO later", on="login")
    sandbox.ftp.refuse("530 later", on="pass")
    assert not any(each.leased for each in (sandbox.smtp, sandbox.submission, sandbox.imap, sandbox.ftp))
    default = testbed.default()
    default.smtp.refuse("421 4.3.2 too busy", on="ehlo").remove()
    assert not default.smtp.leased, "the shared listeners are its own"


@pytest.mark.parametrize(
    ("room", "verb", "reply", "lines"),
    [
        ("imap", "starttls", "NO [UNAVAILABLE] no TLS just now", ("a LOGIN mira@{domain} wrong", "b STARTTLS")),
        ("pop3", "stls", "-ERR [SYS/TEMP] no TLS just now", ("USER mira@{domain}", "STLS")),
    ],
)
def test_who_claimed_a_name_in_vain_meets_a_rule_at_an_upgrade(
    testbed: Testbed, sandbox: Sandbox, room: str, verb: str, reply: str, lines: tuple[str, ...]
) -> None:
    path = f"sandboxes/{sandbox.name}/rules"
    rule = testbed.control.post(path, {"on": f"{room}.{verb}", "then": {"refuse": reply}})
    service = getattr(sandbox, room)
    domain = sandbox.account("mira").address.partition("@")[2]
    assert reply in talked(service.host, service.port, tuple(line.format(domain=domain) for line in lines))
    assert testbed.control.get(f"{path}/{rule['id']}")["hits"] == 1
    assert not service.leased
