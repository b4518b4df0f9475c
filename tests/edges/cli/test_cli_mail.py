"""Mail at the command line: sent, listed, shown, saved and waited for."""

from __future__ import annotations

import email
import email.policy
import json
import re
from email.message import EmailMessage
from pathlib import Path

import pytest

from tests.support.cli import Run, the_line
from tests.support.control import Console


def received(console: Console, **query: object) -> EmailMessage:
    (message,) = console.wait(1, **query)
    parsed = email.message_from_bytes(console.raw(message), policy=email.policy.default)
    assert isinstance(parsed, EmailMessage)
    return parsed


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
