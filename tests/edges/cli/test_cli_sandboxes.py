"""Sandboxes, and the rules and personas that they live by, at the command line."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.cli import Run, the_line
from tests.support.control import Console
from tests.support.process import LIMIT_S, clean_environment


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
