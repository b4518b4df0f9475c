"""The shell's completion of the command line, by the shell itself."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.process import clean_environment, portyard, serving

LIMIT_S = 60.0
BASH = shutil.which("bash")


@pytest.fixture
def command(tmp_path: Path) -> Path:
    """A folder with `portyard` in it, as an installation has."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "portyard"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m portyard "$@"\n')
    program.chmod(0o755)
    return folder


def bash(script: str, folder: Path, **environment: str) -> str:
    assert BASH is not None
    path = f"{folder}:{os.environ['PATH']}"
    done = subprocess.run(
        [BASH, "--norc", "-c", script],
        env=clean_environment(PATH=path, HOME=str(folder.parent), **environment),
        cwd=folder.parent,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def completed(line: str, folder: Path, **environment: str) -> list[str]:
    """What bash offers at the end of a line."""
    words = [*shlex.split(line), *([""] if line.endswith(" ") else [])]
    script = f"""
eval "$(portyard completion bash)"
COMP_WORDS=({" ".join(map(shlex.quote, words))})
COMP_CWORD={len(words) - 1}
_portyard_completion portyard
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    return bash(script, folder, **environment).split()


pytestmark = pytest.mark.skipif(BASH is None, reason="not installed: bash")


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("portyard ta", {"tail"}),
        ("portyard rules cl", {"clear"}),
        ("portyard rules ", {"create", "delete", "clear"}),
        ("portyard sandboxes ", {"create", "delete", "lease"}),
        ("portyard personas ", {"create", "delete", "show"}),
        ("portyard tail --ro", {"--room"}),
        ("portyard tail --room po", {"pop3"}),
        ("portyard tail --kind re", {"reply"}),
        ("portyard rules create --on im", {"imap."}),
        ("portyard rules create --on smtp.rc", {"smtp.rcpt"}),
        ("portyard rules create --tls exp", {"expired"}),
        ("portyard serve m", {"msa", "mta", "mda"}),
        ("portyard completion z", {"zsh"}),
        ("portyard rules create --per s", {"session"}),
        ("portyard rules create --on smtp.rcpt --where s", {"sender="}),
        ("portyard rules create --on imap.moon --where s", set()),
        ("portyard sandboxes lease t1 im", {"imap"}),
        ("portyard sandboxes lease t1 cons", set()),
        ("portyard personas show ss", {"ssh"}),
    ],
)
def test_bash_completes(line: str, wanted: set[str], command: Path) -> None:
    assert set(completed(line, command)) == wanted


def test_sandboxes_are_those_that_are_there(command: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    with serving(state, "console") as running:
        url = f"http://127.0.0.1:{running.port('console')}"
        portyard("sandboxes", "create", "dock-7", cwd=tmp_path, PORTYARD_URL=url)
        for line in ("portyard tail --sandbox d", "portyard reset d", "portyard sandboxes delete d"):
            assert set(completed(line, command, PORTYARD_URL=url)) == {"default", "dock-7"}
    assert completed("portyard tail --sandbox d", command, PORTYARD_URL=url) == []  # nobody answers, nobody complains


def test_rules_and_personas_are_those_that_are_there(command: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    with serving(state, "console") as running:
        url = f"http://127.0.0.1:{running.port('console')}"
        portyard("sandboxes", "create", "dock-7", cwd=tmp_path, PORTYARD_URL=url)
        for words in (("--name", "tide", "--sandbox", "dock-7"), ("--name", "ebb"), ()):
            done = portyard("rules", "create", "--on", "smtp.rcpt", "--hang-up", *words, cwd=tmp_path, PORTYARD_URL=url)
            assert done.returncode == 0, done.stderr
        assert set(completed("portyard rules delete ", command, PORTYARD_URL=url)) == {"ebb", "3"}
        assert completed("portyard rules delete --sandbox dock-7 t", command, PORTYARD_URL=url) == ["tide"]
        assert completed("portyard personas show imap g", command, PORTYARD_URL=url) == ["gmail"]


def test_it_installs_itself(command: Path) -> None:
    bash("portyard --install-completion bash >/dev/null 2>&1 || portyard --install-completion >/dev/null", command)
    script = """
shopt -s expand_aliases
. ~/.bashrc
complete -p portyard
"""
    assert "_portyard_completion" in bash(script, command)


@pytest.mark.parametrize(("shell", "sign"), [("zsh", "#compdef portyard"), ("fish", "complete --command portyard")])
def test_scripts_of_other_shells(shell: str, sign: str, tmp_path: Path) -> None:
    told = portyard("completion", shell, cwd=tmp_path)
    assert told.returncode == 0, told.stderr
    assert sign in told.stdout


def test_another_shell_is_refused_by_name(tmp_path: Path) -> None:
    told = portyard("completion", "csh", cwd=tmp_path)
    assert told.returncode == 2
    assert "bash" in told.stderr
