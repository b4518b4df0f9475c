"""The grammar's refusals, its leniences, and names that can't wait for the whole command."""

from __future__ import annotations

from datetime import date

import pytest

from portyard.commons.mailstore.model import FlagChange
from portyard.imap.core import model, search_keys
from portyard.imap.core.grammar import parse_command, tag_of, verb_of
from portyard.imap.core.lexing import BadSyntax, Frame


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"a",
        b"a ",
        b"+ NOOP",
        b"a* NOOP",
        b"a NOOP ",
        b"a  NOOP",
        b"a LOGIN x",
        b'a LOGIN "x y',
        b'a LOGIN "\\x" y',
        b"a FETCH 0 FLAGS",
        b"a FETCH 1: FLAGS",
        b"a FETCH 4294967296 FLAGS",
        b"a FETCH 1 BODY[0]",
        b"a FETCH 1 BODY[1.]",
        b"a FETCH 1 BODY[HEADER.FIELDS]",
        b"a FETCH 1 BODY[TEXT]<1.0>",
        b"a FETCH 1 BODY[TEXT]<1>",
        b"a FETCH 1 (ALL FLAGS)",
        b"a FETCH 1 BODY[" + b"1." * 200 + b"1]",
        b"a STORE 1 FLAGS",
        b"a STORE 1 +FLAGS (\\Seen",
        b"a STORE 1 FLAGS (\\*)",
        b"a SEARCH NOT",
        b"a SEARCH OR ALL",
        b"a SEARCH ()",
        b"a SEARCH SINCE 1-Foo-2020",
        b'a SEARCH SINCE "1-Jan-2020',
        b"a SEARCH LARGER -1",
        b"a STATUS INBOX ()",
        b"a ID",
        b'a ID ("a")',
        b"a ID (" + b" ".join([b'"a" NIL'] * 31) + b")",
        b"a UID EXPUNGE",
        b"a LIST x",
        b'a LIST "" "' + b"x" * 5000 + b'"',
        b"a APPEND INBOX {3}",
        b'a APPEND INBOX "01-Jan-2026 00:00:00 +0060" {0}\r\n',
        b'a APPEND INBOX "01-Jan-0001 00:00:00 +1400" {0}\r\n',
    ],
)
def test_no_command(text: bytes) -> None:
    with pytest.raises(BadSyntax):
        parse_command(Frame(text, (b"",) if text.endswith(b"\n") else ()))


FIRST = model.SequenceSet(((1, 1),))
PEEKED = model.BodySection(model.Section((), "HEADER.FIELDS", (b"a", b"b")), peek=True, partial=(0, 5))


@pytest.mark.parametrize(
    ("text", "command"),
    [
        (b"a Noop", model.Noop()),
        (b"a select inbox", model.Select("INBOX")),
        (b'a select "InBox"', model.Select("INBOX")),
        (b"a uid fetch 1 flags", model.Fetch(FIRST, (model.FetchItem.FLAGS,), uid=True)),
        (b"a fetch 1 body.peek[header.fields (a b)]<0.5>", model.Fetch(FIRST, (PEEKED,))),
        (b"a search sentsince 1-feb-2026", model.Search((search_keys.DateKey("SINCE", date(2026, 2, 1), True),))),
        (b'a search before "01-FEB-2026"', model.Search((search_keys.DateKey("BEFORE", date(2026, 2, 1), False),))),
        (b'a list "" %', model.List("", "%")),
        (b"a store 1 -flags \\seen x", model.Store(FIRST, FlagChange.REMOVE, ("\\Seen", "x"))),
    ],
)
def test_case_and_form_are_free_where_the_rfc_says_so(text: bytes, command: model.Command) -> None:
    assert parse_command(Frame(text)) == model.Request("a", command)


def test_macros_are_expanded() -> None:
    full = parse_command(Frame(b"a FETCH 1 FULL")).command
    assert isinstance(full, model.Fetch)
    assert [item.value for item in full.attributes if isinstance(item, model.FetchItem)] == [
        "FLAGS",
        "INTERNALDATE",
        "RFC822.SIZE",
        "ENVELOPE",
        "BODY",
    ]


@pytest.mark.parametrize(
    ("line", "tag", "verb"),
    [
        (b"a1 APPEND INBOX {5}", "a1", "APPEND"),
        (b"a1 uid fetch 1", "a1", "FETCH"),
        (b"a1", "a1", ""),
        (b"", None, ""),
        (b"a{1 x", None, "X"),
        (b"x" * 300 + b" NOOP", None, "NOOP"),
    ],
)
def test_what_a_line_opens(line: bytes, tag: str | None, verb: str) -> None:
    assert tag_of(line) == tag
    assert verb_of(line) == verb
