"""What the processes log: one JSON or human line an event, and a level for each room."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.process import LIMIT_S, clean_environment


def logged(tmp_path: Path, toml: str) -> list[str]:
    """The lines of a testbed that is stopped once both of its rooms are ready to open."""
    (tmp_path / "portyard.toml").write_text(f'state = "memory"\nports = "ephemeral"\n[log]\n{toml}')
    command = [sys.executable, "-m", "portyard", "serve", "pop3", "imap"]
    with subprocess.Popen(command, cwd=tmp_path, env=clean_environment(), stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        lines = []
        for line in process.stderr:
            lines.append(line.rstrip("\n"))
            if "imap is open" in line:
                process.send_signal(signal.SIGTERM)
        assert process.wait(LIMIT_S) == 0
    return lines


def test_json_lines_are_json(tmp_path: Path) -> None:
    events = [json.loads(line) for line in logged(tmp_path, 'format = "json"\n')]
    assert [event["text"] for event in events if "open" in event["text"]] == ["pop3 is open", "imap is open"]
    assert all(event.keys() == {"at", "level", "logger", "text"} for event in events)


@pytest.mark.parametrize(("level", "heard"), [("info", True), ("warning", False)])
def test_a_room_has_a_level_of_its_own(tmp_path: Path, level: str, heard: bool) -> None:
    lines = logged(tmp_path, f'format = "human"\n[log.rooms]\npop3 = "{level}"\n')
    assert any("pop3 is open" in line for line in lines) is heard
    assert any("imap is open" in line for line in lines)
