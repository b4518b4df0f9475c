"""Commands, paths and replies, both ways."""

from __future__ import annotations

import pytest

from portyard.smtp.core import model
from portyard.smtp.core.grammar import (
    ReplyReader,
    parse_command,
    parse_mailbox,
    print_command,
    print_mailbox,
    print_reply,
)
from portyard.smtp.core.model import Command, Mailbox, Parameter, PeerError, Reply


@pytest.mark.parametrize(
    ("line", "command"),
    [
        (b"EHLO client.test", model.Ehlo("client.test")),
        (b"ehlo [127.0.0.1]  ", model.Ehlo("[127.0.0.1]")),
        (b"HELO x_y", model.Helo("x_y")),
        (b"LHLO a", model.Lhlo("a")),
        (b"MAIL FROM:<>", model.Mail(model.NULL_PATH)),
        (b"MAIL FROM:<a@b>", model.Mail(Mailbox("a", "b"))),
        (b"mail from: <a@b> body=8bitmime", model.Mail(Mailbox("a", "b"), (Parameter("BODY", "8bitmime"),))),
        (b"MAIL FROM:<@r1,@r2.test:a@b> SMTPUTF8", model.Mail(Mailbox("a", "b"), (Parameter("SMTPUTF8"),))),
        (rb'RCPT TO:<"a \"b\\ c"@b.test>', model.Rcpt(Mailbox(r'a "b\ c', "b.test"))),
        (b"RCPT TO:<a@[IPv6:::1]>", model.Rcpt(Mailbox("a", "[IPv6:::1]"))),
        (b"RCPT TO:<postMaster>", model.Rcpt(Mailbox("postMaster", ""))),
        ("RCPT TO:<jörg@bücher.test>".encode(), model.Rcpt(Mailbox("jörg", "bücher.test"))),
        (b"RCPT TO:<x!#$%&'*+-/=?^_`{|}~.y@b>", model.Rcpt(Mailbox("x!#$%&'*+-/=?^_`{|}~.y", "b"))),
        (b"DATA", model.Data()),
        (b"RSET ", model.Rset()),
        (b"NOOP any thing", model.Noop("any thing")),
        (b"HELP mail", model.Help("mail")),
        (b"VRFY bob", model.Vrfy("bob")),
        (b"EXPN staff", model.Expn("staff")),
        (b"QUIT", model.Quit()),
        (b"STARTTLS", model.StartTls()),
        (b"AUTH plain AGE=", model.Auth("PLAIN", "AGE=")),
        (b"AUTH LOGIN", model.Auth("LOGIN")),
    ],
)
def test_commands(line: bytes, command: Command) -> None:
    assert parse_command(line) == command
    assert parse_command(print_command(command).removesuffix(b"\r\n")) == command


@pytest.mark.parametrize(
    ("line", "code", "enhanced"),
    [
        (b"", 500, "5.5.1"),
        (b"BDAT 1", 500, "5.5.1"),
        (b"NO\x00OP", 500, "5.5.2"),
        (b"NOOP\rNOOP", 500, "5.5.2"),
        (b"EHLO", 501, "5.5.4"),
        (b"EHLO a b", 501, "5.5.4"),
        (b"EHLO " + b"x" * 256, 501, "5.5.4"),
        (b"DATA now", 501, "5.5.4"),
        (b"STARTTLS x", 501, "5.5.4"),
        (b"AUTH", 501, "5.5.4"),
        (b"AUTH PLAIN a b", 501, "5.5.4"),
        (b"MAIL TO:<a@b>", 501, "5.5.4"),
        (b"MAIL FROM:<postmaster>", 501, "5.1.7"),
        (b"MAIL FROM:<a@b", 501, "5.1.7"),
        (b"MAIL FROM:a@b", 501, "5.1.7"),
        (b"MAIL FROM:<a b@c>", 501, "5.1.7"),
        (b"MAIL FROM:<a..b@c>", 501, "5.1.7"),
        (b"MAIL FROM:<a@-b>", 501, "5.1.7"),
        (b"MAIL FROM:<a@" + b"x" * 256 + b">", 501, "5.1.7"),
        (b"MAIL FROM:<a\xff@b> SMTPUTF8", 501, "5.1.7"),
        (b"MAIL FROM:<a@b>SIZE=1", 501, "5.5.4"),
        (b"MAIL FROM:<a@b> =1", 501, "5.5.4"),
        (b"MAIL FROM:<a@b> SIZE=1 size=2", 501, "5.5.4"),
        (b"RCPT FROM:<a@b>", 501, "5.5.4"),
        (b"RCPT TO:<>", 501, "5.1.3"),
        (b"RCPT TO:<a@>", 501, "5.1.3"),
        (b"RCPT TO:<@b>", 501, "5.1.3"),
        (b"RCPT TO:<bob>", 501, "5.1.3"),
    ],
)
def test_refusals(line: bytes, code: int, enhanced: str) -> None:
    with pytest.raises(PeerError) as caught:
        parse_command(line)
    assert (caught.value.reply.code, caught.value.reply.enhanced) == (code, enhanced)


def test_mailboxes() -> None:
    assert parse_mailbox("") == model.NULL_PATH
    assert parse_mailbox("a@b> x") is None
    assert print_mailbox(model.NULL_PATH) == ""
    assert print_mailbox(Mailbox('q"uo\\te', "b.test")) == r'"q\"uo\\te"@b.test'
    assert print_mailbox(Mailbox("", "b.test")) == '""@b.test'


def test_a_secret_is_in_no_repr() -> None:
    assert "c2VjcmV0" not in repr(model.Auth("PLAIN", "c2VjcmV0"))


def read(*lines: bytes) -> Reply | None:
    reader, found = ReplyReader(), None
    for line in lines:
        found = reader.feed(line)
    return found


def test_replies() -> None:
    assert read(b"250 2.1.0 ok") == Reply(250, "2.1.0", ("ok",))
    assert read(b"250") == Reply(250, "", ("",))
    assert read(b"550 2.1.0 odd") == Reply(550, "", ("2.1.0 odd",))
    assert read(b"250-a") is None
    assert read(b"250-a", b"250-B c", b"250 d") == Reply(250, "", ("a", "B c", "d"))
    answer = Reply(214, "2.0.0", ("a", "b"))
    assert print_reply(answer) == b"214-2.0.0 a\r\n214 2.0.0 b\r\n"
    assert read(*print_reply(answer).split(b"\r\n")[:-1]) == answer


@pytest.mark.parametrize("lines", [(b"hello",), (b"25 x",), (b"250-a", b"251 b"), (b"199 x",), (b"250x",)])
def test_what_is_no_reply(lines: tuple[bytes, ...]) -> None:
    with pytest.raises(PeerError, match="can't be understood"):
        read(*lines)
