"""The command line against a running testbed: every command as a process, as a user runs it."""

from __future__ import annotations

import email
import email.policy
import ftplib
import json
import re
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from pathlib import Path

import pytest

from portyard import __version__
from portyard.cli.app import app
from portyard.cli.screen import screen, table
from tests.support.control import Console
from tests.support.process import LIMIT_S, Running, clean_environment, portyard, serving

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def testbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serving(tmp_path_factory.mktemp("state"), "all") as running:
        yield running


@pytest.fixture
def url(testbed: Running) -> str:
    return f"http://127.0.0.1:{testbed.port('console')}"


@pytest.fixture
def console(testbed: Running) -> Console:
    return Console(testbed.port("console"))


@pytest.fixture
def run(url: str, tmp_path: Path, console: Console) -> Run:
    """Runs a command to its end; `status` is the one that it must end with."""
    console.ask("sandboxes/default/reset", method="POST")

    def command(*words: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        done = portyard(*words, cwd=tmp_path, PORTYARD_URL=url)
        assert done.returncode == status, done.stdout + done.stderr
        return done

    return command


def the_line(text: str) -> str:
    (line,) = text.strip().splitlines()
    return line


def received(console: Console, **query: object) -> EmailMessage:
    (message,) = console.wait(1, **query)
    parsed = email.message_from_bytes(console.raw(message), policy=email.policy.default)
    assert isinstance(parsed, EmailMessage)
    return parsed


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


# ── send ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_send_straight_to_the_mta(run: Run, console: Console, tmp_path: Path) -> None:
    (tmp_path / "data.bin").write_bytes(bytes(range(256)))
    words = (
        "--from",
        "Ada <ada@example.com>",
        "--to",
        "Bob <bob@portyard.test>",
        "--subject",
        "Grüße",
        "--text",
        "Wörter",
    )
    done = run("send", *words, "--html", "<b>W</b>", "--attach", "data.bin")
    assert "sent to bob@portyard.test by mta" in the_line(done.stdout)
    message = received(console, to="bob", from_="ada@example.com")
    assert message["Subject"] == "Grüße"
    assert message["To"] == "Bob <bob@portyard.test>"
    text, html = message.get_body(("plain",)), message.get_body(("html",))
    assert text is not None
    assert html is not None
    assert (text.get_content(), html.get_content()) == ("Wörter\r\n", "<b>W</b>\r\n")
    (attached,) = message.iter_attachments()
    assert (attached.get_filename(), attached.get_content()) == ("data.bin", bytes(range(256)))


def test_send_through_the_msa(run: Run, console: Console) -> None:
    done = run("send", "--login", "alice@portyard.test", "--to", "bob@portyard.test", "--subject", "by login")
    assert "by msa" in done.stdout
    assert received(console, subject="by login")["From"] == "alice@portyard.test"
    (session,) = [each for each in console.get("sessions", room="smtp") if each["service"] == "msa"]
    assert session["account"] == "alice@portyard.test"
    events = console.get(f"sessions/{session['id']}")["events"]
    assert any(event["kind"] == "tls" and event["fields"]["step"] == "established" for event in events)


@pytest.mark.parametrize("login", ["alice", "default/alice@portyard.test"])
def test_send_as_a_login_name_that_is_no_address(run: Run, console: Console, login: str) -> None:
    words = ["--password", "alice-secret"] if "/" in login else []
    run("send", "--login", login, *words, "--to", "bob@portyard.test", "--subject", f"as {login}")
    assert received(console, subject=f"as {login}")["From"] == "alice@portyard.test"


def test_send_a_file_as_it_is(run: Run, console: Console, tmp_path: Path) -> None:
    octets = b"From: ada@example.com\nTo: x@one.test\nCc: y@two.test\nSubject: filed\n\n.dot\nl\xc3\xa4st\n"
    (tmp_path / "m.eml").write_bytes(octets)
    assert "sent to x@one.test, y@two.test" in run("send", "m.eml").stdout
    messages = console.wait(2, subject="filed")
    assert {message["recipient"] for message in messages} == {"x@one.test", "y@two.test"}
    assert console.raw(messages[0]).endswith(octets.replace(b"\n", b"\r\n"))
    run("send", "m.eml", "--to", "z@three.test", "--from", "other@example.org")
    assert [m["recipient"] for m in console.wait(1, to="z@three.test")] == ["z@three.test"]


def test_send_refused(run: Run, console: Console, tmp_path: Path) -> None:
    run("rules", "create", "--on", "smtp.rcpt", "--where", "recipient=no@*", "--refuse", "550 5.1.1 nobody here")
    line = the_line(run("send", "--to", "no@x.test", status=1).stderr)
    assert line == "portyard: every recipient was refused: no@x.test: 550 5.1.1 nobody here"
    line = the_line(run("send", "--to", "no@x.test", "--to", "yes@x.test", status=1).stderr)
    assert line == "portyard: sent to yes@x.test, but refused for no@x.test: 550 5.1.1 nobody here"
    assert "--password" in the_line(run("send", "--login", "carol", status=1).stderr)
    assert "was refused: 535" in the_line(run("send", "--login", "alice", "--password", "wrong", status=1).stderr)
    assert "missing.eml: No such file" in the_line(run("send", "missing.eml", status=2).stderr)
    (tmp_path / "empty.eml").write_bytes(b"Subject: x\n\nx\n")
    assert "--to" in the_line(run("send", "empty.eml", status=2).stderr)
    run("rules", "create", "--on", "smtp.mail", "--hang-up")
    assert "wasn't taken" in the_line(run("send", status=1).stderr)


# ── mail ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_mail_is_listed_shown_and_saved(run: Run, console: Console, tmp_path: Path) -> None:
    assert run("mail").stderr == "no messages\n"
    assert "no messages yet" in the_line(run("mail", "show", "last", status=1).stderr)
    text = "Your code is 123456, see https://example.com/verify"
    run("send", "--from", "ada@example.com", "--subject", "your \N{ESCAPE}[31m code", "--text", text)
    (message,) = console.wait(1)
    title, row = run("mail").stdout.splitlines()
    assert title.split() == ["id", "received", "from", "to", "size", "subject"]
    assert row.split()[0] == message["id"]
    assert "ada@example.com" in row
    assert "\N{ESCAPE}" not in row
    shown = run("mail", "show", message["id"]).stdout
    assert "From: ada@example.com\n" in shown
    assert f"\n{text}\n" in shown
    assert re.search(r"^link +https://example.com/verify$", shown, re.MULTILINE)
    assert re.search(r"^code +123456$", shown, re.MULTILINE)
    assert run("mail", "show", "last").stdout == shown
    run("mail", "raw", message["id"], "--output", "m.eml")
    assert (tmp_path / "m.eml").read_bytes() == console.raw(message)
    assert json.loads(run("mail", "--json").stdout)[0]["id"] == message["id"]
    assert run("mail", "--subject", "nothing").stderr == "no messages\n"
    assert "no message 999999 in sandbox default" in the_line(run("mail", "show", "999999", status=1).stderr)
    assert "no sandbox nope" in the_line(run("mail", "--sandbox", "nope", status=1).stderr)


def test_mail_is_waited_for(run: Run, console: Console, url: str, tmp_path: Path) -> None:
    run("send", "--subject", "one")
    run("send", "--subject", "two")
    assert "two" in run("mail", "wait", "--subject", "two").stdout
    missed = run("mail", "wait", "--subject", "three", "--timeout", "0", status=1).stderr.splitlines()
    assert any("subject differs" in line for line in missed)
    assert missed[-1] == "portyard: 0 of 1 came within 0 s"
    run("mail", "wait", "--to", "nobody", "--count", "0", "--timeout", "0")
    assert "though none was to" in run("mail", "wait", "--count", "0", "--timeout", "0", status=1).stderr
    console.wait(2)


# ── rules and sandboxes ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("group", "key"), [("rules", "id"), ("mail", "id"), ("sandboxes", "name"), ("personas", "name")]
)
def test_list_lists(run: Run, console: Console, group: str, key: str) -> None:
    run("send", "--to", "alice@portyard.test", "--subject", "listed")
    console.wait(1, subject="listed")
    run("rules", "create", "--on", "smtp.rcpt", "--delay", "1ms")
    listed = [each[key] for each in json.loads(run(group, "list", "--json").stdout)]
    assert listed
    assert listed == [each[key] for each in json.loads(run(group, "--json").stdout)]


def test_rules_are_set_by_options_counted_and_removed(run: Run) -> None:
    assert run("rules").stderr == "no rules\n"
    words = ("--where", "recipient=*@slow.test", "--refuse", "451 4.7.1 later", "--times", "2", "--name", "grey")
    added = the_line(run("rules", "create", "--on", "smtp.rcpt", *words).stdout)
    assert '{"refuse": "451 4.7.1 later"}' in added
    run("send", "--to", "x@slow.test", status=1)
    _, row = run("rules").stdout.splitlines()
    assert row.split() == [
        *(added.split()[1].rstrip(":"), "grey", "smtp.rcpt", "recipient=*@slow.test", "1", "of", "2", "1"),
        *('{"refuse":', '"451', "4.7.1", 'later"}'),
    ]
    run("send", "--to", "x@slow.test", status=1)
    assert "2 of 2, spent" in run("rules").stdout
    run("send", "--to", "x@slow.test")
    number = json.loads(run("rules", "--json").stdout)[0]["id"]
    assert the_line(run("rules", "delete", number).stdout) == f"rule {number}: deleted"
    assert f"no rule {number}" in the_line(run("rules", "delete", number, status=1).stderr)
    run("rules", "create", "--name", "mine", "--on", "imap.fetch", "--hang-up")
    assert the_line(run("rules", "delete", "mine").stdout) == "rule mine: deleted"
    run("rules", "create", "--on", "imap.fetch", "--hang-up", "--delay", "150ms")
    run("rules", "clear")
    assert json.loads(run("rules", "--json").stdout) == []


def test_rules_are_set_by_files(run: Run, url: str, tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text(
        '[[rule]]\non = "pop3.retr"\nthen = { hang_up = true }\n[[rule]]\non = "http.connect"\nthen = { reset = true }\n'
    )
    assert len(run("rules", "create", "r.toml").stdout.splitlines()) == 2
    (tmp_path / "r.json").write_text('{"on": "ftp.retr", "then": {"refuse": "450 no"}}')
    run("rules", "create", "r.json")
    words = [sys.executable, "-m", "portyard", "rules", "create", "-"]
    done = subprocess.run(
        words,
        input='[[rule]]\non = "smtp.data"\nthen = { silence = true }\n',
        env=clean_environment(PORTYARD_URL=url),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    listed = [rule["on"] for rule in json.loads(run("rules", "--json").stdout)]
    assert listed == ["pop3.retr", "http.connect", "ftp.retr", "smtp.data"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--on", "smtp.rcp", "--refuse", "451 x"), "did you mean rcpt?"),
        (("--refuse", "451 x"), "give --on"),
        ((), "give a file or --on"),
        (("--on", "smtp.rcpt", "--then", "{"), "--then isn't JSON"),
        (("--on", "smtp.rcpt", "--then", '{"delay": 1, "delay": 2}'), "--then: delay is given twice"),
        (("twice.json",), "twice.json: rule[0].on is given twice"),
        (("twice.toml",), "twice.toml: rule[0].on is given twice (line 3)"),
        (("--on", "smtp.rcpt", "--where", "recipient", "--hang-up"), "expected FIELD=PATTERN"),
        (("--on", "smtp.rcpt", "--times", "-1", "--hang-up"), "times"),
        (("--on", "smtp.rcpt"), "then"),
        (("missing.toml",), "missing.toml: No such file"),
        (("bad.toml",), "bad.toml: not TOML"),
        (("bad.toml", "--on", "x"), "give a file or --on"),
    ],
)
def test_a_wrong_rule_is_told_in_a_line(words: tuple[str, ...], told: str, run: Run, tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("= 3")
    (tmp_path / "twice.json").write_text('[{"on": "smtp.rcpt", "on": "smtp.data", "then": {"delay": 1}}]')
    (tmp_path / "twice.toml").write_text("[[rule]]\non = 'smtp.rcpt'\non = 'smtp.data'\nthen = { delay = 1 }\n")
    assert told in the_line(run("rules", "create", *words, status=2).stderr)
    assert json.loads(run("rules", "--json").stdout) == []


def test_sandboxes_come_are_reset_and_go(run: Run, console: Console) -> None:
    made = the_line(
        run("sandboxes", "create", "shop", "--domain", "shop.example", "--capture", "own", "--magic").stdout
    )
    assert made == "sandbox shop: owns shop.test, shop.example, capture own"
    assert "taken" in the_line(run("sandboxes", "create", "shop", status=1).stderr)
    assert re.search(r"^shop +shop.test, shop.example +own +on +\d+$", run("sandboxes").stdout, re.MULTILINE)
    run("rules", "--sandbox", "shop", "create", "--on", "imap.fetch", "--hang-up")
    assert "imap.fetch" in run("rules", "--sandbox", "shop").stdout
    assert run("rules").stderr == "no rules\n"
    assert the_line(run("reset", "shop").stdout) == "sandbox shop: empty"
    assert run("rules", "--sandbox", "shop").stderr == "no rules\n"
    run("sandboxes", "delete", "shop")
    assert "no sandbox shop" in the_line(run("sandboxes", "delete", "shop", status=1).stderr)
    assert "default" in the_line(run("sandboxes", "delete", "default", status=1).stderr)


def test_a_sandbox_is_leased_listeners_and_gives_them_back(run: Run, console: Console) -> None:
    run("sandboxes", "create", "quay")
    assert re.search(
        r"^pop3 +127\.0\.0\.1:\d+ +upgrade *$", run("sandboxes", "lease", "quay", "pop3").stdout, re.MULTILINE
    )
    assert "did you mean pop3" in the_line(run("sandboxes", "lease", "quay", "pop", status=2).stderr)
    told = the_line(run("sandboxes", "lease", "quay", "pop3", "--give-back").stdout)
    assert told == "sandbox quay: gave back its listeners of pop3"
    assert "no lease of pop3" in the_line(run("sandboxes", "lease", "quay", "pop3", "--give-back", status=1).stderr)
    run("sandboxes", "delete", "quay")


def test_reset_empties_the_default_sandbox(run: Run, console: Console) -> None:
    run("send")
    console.wait(1)
    run("reset")
    assert run("mail").stderr == "no messages\n"


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


def test_personas_are_listed_brought_shown_and_removed(run: Run, tmp_path: Path) -> None:
    assert re.search(r"^imap +gmail +Gmail-like", run("personas").stdout, re.MULTILINE)
    (tmp_path / "mine.toml").write_text('summary = "My own"\n[replies]\ngreeting = "Ahoy"\n')
    assert the_line(run("personas", "create", "imap", "mine.toml").stdout) == "persona mine of imap: in force"
    assert re.search(r"^imap +mine +yours +My own *$", run("personas").stdout, re.MULTILINE)
    kept = json.loads(run("personas", "show", "imap", "mine").stdout)
    assert kept == {"name": "mine", "summary": "My own", "replies": {"greeting": "Ahoy"}}
    (tmp_path / "copy.json").write_text(json.dumps(kept))
    run("personas", "create", "imap", "copy.json", "--name", "other")
    listed = json.loads(run("personas", "--json").stdout)
    assert {each["name"] for each in listed if not each["builtin"]} == {"mine", "other"}
    (tmp_path / "bad.toml").write_text("greting = 1")
    assert "did you mean replies.greeting?" in the_line(run("personas", "create", "imap", "bad.toml", status=2).stderr)
    assert "No such file" in the_line(run("personas", "create", "imap", "missing.toml", status=2).stderr)
    assert "can't be changed" in the_line(run("personas", "delete", "imap", "gmail", status=1).stderr)
    for name in ("mine", "other"):
        run("personas", "delete", "imap", name)
    assert "yours" not in run("personas").stdout


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
    if len(every) > 1:
        assert "several sessions' ids end" in run("export", "", status=1).stderr


def test_which_portyard_this_is(run: Run) -> None:
    assert run("--version").stdout == f"portyard {__version__}\n"
