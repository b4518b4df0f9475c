"""The command line on a terminal: colours, and help for every command."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pty
import re
import smtplib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from rich.console import Console
from rich.text import Text
from typer.testing import CliRunner

from portyard.cli import app as cli
from portyard.cli.app import app
from portyard.commons.directory import Endpoint
from portyard.rooms import cards
from tests.support.process import LIMIT_S, clean_environment, portyard, serving

COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def commands(group: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command with the words that call it."""
    yield words, group
    for name, command in getattr(group, "commands", {}).items():
        yield from commands(command, (*words, name))


COMMANDS = dict(commands(typer.main.get_command(app)))


def test_no_word_of_a_help_text_is_taken_for_markup() -> None:
    texts = [option.help for command in COMMANDS.values() for option in command.params if getattr(option, "help", None)]
    assert len(texts) > 50
    assert [Text.from_markup(text).plain for text in texts] == texts


def on_a_terminal(*words: str, folder: Path, **environment: str) -> str:
    """What a command writes to a terminal, of 100 columns where COLUMNS doesn't say otherwise."""
    ours, theirs = pty.openpty()
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "portyard", *words],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=folder,
            env=clean_environment(**{"TERM": "xterm-256color", "COLUMNS": "100", **environment}),
        )
        os.close(theirs)
        said = b""
        with contextlib.suppress(OSError):  # the terminal's end
            while piece := os.read(ours, 65536):
                said += piece
        assert process.wait(LIMIT_S) == 0, said
        return said.decode().replace("\r\n", "\n")
    finally:
        os.close(ours)


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: " ".join(words) or "portyard")
def test_help_tells_everything(words: tuple[str, ...]) -> None:
    command = COMMANDS[words]
    assert command.help
    assert command.help.strip()[0].isupper()
    for parameter in command.params:
        assert getattr(parameter, "help", None), f"{parameter.name} has no help"
    shown = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "80", "TERM": "dumb"})
    assert shown.exit_code == 0
    assert max(len(line) for line in shown.output.splitlines()) <= 80
    assert "<bool>" not in shown.output  # a flag takes no value


@pytest.mark.parametrize("width", [200, 80, 60, 40])
def test_the_endpoints_are_told_whole_on_any_screen(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the screen is too narrow for what a service is about, that goes on below; where it is narrower still, it is left out."""
    endpoints = [
        Endpoint(
            each.name,
            port.name,
            "172.30.0.9",
            25,
            "127.0.0.1",
            30000 + port.inside,
            port.tls.value,
            port.transport,
            each.summary,
        )
        for card in cards()
        for each in card.services
        for port in each.ports
    ]
    with io.StringIO() as written:
        monkeypatch.setattr(cli, "screen", Console(file=written, width=width))
        cli.screen.print(cli._table(endpoints))
        shown = written.getvalue()
    assert "…" not in shown
    told = " ".join(shown.split())
    for endpoint in endpoints:
        if width >= 60:
            assert f"{endpoint.host}:{endpoint.host_number}" in told
        if width >= 80:
            assert all(word in told for word in re.split(r"[ /-]", endpoint.summary)), endpoint.summary


def test_tail_follows_in_colour_on_a_terminal_only(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    with serving(state, "all") as running:
        for name in ("one", "two"):
            with smtplib.SMTP("127.0.0.1", running.port("smtp"), timeout=LIMIT_S) as client:
                client.sendmail("a@x.test", [f"{name}@portyard.test"], "Subject: x\r\n\r\n")
        asked = {"PORTYARD_URL": f"http://127.0.0.1:{running.port('console')}"}
        portyard("mail", "wait", "--count", "2", "--timeout", "30", cwd=tmp_path, **asked).check_returncode()
        words = ("tail", "--since", "2020-01-01T00:00:00Z", "--room", "smtp", "--text", "RCPT*", "--count", "2")
        said = on_a_terminal(*words, folder=tmp_path, **asked)
        fronts = [line for line in said.splitlines() if "RCPT" in COLOUR.sub("", line).upper()]
        assert len(fronts) == 2
        colours = [COLOUR.findall(line.split("mta")[0]) for line in fronts]
        assert all(colours)
        assert colours[0] != colours[1]  # each session has its own
        assert not COLOUR.search(portyard(*words, cwd=tmp_path, **asked).stdout)

        listed = on_a_terminal("mail", folder=tmp_path, **asked)
        assert COLOUR.search(listed)
        assert "one@portyard.test" in listed

        narrow = COLOUR.sub("", on_a_terminal("sessions", folder=tmp_path, COLUMNS="60", **asked))
        ids = [each["id"] for each in json.loads(portyard("sessions", "--json", cwd=tmp_path, **asked).stdout)]
        assert ids
        assert all(each in narrow for each in ids)  # to be copied
        for each in json.loads(portyard("sessions", "--json", cwd=tmp_path, **asked).stdout):
            assert each["peer"] in narrow  # no word is broken: the screen goes on below
