"""Every block of docs/kit.md and the README's test, run as its reader would: in a pytest of its own, under warnings as errors."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from portyard.rooms import cards
from tests.support.document import ROOT, blocks, unhurried
from tests.support.process import clean_environment

DOCUMENT = ROOT / "docs" / "kit.md"
SECTIONS = blocks(DOCUMENT, "python")
IN_CONTAINERS = ("One container",)  # see tests/containers/test_kit_document.py
LIMIT_S = 600.0


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *words],
        cwd=folder,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


def test_the_blocks(tmp_path: Path) -> None:
    for number, (title, code) in enumerate(SECTIONS.items()):
        if title not in IN_CONTAINERS:
            (tmp_path / f"test_{number}.py").write_text(f'"""{title}"""\n{unhurried(code)}')
    outcome = run(tmp_path)
    assert outcome.returncode == 0, outcome.stdout[-4000:]
    wanted = sum(code.count("\ndef test_") for title, code in SECTIONS.items() if title not in IN_CONTAINERS)
    assert wanted >= 20
    assert re.search(rf"^{wanted} passed", outcome.stdout, re.MULTILINE), outcome.stdout[-1000:]


def test_the_talk_that_is_played(tmp_path: Path) -> None:
    (code,) = blocks(ROOT / "docs" / "talk.md", "python").values()
    (tmp_path / "test_talk.py").write_text(code)
    outcome = run(tmp_path)
    assert re.search(r"^1 passed", outcome.stdout, re.MULTILINE), outcome.stdout[-4000:]


def test_each_retry_takes_five_lines_at_most() -> None:
    tests = [
        part
        for part in ast.parse(SECTIONS["Fail twice, then succeed"]).body
        if isinstance(part, ast.FunctionDef) and part.name.startswith("test_")
    ]
    assert {test.name for test in tests} >= {
        "test_smtp",
        "test_imap",
        "test_ftp",
        "test_sftp",
        "test_http",
        "test_websocket",
    }
    for test in tests:
        assert test.end_lineno is not None
        assert test.end_lineno - test.body[0].lineno < 5, test.name


def test_a_retry_that_is_missing_fails(tmp_path: Path) -> None:
    code = SECTIONS["Fail twice, then succeed"].replace("tries=5", "tries=2")
    (tmp_path / "test_few.py").write_text(code)
    outcome = run(tmp_path)
    assert re.search(r"^6 failed", outcome.stdout, re.MULTILINE), outcome.stdout[-2000:]
    assert "portyard transcript" in outcome.stdout


def test_the_readmes_test(tmp_path: Path) -> None:
    (code,) = [
        each
        for each in re.findall(r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
        if "def test_" in each
    ]
    sending = """
import smtplib


def send_with_my_client(host, port, to):
    for _ in range(2):
        with smtplib.SMTP(host, port) as client:
            try:
                client.sendmail("me@harbour.test", [to], "Subject: hello\\r\\n\\r\\n")
            except smtplib.SMTPRecipientsRefused:
                continue
"""
    (tmp_path / "test_readme.py").write_text(sending + unhurried(code))
    outcome = run(tmp_path)
    assert re.search(r"^1 passed", outcome.stdout, re.MULTILINE), outcome.stdout[-2000:]


def test_the_ci_services_ports_are_the_testbeds() -> None:
    told = set(re.findall(r"- (\d+):(\d+)(?:/(\w+))?$", blocks(DOCUMENT, "yaml")["In CI"], re.MULTILINE))
    from portyard.commons.serving import pairs_of, standard_numbers

    inside = standard_numbers(pairs_of(cards()))
    ports = [port for card in cards() for service in card.services for port in service.ports]
    wanted = {
        (str(port.host), str(inside[port.name]), port.transport if port.name.startswith("dns") else "")
        for port in ports
    }
    assert told == wanted


@pytest.mark.parametrize(
    "helper", re.findall(r"`(\w+)\(", DOCUMENT.read_text().split("## Faults in words")[1].split("All take")[0])
)
def test_every_helper_of_the_table_is_there(helper: str) -> None:
    from portyard.testing import Service

    assert callable(getattr(Service, helper))
