"""What `portyard up` tells of a testbed that kept its state."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from portyard.cli import app as cli
from portyard.commons.directory import Endpoint
from portyard.commons.settings import Settings
from tests.support.control import Console
from tests.support.process import serving


class Engine:
    def __init__(self, port: int) -> None:
        self._port = port

    def endpoints(self) -> list[Endpoint]:
        return [Endpoint("console", "console", *("127.0.0.1", self._port) * 2, tls="none", transport="tcp")]

    def ca_pem(self) -> bytes:
        return b"-----BEGIN CERTIFICATE-----\n"


def test_rules_of_before_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with serving(tmp_path, "pop3", "console") as testbed:
        engine: Any = Engine(testbed.port("console"))
        console = Console(testbed.port("console"))
        cli._show(engine, Settings())
        assert "in force" not in capsys.readouterr().out
        for told in ("1 of before is in force", "2 of before are in force"):
            console.ask("sandboxes/default/rules", method="POST", body={"on": "pop3.stat", "then": {"hang_up": True}})
            cli._show(engine, Settings())
            assert f"rules     {told}: portyard rules, portyard rules clear" in capsys.readouterr().out
    cli._show(engine, Settings())  # nobody answers: nothing is told
    assert "in force" not in capsys.readouterr().out
