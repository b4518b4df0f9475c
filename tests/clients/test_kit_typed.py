"""A user's tests with the kit pass mypy's strictest, and what is wrongly typed doesn't."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import portyard

LIMIT_S = 300.0
GOOD = '''
"""Tests of a user's."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from portyard.testing import Account, ControlError, Message, NothingCameError, Rule, Sandbox, Testbed
from portyard.testing.container import PortyardContainer


@pytest.fixture(scope="session")
def portyard_settings() -> dict[str, object]:
    return {"require_tls": True}


@pytest.fixture(scope="module")
def container() -> Iterator[PortyardContainer]:
    made = PortyardContainer().with_seed(7).with_seeded_account("mira@portyard.test", "m-secret").with_env("TZ", "UTC")
    with made as running:
        yield running


def test_ports(container: PortyardContainer) -> None:
    port: int = container.get_exposed_smtp_port()
    assert container.get_ssl_context().check_hostname and port
    with container.get_testbed().own_sandbox(capture="own") as own:
        assert own.domain


def test_mail(sandbox: Sandbox, testbed: Testbed) -> None:
    rule: Rule = sandbox.smtp.refuse("451 4.7.1 later", on="rcpt", times=2, where={"recipient": "*@x.test"})
    message: Message = sandbox.mail.wait(subject="hello", timeout=5)
    names: list[str] = message.to + message.codes
    account: Account = sandbox.account("mira", "m-secret")
    files: bytes = sandbox.files(account).get("a.txt")
    sandbox.clock.advance(timedelta(hours=2))
    sandbox.imap.script({"send": "* BYE"}, {"hang_up": True}, on="select").remove()
    sandbox.ssh.lease()
    kinds: list[str] = [event["kind"] for event in sandbox.events.wait(2, room="smtp", kind="command")]
    with pytest.raises((ControlError, NothingCameError)):
        sandbox.mail.none(timeout=0.5)
    assert testbed.ssl_context() and rule.hits and names and files and kinds
'''
BAD = {
    "a port is a number": "port: str = sandbox.smtp.port",
    "a rule is no message": 'rule: Message = sandbox.smtp.silence(on="rcpt")',
    "a reply is text": 'sandbox.smtp.refuse(451, on="rcpt")',
    "a fault needs its verb": 'sandbox.smtp.refuse("451 later")',
    "a count is a number": 'sandbox.smtp.silence(on="rcpt", times="2")',
    "what is counted by itself has a name": 'sandbox.smtp.silence(on="rcpt", times=2, per="client")',
    "a rule has no such field": 'sandbox.smtp.silence(on="rcpt", time=2)',
    "no such service": "sandbox.gopher.port",
}


def check(folder: Path, *files: str) -> subprocess.CompletedProcess[str]:
    settings = folder / "mypy.ini"
    settings.write_text("[mypy]\n")
    return subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file", str(settings), "--cache-dir", ".cache", *files],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


def test_a_users_tests_are_strictly_typed(tmp_path: Path) -> None:
    (tmp_path / "test_good.py").write_text(GOOD)
    lines = [f"    {line}  # {why}" for why, line in BAD.items()]
    head = "from portyard.testing import Message, Sandbox\n\n\ndef test_bad(sandbox: Sandbox) -> None:\n"
    (tmp_path / "test_bad.py").write_text(head + "\n".join(lines) + "\n")
    outcome = check(tmp_path, "test_good.py", "test_bad.py")
    told = outcome.stdout.splitlines()
    assert not [line for line in told if not line.startswith(("test_bad.py:", "Found "))], outcome.stdout
    first = head.count("\n") + 1
    assert {line.split(":")[1] for line in told if "error:" in line} == {str(first + n) for n in range(len(BAD))}


def test_the_package_says_that_it_is_typed() -> None:
    assert (Path(portyard.__file__).parent / "py.typed").exists()
