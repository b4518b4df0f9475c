"""Talks are played again by the kit and by `portyard play`: a session that was seen, and where the server answers differently."""

from __future__ import annotations

import ftplib
import imaplib
import poplib
import smtplib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from portyard.testing import Account, Sandbox, TalkError, TalkFailure, Testbed
from portyard.testing import talks as playing
from tests.support.process import portyard

LETTER = b"Subject: again\r\n\r\nhello\r\n"
LIMIT_S = 30.0


@pytest.fixture(scope="module")
def testbed() -> Iterator[Testbed]:
    with Testbed.embedded() as running:
        running.wait_until_open()
        yield running


def submission(testbed: Testbed, sandbox: Sandbox, account: Account) -> None:
    with smtplib.SMTP(sandbox.submission.host, sandbox.submission.port, timeout=LIMIT_S) as client:
        client.starttls(context=testbed.ssl_context())
        client.login(account.address, account.password)
        client.sendmail(account.address, ["bob@example.org"], LETTER * 40)


def imap(testbed: Testbed, sandbox: Sandbox, account: Account) -> None:
    client = imaplib.IMAP4_SSL(
        sandbox.imap.host, sandbox.imap.tls_port, ssl_context=testbed.ssl_context(), timeout=LIMIT_S
    )
    client.login(account.address, account.password)
    client.append("INBOX", None, None, LETTER)  # type: ignore[arg-type]
    client.append("INBOX", None, None, LETTER * 40)  # type: ignore[arg-type]
    client.select()
    client.fetch("1", "(FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
    client.logout()


def pop3(testbed: Testbed, sandbox: Sandbox, account: Account) -> None:
    client = poplib.POP3(sandbox.pop3.host, sandbox.pop3.port, timeout=LIMIT_S)
    client.stls(testbed.ssl_context())
    client.user(account.address)
    client.pass_(account.password)
    client.stat()
    client.quit()


def ftp(testbed: Testbed, sandbox: Sandbox, account: Account) -> None:
    client = ftplib.FTP(timeout=LIMIT_S)
    client.connect(sandbox.ftp.host, sandbox.ftp.port)
    client.login(account.address, account.password)
    client.mkd("drawings")
    client.quit()


def seen(testbed: Testbed, sandbox: Sandbox, errand: Callable[..., None], room: str) -> str:
    """The talk of an errand's session."""
    errand(testbed, sandbox, sandbox.account("ada", password="ada-secret"))
    (session,) = (each for each in sandbox.sessions(room=room) if each["account"] == f"ada@{sandbox.domain}")
    sandbox.events.wait(kind="closed", session=session["id"], timeout=LIMIT_S)
    text = testbed.control.raw(f"sandboxes/{sandbox.name}/export?format=test&room={room}").decode()
    return next(f"room: {talk}" for talk in text.split("room: ") if f"account: ada@{sandbox.domain}" in talk)


@pytest.mark.parametrize(
    ("service", "room", "errand"),
    [("submission", "smtp", submission), ("imap", "imap", imap), ("pop3", "pop3", pop3), ("ftp", "ftp", ftp)],
)
def test_a_session_that_was_seen_is_had_again(
    testbed: Testbed, service: str, room: str, errand: Callable[..., None]
) -> None:
    first, second = testbed.sandbox(), testbed.sandbox()
    text = seen(testbed, first, errand, room)
    assert "ada-secret" not in text
    ada = second.account("ada", password="ada-secret")
    heard = getattr(second, service).play(text.replace(first.name, second.name), ada)
    assert heard == sum(line.startswith("S:") and line not in ("S: ...", "S: <closed>") for line in text.split("\n"))
    played = testbed.control.raw(f"sandboxes/{second.name}/export?format=test&room={room}").decode()
    assert said(played.replace(second.name, first.name)) == said(text)


def said(text: str) -> list[str]:
    """What the client said in its session with the login."""
    talk = next(talk for talk in text.split("room: ") if "account: " in talk)
    return [line for line in talk.split("\n") if line.startswith("C")]


def many_answers(testbed: Testbed, sandbox: Sandbox, account: Account) -> None:
    """Answers that the journal cuts: in the midst of a line, of a literal, and at a line's end."""
    client = imaplib.IMAP4(sandbox.imap.host, sandbox.imap.port, timeout=LIMIT_S)
    client.login(account.address, account.password)
    for number in range(40):
        client.create(f"{number:02}-{'x' * 30}")
        client.append("INBOX", None, None, LETTER)  # type: ignore[arg-type]
    client.list()
    client.select()
    client.fetch("1:*", "(UID BODY.PEEK[HEADER] RFC822.SIZE)")
    client.search(None, "ALL")
    client.logout()


def test_answers_that_the_journal_does_not_show_whole(testbed: Testbed) -> None:
    first, second = testbed.sandbox(), testbed.sandbox()
    text = seen(testbed, first, many_answers, "imap")
    lines = [line for line in text.split("\n") if not line.startswith("#")]
    ends = [lines[place + 1] for place, line in enumerate(lines) if line == "S: ..."]
    assert [end.split(" ", 3)[3] for end in ends] == ["List completed", "Fetch completed"]
    assert second.imap.play(text.replace(first.name, second.name), second.account("ada", password="ada-secret"))


def resetting(testbed: Testbed, sandbox: Sandbox, account: Account) -> None:
    """A client that breaks off in the midst of an answer."""
    client = imaplib.IMAP4(sandbox.imap.host, sandbox.imap.port, timeout=LIMIT_S)
    client.login(account.address, account.password)
    client.append("INBOX", None, None, LETTER * 400_000)  # type: ignore[arg-type]
    client.select()
    client.send(b"z FETCH 1 (BODY.PEEK[] BODY.PEEK[TEXT])\r\n")  # far more than the kernel takes
    client.sock.recv(1)
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.shutdown()


def test_a_client_that_broke_off_is_who_closed(testbed: Testbed) -> None:
    sandbox = testbed.sandbox()
    assert seen(testbed, sandbox, resetting, "imap").rstrip().endswith("C: <close>")


def broken_off(testbed: Testbed, sandbox: Sandbox, account: Account) -> None:
    """A literal in whose midst a rule hangs up."""
    sandbox.imap.hang_up(on="message", where={"octets": ">9"})
    client = imaplib.IMAP4(sandbox.imap.host, sandbox.imap.port, timeout=LIMIT_S)
    client.login(account.address, account.password)
    client.append("INBOX", None, None, LETTER)  # type: ignore[arg-type]
    client.select()
    with pytest.raises(imaplib.IMAP4.abort):
        client.fetch("1", "(BODY.PEEK[])")
    client.shutdown()


def test_an_answer_that_a_rule_broke_off_is_had_again_where_the_rule_is(testbed: Testbed) -> None:
    first, second = testbed.sandbox(), testbed.sandbox()
    text = seen(testbed, first, broken_off, "imap")
    assert text.rstrip().endswith("S: Subject: aga\nS: <closed>")
    text, ada = text.replace(first.name, second.name), second.account("ada", password="ada-secret")
    second.imap.hang_up(on="message", where={"octets": ">9"})
    second.imap.play(text, ada)
    second.reset()  # of its rules, too
    with pytest.raises(TalkFailure):
        second.imap.play(text, ada)


def test_a_connection_that_a_rule_cut_was_closed_on_the_servers_side(testbed: Testbed) -> None:
    sandbox = testbed.sandbox()
    ada = sandbox.account("ada", password="ada-secret")
    sandbox.pop3.cut_after(3, on="stat")
    talk = "room: pop3\nS: +OK $\nC: USER $user\nS: +OK $\nC: PASS $password\nS: +OK $\nC: STAT\nS: +OK\nS: <closed>\n"
    sandbox.pop3.play(talk, ada)
    sandbox.events.wait(kind="closed", room="pop3", timeout=LIMIT_S)
    exported = testbed.control.raw(f"sandboxes/{sandbox.name}/export?format=test&room=pop3").decode()
    assert exported.rstrip().endswith("S: <closed>")


def test_what_the_server_says_differently_is_told(testbed: Testbed) -> None:
    sandbox = testbed.sandbox()
    hello = "room: smtp\nS: 220 $\nC: HELO here\nS: 250 $\n"
    talk = f"{hello}C: MAIL FROM:<a@b.example>\nS: 250 $\nC: RCPT TO:<x@{sandbox.domain}>\nS: 250 $\n"
    assert sandbox.smtp.play(talk) == 4
    refusal = sandbox.smtp.refuse("451 4.7.1 later", on="rcpt")
    with pytest.raises(
        TalkFailure, match=r"\Aline 8: wanted '250 \$', got '451 4.7.1 later'\nso far:\nS: 220"
    ) as failure:
        sandbox.smtp.play(talk)
    assert str(failure.value).endswith(f"C: RCPT TO:<x@{sandbox.domain}>\nS: 451 4.7.1 later")
    refusal.remove()
    sandbox.smtp.hang_up(on="rcpt")
    with pytest.raises(TalkFailure, match=r"\Athe server closed, wanted '250 \$'\n"):
        sandbox.smtp.play(talk)


def test_two_sessions_of_one_talk(testbed: Testbed) -> None:
    sandbox = testbed.sandbox()
    assert (
        sandbox.pop3.play(
            "room: pop3\n1 S: +OK $\n2 S: +OK $\n2 C: QUIT\n2 S: +OK $\n2 S: <closed>\n1 C: NOOP\n1 S: -ERR $\n"
        )
        == 4
    )


def test_nothing_comes(testbed: Testbed) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        server = playing.Server("127.0.0.1", mute.getsockname()[1], timeout_s=0.05)
        with pytest.raises(TalkFailure, match=r"\Anothing came in 0.05 s, wanted '\+OK \$'"):
            playing.play("room: pop3\nS: +OK $\n", server)
        with pytest.raises(TalkFailure, match=r"\Aline 2: <tls>: .*timed out"):
            playing.play("room: pop3\nC: <tls>\nS: +OK $\n", server)


def test_a_certificate_that_nobody_vouches_for(testbed: Testbed) -> None:
    server = playing.Server("127.0.0.1", testbed.sandbox().pop3.tls_port)
    with pytest.raises(TalkFailure, match=r"line 2: <tls>: .*CERTIFICATE_VERIFY_FAILED"):
        playing.play("room: pop3\nC: <tls>\nS: +OK $\n", server)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("room: dns\nC: A x.\n", "room: dns: expected one that talks in lines: ftp, imap, pop3, smtp"),
        ("C: NOOP\n", r"room: \(missing\): expected"),
        ("room: pop3  start: transaction\nC: NOOP\n", "start: transaction: a client can't bring that about"),
        ("room: pop3\nC: NOOP\nstore: INBOX has 1\n", "line 3: a client can't play store"),
        ("room: pop3\nC: <silence>\n", "line 2: a client can't play <silence>"),
        ("room: ftp\nC: USER a\nC: epsv\n", "line 3: epsv: what goes over FTP's data connections isn't played"),
        ("room: pop3\nhello\n", "talk:2: neither a header nor a step: 'hello'"),
        ("room: pop3\nC: PASS $password\n", "[$]password isn't bound yet"),
        ("room: imap\nC: a NOOP\n", "room: imap: this is pop3"),
    ],
)
def test_a_talk_that_a_client_cannot_play(testbed: Testbed, text: str, why: str) -> None:
    with pytest.raises(TalkError, match=why):
        testbed.default().pop3.play(text)


# ── the command ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def command(testbed: Testbed, folder: Path, *words: str, status: int = 0) -> str:
    done = portyard("play", *words, cwd=folder, PORTYARD_URL=testbed.control.url)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout if status == 0 else done.stderr


def test_the_command_finds_port_and_password(testbed: Testbed, tmp_path: Path) -> None:
    client = poplib.POP3_SSL(
        "127.0.0.1", testbed.default().pop3.tls_port, context=testbed.ssl_context(), timeout=LIMIT_S
    )
    client.user("alice")
    client.pass_("alice-secret")
    client.quit()
    exported = portyard(
        "export", "last", "-f", "test", "-o", "seen.talk", cwd=tmp_path, PORTYARD_URL=testbed.control.url
    )
    assert exported.returncode == 0, exported.stderr
    assert "port: pop3s" in (tmp_path / "seen.talk").read_text()
    shown = command(testbed, tmp_path, "seen.talk")
    assert shown.startswith("C: <tls>\nS: +OK ")
    assert "C: PASS $password\n" in shown
    assert shown.endswith("4 lines of the server's, each as the talk has it\n")
    told = command(testbed, tmp_path, "seen.talk", "--password", "wrong", status=1)
    assert told.startswith("portyard: line ")
    assert "wanted '+OK" in told
    assert "got '-ERR" in told


def test_the_command_and_another_server(testbed: Testbed, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            peer, _ = listening.accept()
            with peer, peer.makefile("rwb") as stream:
                stream.write(b"+OK hello\r\n")
                stream.flush()
                stream.write(b"+OK " + stream.readline())
                stream.flush()

        thread = threading.Thread(target=serve)
        thread.start()
        (tmp_path / "a.talk").write_text("room: pop3\nS: +OK hello\nC: USER $user\nS: +OK USER ada\nS: <closed>\n")
        words = ("--to", f"127.0.0.1:{listening.getsockname()[1]}", "--login", "ada")
        shown = command(testbed, tmp_path, "a.talk", *words)
        thread.join()
    assert (
        shown
        == "S: +OK hello\nC: USER $user\nS: +OK USER ada\nS: <closed>\n2 lines of the server's, each as the talk has it\n"
    )


@pytest.mark.parametrize(
    ("words", "status", "why"),
    [
        (("missing.talk",), 2, "missing.talk: No such file or directory"),
        (("bad.talk",), 2, "bad.talk:1: neither a header nor a step: 'hello'"),
        (("good.talk", "--to", "nowhere"), 2, "--to nowhere: expected HOST:PORT, such as mail.example.org:143"),
        (("good.talk", "--to", "127.0.0.1:99999"), 2, "--to 127.0.0.1:99999: expected HOST:PORT"),
        (("good.talk", "--to", "127.0.0.1:9", "--ca", "good.talk"), 2, "--ca good.talk: expected certificates in PEM"),
        (("good.talk", "--login", "nobody"), 1, "no password is known for nobody; give it with --password"),
        (("other.talk",), 1, "the testbed has no port nntp; see: portyard status"),
    ],
)
def test_the_command_refuses(testbed: Testbed, tmp_path: Path, words: tuple[str, ...], status: int, why: str) -> None:
    (tmp_path / "good.talk").write_text("room: pop3\nS: +OK $\nC: PASS $password\n")
    (tmp_path / "other.talk").write_text("room: pop3  port: nntp\nS: +OK $\n")
    (tmp_path / "bad.talk").write_text("hello\n")
    told = command(testbed, tmp_path, *words, status=status)
    assert told.startswith(f"portyard: {why}")
    assert told.count("\n") == 1
