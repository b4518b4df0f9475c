"""What rules may ask of the room, and what is refused when it is set."""

from __future__ import annotations

import pytest

from portyard.commons.scenario.checking import check
from portyard.commons.scenario.model import RuleError
from portyard.commons.scenario.parsing import parse_rule
from portyard.smtp.core.fields import fields_of, verb_of
from portyard.smtp.core.grammar import parse_command
from portyard.smtp.core.model import Mailbox, Transaction
from portyard.smtp.core.ruled_content import subject_of
from portyard.smtp.core.session import _HANDLERS
from portyard.smtp.core.verbs import VOCABULARY


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"on": "smtp.receiving", "then": {"refuse": "450 no"}}, "354 is sent already"),
        ({"on": "smtp.rcpt", "then": {"refuse": "250 ok"}}, "can't say this"),
        ({"on": "smtp.rcpt", "where": {"receiver": "x"}, "then": {"hang_up": True}}, "recipient"),
        ({"on": "smtp.rcpt", "where": {"role": "mua"}, "then": {"hang_up": True}}, "msa"),
        ({"on": "smtp.bdat", "then": {"hang_up": True}}, "no verb"),
    ],
)
def test_what_cant_be_honoured_is_refused_when_set(wrong: dict[str, object], reason: str) -> None:
    with pytest.raises(RuleError, match=reason):
        check(parse_rule(wrong), {"smtp": VOCABULARY})


def test_every_command_is_a_verb() -> None:
    assert {kind.__name__.lower() for kind in _HANDLERS} < set(VOCABULARY.verbs)


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        (b"EHLO c.test", {"hello": "c.test"}),
        (
            b"MAIL FROM:<a@b.test> SIZE=12 BODY=8BITMIME XPORTYARD=secret",
            {"sender": "a@b.test", "size": 12, "parameters": "SIZE=12 BODY=8BITMIME"},
        ),
        (b"MAIL FROM:<>", {"sender": "", "size": 0, "parameters": ""}),
        (b"RCPT TO:<Postmaster>", {"sender": "s@b.test", "recipient": "Postmaster"}),
        (b"DATA", {"sender": "s@b.test", "recipients": 0}),
        (b"VRFY bob", {"string": "bob"}),
        (b"NOOP", {}),
    ],
)
def test_fields(line: bytes, fields: dict[str, object]) -> None:
    command = parse_command(line)
    found = fields_of(command, Transaction(Mailbox("s", "b.test"), "id"))
    assert found == fields
    assert found.keys() == VOCABULARY.verbs[verb_of(command)].fields.keys()


@pytest.mark.parametrize(
    ("header", "subject"),
    [
        (b"To: x\r\nSubject: one\r\n\ttwo \r\nX: y\r\n\r\nSubject: body", "one\ttwo"),
        (b"subject:=?iso-8859-1?q?Gr=FC=DFe?=\r\n\r\n", "Grüße"),
        (b"Subject: =?nonsense?q?x?=\r\n\r\n", "=?nonsense?q?x?="),
        (b"Subject: =?utf-8?b?x?=\r\n\r\n", "=?utf-8?b?x?="),
        (b"Subject:\r\n\r\n", ""),
        (b"To: x\r\n\r\nSubject: body", ""),
        (b"Subject: \xff\r\n\r\n", "\ufffd"),
        (b"", ""),
    ],
)
def test_subject(header: bytes, subject: str) -> None:
    assert subject_of(header) == subject
