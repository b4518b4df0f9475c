"""Parsing and printing are inverses; nothing that a peer sends raises anything but PeerError."""

from __future__ import annotations

import string

from hypothesis import example, given
from hypothesis import strategies as st

from portyard.smtp.core import model
from portyard.smtp.core.grammar import (
    ReplyReader,
    parse_command,
    parse_mailbox,
    print_command,
    print_mailbox,
    print_reply,
)
from portyard.smtp.core.hop import parse_hop, print_hop
from portyard.smtp.core.model import Command, Hop, Mailbox, Parameter, PeerError, Reply

NON_ASCII = st.characters(min_codepoint=0x80, exclude_categories=["Cs"])
QUOTABLE = st.text(st.characters(min_codepoint=32, max_codepoint=126) | NON_ASCII, min_size=1, max_size=20)
LABEL = st.text(st.sampled_from(string.ascii_letters + string.digits) | NON_ASCII, min_size=1, max_size=10)
DOMAIN = st.lists(LABEL, min_size=1, max_size=3).map(".".join) | st.just("[127.0.0.1]") | st.just("[IPv6:::1]")
MAILBOX = st.builds(Mailbox, QUOTABLE, DOMAIN)
KEYWORD = st.text(string.ascii_uppercase + string.digits, min_size=1, max_size=8)
VALUE = (
    st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="="), min_size=1, max_size=8)
    | st.none()
)
PARAMETERS = st.lists(st.builds(Parameter, KEYWORD, VALUE), max_size=3, unique_by=lambda p: p.keyword).map(tuple)
WORD = st.text(string.ascii_letters + string.digits + "+/=._-", min_size=1, max_size=20)
COMMANDS: st.SearchStrategy[Command] = st.one_of(
    st.builds(model.Ehlo, DOMAIN),
    st.builds(model.Helo, DOMAIN),
    st.builds(model.Lhlo, DOMAIN),
    st.builds(model.Mail, MAILBOX | st.just(model.NULL_PATH), PARAMETERS),
    st.builds(model.Rcpt, MAILBOX | st.just(model.POSTMASTER), PARAMETERS),
    st.builds(model.Vrfy, WORD),
    st.builds(model.Expn, WORD),
    st.builds(model.Help, st.just("") | WORD),
    st.builds(model.Noop, st.just("") | WORD),
    st.builds(model.Auth, st.text(string.ascii_uppercase + "-_", min_size=1, max_size=20), st.none() | WORD),
    st.sampled_from([model.Data(), model.Rset(), model.Quit(), model.StartTls()]),
)
TEXT = st.text(st.characters(min_codepoint=33, max_codepoint=126) | NON_ASCII, min_size=1, max_size=20)


@given(COMMANDS)
@example(model.Ehlo("a\xa0"))
def test_commands_come_back(command: Command) -> None:
    assert parse_command(print_command(command).removesuffix(b"\r\n")) == command


@given(MAILBOX)
def test_mailboxes_come_back(mailbox: Mailbox) -> None:
    assert parse_mailbox(print_mailbox(mailbox)) == mailbox


@given(st.integers(200, 599), st.booleans(), st.lists(TEXT.map(lambda text: f"_{text}"), min_size=1, max_size=4))
def test_replies_come_back(code: int, enhanced: bool, lines: list[str]) -> None:
    status = f"{code // 100}.1.0" if enhanced and code // 100 != 3 else ""
    answer = Reply(code, status, tuple(lines))
    reader, found = ReplyReader(), None
    for line in print_reply(answer).split(b"\r\n")[:-1]:
        assert found is None
        found = reader.feed(line)
    assert found == answer


@given(st.text(), st.text(), st.integers(0, 1 << 40))
def test_hops_come_back(delivery_id: str, sandbox: str, generation: int) -> None:
    delivery_id, sandbox = (text.encode("utf-8", "replace").decode() for text in (delivery_id, sandbox))
    hop = Hop(delivery_id, sandbox, generation)
    assert parse_hop(print_hop(hop, b"secret"), b"secret") == hop


VERBS = st.sampled_from([b"MAIL FROM:", b"RCPT TO:", b"EHLO ", b"AUTH ", b"HELP", b"", b"MAIL FROM:<", b"RCPT TO:<a@"])


@given(VERBS, st.binary(max_size=60))
def test_nothing_else_is_raised(verb: bytes, rest: bytes) -> None:
    found = outcome(verb + rest)
    if isinstance(found, Reply):
        assert found.code in (500, 501)
    else:
        assert parse_command(print_command(found).removesuffix(b"\r\n")) == found


def outcome(line: bytes) -> Command | Reply:
    try:
        return parse_command(line)
    except PeerError as error:
        return error.reply


@given(st.text())
def test_nobody_is_believed_by_chance(value: str) -> None:
    assert parse_hop(value, b"secret") is None
