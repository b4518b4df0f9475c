"""The command line against a running testbed, every command as a process, as a user runs it: the testbed and its sessions."""

from __future__ import annotations

import ftplib
import json
import re
import signal
import ssl
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from portyard import __version__
from portyard.cli.app import app
from portyard.cli.screen import screen, table
from tests.support.cli import Run, the_line
from tests.support.process import LIMIT_S, Running, clean_environment, portyard, serving

# ── the testbed ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_status_and_endpoints_of_a_url(run: Run, testbed: Running) -> None:
    assert re.search(r"^mta +ready$", run("status").stdout, re.MULTILINE)
    listed = json.loads(run("endpoints", "--json").stdout)
    assert next(e["host_number"] for e in listed if e["port"] == "smtp") == testbed.port("smtp")
    assert f"127.0.0.1:{testbed.port('smtp')}" in run("endpoints").stdout


def test_the_ports_of_data_connections_are_told(tmp_path: Path) -> None:
    with serving(tmp_path, "ftp", "console", PORTYARD_PASSIVE_PORTS="31400-31419") as running:
        url = f"http://127.0.0.1:{running.port('console')}"
        table = portyard("endpoints", "--url", url, cwd=tmp_path).stdout
        assert re.search(r"^ +passive +127\.0\.0\.1:31400-31419 +-", table, re.MULTILINE), table
        listed = json.loads(portyard("endpoints", "--json", "--url", url, cwd=tmp_path).stdout)
        assert {e["port"]: e["passive_ports"] for e in listed} == {
            "ftp": "31400-31419",
            "ftps": "31400-31419",
            "console": "",
        }
        with ftplib.FTP() as client:
            client.connect("127.0.0.1", running.port("ftp"), timeout=LIMIT_S)
            client.login("alice", "alice-secret")
            assert client.makepasv()[1] in range(31400, 31420)


def test_the_ca_in_its_formats(run: Run, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.serialization.pkcs12 import load_pkcs12

    pem = run("ca").stdout
    ssl.create_default_context(cadata=pem)
    run("ca", "--output", "ca.pem")
    assert (tmp_path / "ca.pem").read_text() == pem
    path = the_line(run("ca", "--path").stdout)
    assert Path(path).read_text() == pem
    run("ca", "--format", "p12", "--password", "pass-word", "--output", "ca.p12")
    (held,) = load_pkcs12((tmp_path / "ca.p12").read_bytes(), b"pass-word").additional_certs
    assert held.friendly_name == b"portyard"
    run("ca", "--format", "jks", "--output", "ca.jks")
    assert (tmp_path / "ca.jks").read_bytes().startswith(bytes.fromhex("feedfeed"))
    assert "password" in the_line(run("ca", "--format", "p12", "--password", "x", status=2).stderr)


def test_help_has_examples(run: Run) -> None:
    assert "portyard send --to" in run("--help").stdout
    assert "--refuse '451 4.7.1 later'" in " ".join(run("rules", "create", "--help").stdout.split())


def test_one_pair_of_verbs_is_told_and_others_are_understood(run: Run, tmp_path: Path) -> None:
    for group in app.registered_groups:
        assert group.typer_instance is not None
        shown = {each.name for each in group.typer_instance.registered_commands if not each.hidden}
        assert shown >= {"create", "delete"} if group.name != "mail" else not shown & {"create", "delete"}
        assert not shown & {"add", "rm", "remove"}
    number = the_line(run("rules", "add", "--on", "imap.fetch", "--hang-up").stdout).split()[1].rstrip(":")
    assert the_line(run("rules", "rm", number).stdout) == f"rule {number}: deleted"
    run("sandboxes", "add", "lagoon")
    assert the_line(run("sandboxes", "remove", "lagoon").stdout) == "sandbox lagoon: deleted"
    (tmp_path / "mine.toml").write_text('summary = "My own"')
    run("personas", "add", "imap", "mine.toml")
    assert the_line(run("personas", "rm", "imap", "mine").stdout) == "persona mine of imap: deleted"


def test_a_shell_completes_commands(tmp_path: Path) -> None:
    environment = clean_environment(COMP_WORDS="portyard rules cl", COMP_CWORD="2")
    environment["_PORTYARD_COMPLETE"] = "complete_bash"
    command = [sys.executable, "-c", "from portyard.cli.app import app; app(prog_name='portyard')"]
    done = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert done.stdout.split() == ["clear"]


def test_nothing_at_the_url(tmp_path: Path) -> None:
    done = portyard("mail", "--url", "http://127.0.0.1:1", cwd=tmp_path)
    assert done.returncode == 1
    assert "no testbed answers at http://127.0.0.1:1" in the_line(done.stderr)
    assert "make up" in done.stderr


def test_something_else_at_the_url(testbed: Running, tmp_path: Path) -> None:
    done = portyard("mail", "--url", f"http://127.0.0.1:{testbed.port('http')}", cwd=tmp_path)
    assert done.returncode == 1
    assert "is no testbed's console" in the_line(done.stderr)


def test_no_url_and_nothing_here(tmp_path: Path) -> None:
    for words in (["mail"], ["tail"], ["send"]):
        done = portyard(*words, cwd=tmp_path)
        assert done.returncode == 1
        assert "make up" in the_line(done.stderr)


def test_a_token_is_asked_for_and_given(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    with serving(tmp_path / "state", "console", PORTYARD_TOKEN="sesame") as running:
        url = f"http://127.0.0.1:{running.port('console')}"
        for words in (["sandboxes"], ["tail"]):
            done = portyard(*words, cwd=tmp_path, PORTYARD_URL=url)
            assert done.returncode == 1
            assert "set PORTYARD_TOKEN" in the_line(done.stderr)
        done = portyard("sandboxes", cwd=tmp_path, PORTYARD_URL=url, PORTYARD_TOKEN="sesame")
        assert done.returncode == 0
        assert "portyard.test" in done.stdout


def test_a_url_that_is_none(tmp_path: Path) -> None:
    done = portyard("mail", "--url", "//", cwd=tmp_path)
    assert done.returncode == 2
    assert "expected something like http://127.0.0.1:8025" in the_line(done.stderr)


# ── tail ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────


class Tail:
    """A `portyard tail` that follows already."""

    def __init__(self, url: str, cwd: Path, *words: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "portyard", "tail", *words],
            env=clean_environment(PORTYARD_URL=url),
            cwd=cwd,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a background job's children ignore it
        )
        self.timer = threading.Timer(LIMIT_S, self.process.kill)
        self.timer.start()
        assert self.process.stderr is not None
        assert self.process.stdout is not None
        self.out = self.process.stdout
        self.began = self.process.stderr.readline()

    def end(self) -> tuple[str, str, int]:
        try:
            out, err = self.process.communicate(timeout=LIMIT_S)
        finally:
            self.timer.cancel()
        return out, err, self.process.returncode


def test_tail_follows_until_interrupted(run: Run, url: str, tmp_path: Path) -> None:
    tail = Tail(url, tmp_path, "--room", "smtp")
    assert tail.began == f"following sandbox default at {url}, ^C ends\n"
    run("send", "--to", "bob@portyard.test")
    lines = []
    for line in tail.out:
        lines.append(line)
        if "C: QUIT" in line:
            break
    tail.process.send_signal(signal.SIGINT)
    _, err, status = tail.end()
    assert (err, status) == ("", 0)
    text = "".join(lines)
    assert re.search(r"^\d\d:\d\d:\d\d\.\d{3} smtp/mta +[0-9a-f]{8} S: +220 ", text, re.MULTILINE)
    assert re.search(r" C: +rcpt TO:<bob@portyard.test>$", text, re.MULTILINE | re.IGNORECASE)
    assert re.search(r" -- +opened .*port=smtp", text)
    assert "\N{ESCAPE}" not in text


def test_tail_filters_and_counts(run: Run, url: str, tmp_path: Path) -> None:
    tail = Tail(url, tmp_path, "--kind", "command", "--count", "2", "--json")
    run("send", "--to", "bob@portyard.test")
    out, err, status = tail.end()
    assert (err, status) == ("", 0)
    assert [json.loads(line)["kind"] for line in out.splitlines()] == ["command", "command"]


def test_tail_begins_in_the_past(run: Run) -> None:
    run("send", "--to", "bob@portyard.test")
    done = run(
        "tail", "--since", "2000-01-01T00:00:00Z", "--room", "smtp", "--text", "bob@portyard.test", "--count", "1"
    )
    assert "rcpt to:<bob@portyard.test>" in done.stdout.lower()
    assert "there is no room smpt; did you mean smtp?" in the_line(run("tail", "--room", "smpt", status=2).stderr)
    assert "no sandbox nope" in the_line(run("tail", "--sandbox", "nope", status=1).stderr)


def test_the_long_column_gives_way_and_no_other(capsys: pytest.CaptureFixture[str]) -> None:
    table(("name", "summary"), [("openssh-10.0", "x" * 300), ("a", "short")], giving="summary")
    head, first, second = capsys.readouterr().out.splitlines()
    assert head.split() == ["name", "summary"]
    assert re.fullmatch(r"openssh-10\.0  x{120,}… *", first)
    assert len(first) <= screen.width
    assert second.split() == ["a", "short"]


def test_sessions_are_listed_and_known_by_how_their_ids_end(run: Run) -> None:
    assert run("sessions").stderr == "no sessions\n"
    run("send", "--to", "mira@portyard.test", "--subject", "tide")
    run("mail", "wait", "--subject", "tide", "--timeout", "60")
    every = json.loads(run("sessions", "--json").stdout)
    (session,) = (each for each in every if each["service"] == "mta")
    listed = run("sessions", "--room", "smtp").stdout
    assert re.search(
        rf"^{session['id']} +smtp/mta +[-0-9]+ [:0-9]+ +(open|[.0-9]+) +127\.0\.0\.1:", listed, re.MULTILINE
    )
    ending = session["id"][-8:]
    assert run("export", ending).stdout == run("export", session["id"]).stdout
    assert "mira@portyard.test" in run("export", ending).stdout
    past = ("tail", "--since", session["opened_at"], "--count", "1", "--json", "--session")
    assert json.loads(run(*past, ending).stdout)["session"] == session["id"]
    assert json.loads(run(*past, "last").stdout)["session"] == every[0]["id"]
    assert the_line(run("tail", "--session", "zz", status=1).stderr) == (
        "portyard: no session zz in sandbox default; see: portyard sessions"
    )
    run("send", "--to", "mira@portyard.test", "--subject", "ebb")
    run("mail", "wait", "--subject", "ebb", "--timeout", "60")
    assert "several sessions' ids end" in run("export", "", status=1).stderr


def test_which_portyard_this_is(run: Run) -> None:
    assert run("--version").stdout == f"portyard {__version__}\n"
