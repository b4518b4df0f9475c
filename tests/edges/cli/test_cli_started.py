"""What `portyard up` tells of settings and code that a testbed which runs already doesn't have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer

from portyard.cli import app as cli
from portyard.cli import started
from portyard.cli.engines import Choice, CommandError
from portyard.commons.directory import Endpoint
from portyard.commons.settings import Settings


class Engine:
    name = "embedded"

    def __init__(self) -> None:
        self.runs = False
        self.ready = True
        self.trouble = ""

    def up(self, _tell: Callable[[str, int, int], None]) -> None:
        if self.trouble:
            raise CommandError(self.trouble)
        self.runs = self.ready = True

    def running(self) -> bool:
        return self.runs

    def health(self) -> dict[str, bool]:
        return {"imap": True, "ssh": self.ready}

    def endpoints(self) -> list[Endpoint]:
        return []

    def ca_pem(self) -> bytes:
        return b"-----BEGIN CERTIFICATE-----\n"


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    made: Any = Engine()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli, "choose", lambda: Choice("embedded", "a test says so"))
    monkeypatch.setattr(cli, "engine_of", lambda _name, _settings: made)
    monkeypatch.setattr(cli, "_running_or_none", lambda _settings: made if made.runs else None)
    return made  # type: ignore[no-any-return]


@pytest.fixture
def up(capsys: pytest.CaptureFixture[str]) -> Callable[[], str]:
    def command() -> str:
        cli.up()
        return capsys.readouterr().out

    return command


@pytest.mark.usefixtures("engine")
def test_changed_settings_are_told(up: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert "changed since" not in up()
    assert "changed since" not in up()
    monkeypatch.setenv("PORTYARD_PERSONAS", "imap=dovecot")
    monkeypatch.setenv("PORTYARD_SEED", "7")
    for _again in range(2):
        told = up()
        assert "it runs already" in told
        assert "changed since it started: personas, seed; make down and make up put them in force" in told
    monkeypatch.delenv("PORTYARD_PERSONAS")
    monkeypatch.delenv("PORTYARD_SEED")
    assert "changed since" not in up()


@pytest.mark.usefixtures("engine")
def test_other_code_is_told(
    up: Callable[[], str], tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path_factory.mktemp("package")
    room = package / "imap" / "edge.py"
    room.parent.mkdir()
    room.write_text("pass\n")
    monkeypatch.setattr(started, "PACKAGE", package)
    assert "since it started" not in up()
    for aside in ("imap/__pycache__/edge.pyc", "imap/.cache/tag", "imap/.edge.py.swp"):
        (package / aside).parent.mkdir(exist_ok=True)
        (package / aside).touch()
    (package / "imap" / "edge.py~").symlink_to("nowhere")
    assert "since it started" not in up()
    room.write_text("skip\n")
    for _again in range(2):
        assert "code      another since it started; make down and make up run it" in up()
    room.write_text("pass\n")
    assert "since it started" not in up()


def test_a_new_start_has_the_code_of_then(
    engine: Engine, up: Callable[[], str], tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path_factory.mktemp("package")
    monkeypatch.setattr(started, "PACKAGE", package)
    for name in ("runs", "ready"):
        up()
        (package / name).touch()
        setattr(engine, name, False)
        assert "since it started" not in up()
        assert "since it started" not in up()


def test_a_new_start_has_them(engine: Engine, up: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> None:
    up()
    monkeypatch.setenv("PORTYARD_PERSONAS", "imap=dovecot")
    engine.runs = False
    assert "changed since" not in up()
    assert "changed since" not in up()


def test_what_is_started_again_has_them(engine: Engine, up: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> None:
    up()
    monkeypatch.setenv("PORTYARD_PERSONAS", "imap=dovecot")
    engine.ready = False
    assert "changed since" not in up()
    assert "changed since" not in up()


def test_what_cannot_start_hides_no_other_engines_testbed(
    engine: Engine, up: Callable[[], str], tmp_path: Path
) -> None:
    noted = tmp_path / ".portyard" / "engine"
    engine.trouble = "the port is taken"
    with pytest.raises(typer.Exit):
        up()
    assert not noted.exists()  # the other may have the port, and is asked by the next command
    engine.trouble = ""
    up()
    engine.trouble, engine.ready = "ssh: not ready", False
    with pytest.raises(typer.Exit):
        up()
    assert noted.read_text() == "embedded\n"


@pytest.mark.usefixtures("engine")
def test_an_engine_that_is_forced_too_late_is_told(up: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> None:
    up()
    told = {}
    for forced in ("", "embedded", "docker"):
        monkeypatch.setenv("PORTYARD_ENGINE", forced)
        told[forced] = up().splitlines()[0]
    assert told == {
        "": "it runs already",
        "embedded": "it runs already",
        "docker": "it runs already by embedded; make down and make up put PORTYARD_ENGINE=docker in force",
    }


def test_each_project_has_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    started.keep(Settings())
    monkeypatch.setenv("PORTYARD_PROJECT", "second")
    assert started.changed(Settings(seed=7)) == []
    started.keep(Settings(seed=7))
    assert started.changed(Settings()) == ["seed"]
    monkeypatch.delenv("PORTYARD_PROJECT")
    assert started.changed(Settings()) == []


def test_no_password_is_written_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    started.keep(Settings(token="deep-water", default_password="high-tide"))
    (note,) = (tmp_path / ".portyard").iterdir()
    assert not any(secret in note.read_text() for secret in ("deep-water", "high-tide", "alice-secret"))


@pytest.mark.parametrize("note", ["", "{", "[]"])
def test_a_broken_note_tells_nothing(note: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    started.keep(Settings())
    (path,) = (tmp_path / ".portyard").iterdir()
    path.write_text(note)
    assert started.changed(Settings(seed=7)) == []


@pytest.mark.parametrize("there", [False, True])
def test_only_its_user_reads_what_is_noted(there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    if there:
        started.keep(Settings())
        next((tmp_path / ".portyard").glob("settings-*")).chmod(0o644)
    started.keep(Settings(token="let-me-in"))
    (noted,) = (tmp_path / ".portyard").glob("settings-*")
    assert noted.stat().st_mode & 0o777 == 0o600
    assert "let-me-in" not in noted.read_text()
