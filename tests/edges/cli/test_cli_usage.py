"""What the command line says to who words it otherwise than it reads it."""

from __future__ import annotations

import json
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cli import Run, command_at
from tests.support.control import Console
from tests.support.process import LIMIT_S, Running, clean_environment, serving


@pytest.fixture(scope="module")
def testbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serving(tmp_path_factory.mktemp("state"), "pop3", "imap", "http", "console") as running:
        yield running


@pytest.fixture
def run(testbed: Running, tmp_path: Path) -> Run:
    return command_at(f"http://127.0.0.1:{testbed.port('console')}", tmp_path)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("sessions", "--room", "smtp", "--room", "imap"), "--room is given 2 times"),
        (("mail", "--to", "ada", "--to", "bob"), "--to is given 2 times"),
        (("mail", "list", "-s", "t1", "--sandbox", "t2"), "--sandbox is given 2 times"),
    ],
)
def test_no_value_is_passed_over_for_a_later_one(run: Run, words: tuple[str, ...], told: str) -> None:
    assert told in run(*words, status=2).stderr


def test_help_comes_whatever_else_is_given(run: Run) -> None:
    assert "List the sessions" in run("sessions", "--room", "a", "--room", "b", "--help").stdout


def test_options_of_many_values_take_them(run: Run) -> None:
    run("sandboxes", "create", "many", "--domain", "one.example", "--domain", "two.example")
    listed = json.loads(run("sandboxes", "--json").stdout)
    assert {"one.example", "two.example"} < {name for each in listed for name in each["domains"]}


@pytest.mark.parametrize("command", ["tail", "sessions"])
def test_a_room_that_stands_alone_is_told_its_option(run: Run, command: str) -> None:
    assert "--room imap" in run(command, "imap", status=2).stderr
    assert "unexpected extra argument" in run(command, "harbour", status=2).stderr


@pytest.mark.parametrize(
    ("words", "option"),
    [(("pcapng",), "--format pcapng"), (("last", "har"), "--format har"), (("imap",), "--room imap")],
)
def test_an_export_s_format_and_room_are_no_sessions(run: Run, words: tuple[str, ...], option: str) -> None:
    told = run("export", *words, status=2).stderr
    assert told == f"portyard: {words[-1]} is no session's id; give {option}\n"


def test_a_room_to_serve_that_is_nearly_one(run: Run) -> None:
    assert "did you mean pop3?" in run("serve", "pop", status=2).stderr
    assert "no such room or service; known are all, console" in run("serve", "harbour", status=2).stderr


def test_reset_knows_its_sandbox_by_option_too(run: Run, console: Console) -> None:
    run("sandboxes", "create", "quay")
    for words in (("--sandbox", "quay"), ("-s", "quay"), ("quay",), ("quay", "-s", "quay")):
        run("rules", "create", "--sandbox", "quay", "--on", "http.request", "--hang-up")
        run("rules", "create", "--on", "http.request", "--hang-up")
        assert run("reset", *words).stdout == "sandbox quay: empty\n"
        assert json.loads(console.ask("sandboxes/quay/rules")) == []
        assert json.loads(console.ask("sandboxes/default/rules")) != []
    assert "two sandboxes are named" in run("reset", "quay", "-s", "default", status=2).stderr
    run("reset")


def test_tail_follows_several_rooms_at_once(run: Run, testbed: Running) -> None:
    for port in ("pop3", "http", "imap"):
        with socket.create_connection(("127.0.0.1", testbed.port(port)), timeout=LIMIT_S) as client:
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert client.recv(4096)  # it is in the journal by then
    words = ("tail", "--since", "2020-01-01T00:00:00Z", "--json", "--kind", "opened", "--count", "2")
    told = run(*words, "--room", "pop3", "--room", "imap").stdout
    assert [json.loads(line)["room"] for line in told.splitlines()] == ["pop3", "imap"]
    assert "did you mean imap?" in run(*words, "--room", "pop3", "--room", "imapp", status=2).stderr


MISTAKES = [
    (("upp",), "No such command 'upp'. Did you mean 'up'?; see: portyard --help"),
    (("down", "all"), "Got unexpected extra argument(s) (all); see: portyard down --help"),
    (("status", "--ulr", "x"), "No such option: --ulr (Possible options: --url); see: portyard status --help"),
    (("tail", "--url"), "Option '--url' requires an argument"),
    (("mail", "show"), "Missing argument 'ID'; see: portyard mail show --help"),
    (("ca", "--format", "der"), "'der' is not one of 'pem', 'p12', 'jks'; see: portyard ca --help"),
    (("tail", "--count", "x"), "Input should be a valid integer"),
    (("mail", "--url", "http://127.0.0.1:x"), "url = 'http://127.0.0.1:x': Port could not be cast"),
    (("mail", "--url", "ftp://127.0.0.1"), "url = 'ftp://127.0.0.1': expected something like http://127.0.0.1:8025"),
    (("ca", "--password", "hidden"), "say which with --format"),
    (("send", "--password", "hidden"), "name it with --login"),
    (("send", "--text", "-", "--html", "-"), "can't both read standard input"),
    (("send", "letter.eml", "--text", "Hi"), "letter.eml is sent as it is: give no --text"),
    (("send", "missing.eml"), "missing.eml: No such file"),
    (("tail", "--kind", "nope"), "there is no kind nope"),
    (("rules", "create", "--on", "pop3.stat", "--delay", "soon"), "then.delay: not a number of seconds"),
    (("play", "missing.talk", "--to", "nowhere"), "--to nowhere: expected HOST:PORT"),
    (("play", "none.talk"), "none.talk: No such file"),
    (("personas", "create", "imap", "missing.toml"), "missing.toml: No such file"),
]


@pytest.mark.parametrize(("words", "told"), MISTAKES, ids=[" ".join(words) for words, _ in MISTAKES])
def test_a_mistake_is_told_in_one_line(words: tuple[str, ...], told: str, run: Run, tmp_path: Path) -> None:
    (tmp_path / "missing.talk").write_text("room: pop3\nC: QUIT\n")
    done = run(*words, status=2)
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("portyard: ")
    assert told in line


def test_without_a_word_there_is_help(run: Run) -> None:
    done = run(status=2)
    assert "Usage: portyard" in done.stdout + done.stderr
    assert "portyard: " not in done.stderr


def test_a_reader_that_has_gone_is_no_failure(testbed: Running, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{testbed.port('console')}"
    tail = subprocess.Popen(
        [sys.executable, "-m", "portyard", "tail", "--room", "http", "--url", url],
        cwd=tmp_path,
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with tail:
        assert tail.stdout is not None
        assert tail.stderr is not None
        assert tail.stderr.readline().startswith(b"following ")
        tail.stdout.close()
        with socket.create_connection(("127.0.0.1", testbed.port("http")), timeout=LIMIT_S) as client:
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert client.recv(4096)
        assert (tail.wait(LIMIT_S), tail.stderr.read()) == (0, b"")


@pytest.mark.parametrize("words", ["personas", "endpoints", "ca"])
def test_a_closed_output_is_no_accident(words: str, testbed: Running, tmp_path: Path) -> None:
    script = f"{shlex.quote(sys.executable)} -m portyard {words} >&-"
    environment = clean_environment(PORTYARD_URL=f"http://127.0.0.1:{testbed.port('console')}")
    done = subprocess.run(["/bin/sh", "-c", script], cwd=tmp_path, env=environment, stderr=subprocess.PIPE, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
