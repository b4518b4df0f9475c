"""IMAP's grammar and framing under Hypothesis: print and parse are inverses, cuts don't matter, and nothing but BadSyntax is raised."""

from __future__ import annotations

import contextlib
import itertools
import re
import string
from datetime import date, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from portyard.commons.events import Event, Line, Literal
from portyard.commons.mailstore.model import SYSTEM_FLAGS, FlagChange
from portyard.imap.core import model, search_keys
from portyard.imap.core.decoding import Finder, PartDecoder, header_text
from portyard.imap.core.framing import ImapFraming, SkipLiteral, TakeLiteral, literal_at_end
from portyard.imap.core.grammar import parse_command, tag_of, verb_of
from portyard.imap.core.lexing import BadSyntax, Cursor, Frame, print_date_time, print_sequence_set
from portyard.imap.core.names import decode_name, encode_name, matches
from portyard.imap.core.printing import print_command, wire
from portyard.imap.core.replies import compact_set, nstring
from portyard.imap.core.transcript import shown

ATOM_CHARS = "".join(c for c in string.printable if c.isprintable() and c not in '(){ %*"\\]')
atoms = st.text(ATOM_CHARS, min_size=1, max_size=12)
tags = st.text(ATOM_CHARS.replace("+", "") + "]", min_size=1, max_size=8)
octets = st.binary(max_size=40).map(lambda data: data.replace(b"\0", b""))
names = st.text(st.characters(blacklist_categories=("Cs",)), max_size=20).map(
    lambda name: "INBOX" if name.upper() == "INBOX" else name
)
numbers = st.integers(1, 2**32 - 1) | st.just(model.STAR)
sets = st.lists(st.tuples(numbers, numbers), min_size=1, max_size=4).map(lambda r: model.SequenceSet(tuple(r)))
flags = st.sampled_from(SYSTEM_FLAGS) | atoms
flag_lists = st.lists(flags, max_size=4).map(tuple)
zones = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
moments = st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1), timezones=zones).map(lambda m: m.replace(microsecond=0))
days = st.dates(date(1, 1, 1))
sizes = st.integers(0, 2**63 - 1)
sections = st.one_of(
    st.just(model.Section()),
    st.builds(
        model.Section, st.lists(st.integers(1, 999_999), max_size=4).map(tuple), st.sampled_from(["HEADER", "TEXT"])
    ),
    st.builds(
        model.Section,
        st.lists(st.integers(1, 999_999), min_size=1, max_size=4).map(tuple),
        st.sampled_from(["", "MIME"]),
    ),
    st.builds(
        model.Section,
        st.lists(st.integers(1, 99), max_size=3).map(tuple),
        st.sampled_from(["HEADER.FIELDS", "HEADER.FIELDS.NOT"]),
        st.lists(octets, min_size=1, max_size=3).map(tuple),
    ),
)
attributes = st.sampled_from(model.FetchItem) | st.builds(
    model.BodySection, sections, st.booleans(), st.none() | st.tuples(sizes, st.integers(1, 2**63 - 1))
)
leaves = st.one_of(
    st.just(search_keys.AllKey()),
    st.builds(search_keys.FlagKey, st.sampled_from(SYSTEM_FLAGS) | atoms, st.booleans()),
    st.builds(search_keys.RecentKey, st.sampled_from(["NEW", "OLD", "RECENT"])),
    st.builds(search_keys.HeaderKey, (octets | st.sampled_from([b"FROM", b"X-A"])).map(bytes.upper), octets),
    st.builds(search_keys.BodyKey, octets),
    st.builds(search_keys.TextKey, octets),
    st.builds(search_keys.DateKey, st.sampled_from(["BEFORE", "ON", "SINCE"]), days, st.booleans()),
    st.builds(search_keys.SizeKey, st.booleans(), sizes),
    st.builds(search_keys.SequenceKey, sets, st.booleans()),
)
keys = st.recursive(
    leaves,
    lambda inner: (
        st.builds(search_keys.NotKey, inner)
        | st.builds(search_keys.OrKey, inner, inner)
        | st.builds(search_keys.AndKey, st.lists(inner, min_size=1, max_size=3).map(tuple))
    ),
    max_leaves=6,
)
base64_text = st.text(string.ascii_letters + "+/=", min_size=1, max_size=20).map(str.encode)
id_fields = st.none() | st.lists(st.tuples(octets, st.none() | octets), max_size=4).map(tuple)
patterns = st.text(st.characters(min_codepoint=1, max_codepoint=126, blacklist_characters="\r\n"), max_size=20)
words = st.text(string.ascii_uppercase + string.digits + "-=", min_size=1, max_size=10)
BARE = [
    model.Capability(),
    model.Noop(),
    model.Logout(),
    model.Starttls(),
    model.Namespace(),
    model.Idle(),
    model.Check(),
    model.Close(),
    model.Unselect(),
    model.Expunge(),
]
commands = st.one_of(
    st.sampled_from(BARE),
    st.builds(model.Login, octets, octets),
    st.builds(model.Authenticate, words.map(str.upper), st.none() | base64_text),
    st.builds(model.Id, id_fields),
    st.builds(model.Enable, st.lists(words, min_size=1, max_size=3).map(tuple)),
    *(
        st.builds(kind, names)
        for kind in (model.Select, model.Examine, model.Create, model.Delete, model.Subscribe, model.Unsubscribe)
    ),
    st.builds(model.Rename, names, names),
    st.builds(model.List, names, patterns),
    st.builds(model.Lsub, names, patterns),
    st.builds(
        model.Status,
        names,
        st.lists(st.sampled_from(["MESSAGES", "RECENT", "UIDNEXT", "UIDVALIDITY", "UNSEEN"]), min_size=1).map(tuple),
    ),
    st.builds(model.Append, names, flag_lists, st.none() | moments, st.binary(max_size=60)),
    st.builds(model.Expunge, sets),
    st.builds(model.Store, sets, st.sampled_from(FlagChange), flag_lists, st.booleans(), st.booleans()),
    st.builds(model.Copy, sets, names, st.booleans()),
    st.builds(model.Move, sets, names, st.booleans()),
    st.builds(model.Fetch, sets, st.lists(attributes, min_size=1, max_size=4).map(tuple), st.booleans()),
    st.builds(model.Search, st.lists(keys, min_size=1, max_size=3).map(tuple), st.none() | atoms, st.booleans()),
)
requests = st.builds(model.Request, tags, commands)


def unframe(framing: ImapFraming, data: bytes, cuts: list[int]) -> Frame:
    """One command through framing, as a session would take it, fed in pieces."""
    pieces = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    lines: list[bytes] = []
    literals: list[bytes] = []
    for piece in pieces:
        framing.feed(piece)
        while (event := framing.next_event()) is not None:
            if isinstance(event, Literal):
                literals.append(event.data)
                continue
            assert isinstance(event, Line)
            assert not event.bare_lf
            lines.append(event.data)
            need = literal_at_end(event.data)
            if need is not None:
                framing.expect(TakeLiteral(need.size))
    return Frame(b"\r\n".join(lines), tuple(literals))


@given(requests)
def test_parse_undoes_print(request: model.Request) -> None:
    assert parse_command(print_command(request)) == request


@given(requests, st.data(), st.booleans())
def test_framing_gives_the_printed_frame_whatever_the_cuts(
    request: model.Request, data: st.DataObject, synchronising: bool
) -> None:
    sent = b"".join(wire(print_command(request), synchronising=synchronising))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(sent)), max_size=5)))
    assert parse_command(unframe(ImapFraming(), sent, cuts)) == request


@given(st.binary(max_size=200), st.lists(st.binary(max_size=10), max_size=2))
def test_random_octets_raise_nothing_but_bad_syntax(text: bytes, literals: list[bytes]) -> None:
    with contextlib.suppress(BadSyntax):
        parse_command(Frame(text, tuple(literals)))
    tag_of(text)
    verb_of(text)
    shown(Line(text), ())
    shown(Line(text), (b"a LOGIN x",))


@given(requests, st.data())
def test_damaged_commands_raise_nothing_but_bad_syntax(request: model.Request, data: st.DataObject) -> None:
    frame = print_command(request)
    at = data.draw(st.integers(0, len(frame.text)))
    damage = data.draw(st.binary(max_size=3))
    text = frame.text[:at] + damage + frame.text[at + data.draw(st.integers(0, 3)) :]
    with contextlib.suppress(BadSyntax):
        parse_command(Frame(text, frame.literals))


@given(st.integers(1, 5000))
def test_nesting_is_bounded(depth: int) -> None:
    with contextlib.suppress(BadSyntax):
        parse_command(Frame(b"a SEARCH " + b"NOT " * depth + b"ALL"))
    with contextlib.suppress(BadSyntax):
        parse_command(Frame(b"a SEARCH " + b"(" * depth + b"ALL" + b")" * depth))


@given(st.lists(st.binary(max_size=60), max_size=8), st.integers(10, 50))
def test_framing_takes_anything(pieces: list[bytes], limit: int) -> None:
    def run(cut: list[bytes]) -> list[Event]:
        framing = ImapFraming(limit)
        events: list[Event] = []
        for piece in cut:
            framing.feed(piece)
            while (event := framing.next_event()) is not None:
                events.append(event)
                need = literal_at_end(event.data) if isinstance(event, Line) else None
                if need is not None:
                    framing.expect((TakeLiteral if need.synchronising else SkipLiteral)(min(need.size, 20)))
        return events

    whole = b"".join(pieces)
    assert run(pieces) == run([whole]) == run([whole[i : i + 1] for i in range(len(whole))])


@given(names)
def test_mailbox_names_are_modified_utf7_and_back(name: str) -> None:
    encoded = encode_name(name)
    assert encoded.isascii()
    assert decode_name(encoded) == name


@given(st.text(max_size=20))
def test_decoding_a_name_raises_nothing_but_value_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert encode_name(decode_name(text)) == text


@given(names, patterns)
def test_every_name_matches_itself_and_the_star(name: str, pattern: str) -> None:
    assert matches("*", name)
    if not set("%*") & set(name):
        assert matches(encode_name(name), name)
    matches(pattern, name)


@given(st.text("ab/", max_size=8), st.text("ab/*%", max_size=8))
def test_wildcards_mean_what_their_expression_means(name: str, pattern: str) -> None:
    expression = "".join({"*": ".*", "%": "[^/]*"}.get(character, character) for character in pattern)
    assert matches(pattern, name) == bool(re.fullmatch(expression, name))


def test_no_pattern_takes_long() -> None:
    assert not matches("*a" * 2000 + "b", "a" * 1000)


@given(sets)
def test_sequence_sets_print_and_parse(numbers: model.SequenceSet) -> None:
    assert Cursor(Frame(print_sequence_set(numbers))).sequence_set() == numbers


@given(st.lists(st.integers(1, 50), unique=True, min_size=1))
def test_compact_sets_keep_their_order(uids: list[int]) -> None:
    spelled: list[int] = []
    for low, high in Cursor(Frame(compact_set(uids).encode())).sequence_set().ranges:
        spelled.extend(range(low, high + 1))
    assert spelled == uids


@given(moments)
def test_dates_print_and_parse(moment: datetime) -> None:
    assert Cursor(Frame(print_date_time(moment))).date_time() == moment


@given(st.none() | st.binary(max_size=100))
def test_replied_strings_can_be_read_back(value: bytes | None) -> None:
    printed = nstring(value)
    announced, _, literal = printed.partition(b"\r\n")
    frame = Frame(announced + b"\r\n", (literal,)) if printed.startswith(b"{") else Frame(printed)
    assert Cursor(frame).nstring() == (None if value is None else value.replace(b"\0", b""))


@given(st.binary(max_size=200))
def test_header_text_takes_anything(raw: bytes) -> None:
    header_text(raw)


@given(
    st.binary(max_size=300),
    st.lists(st.integers(0, 300), max_size=4),
    st.sampled_from([b"base64", b"quoted-printable", b"8bit", b"x-none"]),
    st.sampled_from(
        [
            None,
            b"utf-8",
            b"iso-2022-jp",
            b"utf-16",
            b"utf-32",
            b"utf-7",
            b"hz",
            b"gb18030",
            b"shift_jis",
            b"big5hkscs",
            b"rot13",
            b"x\0y",
            b"idna",
        ]
    ),
)
def test_decoding_in_pieces_is_decoding_at_once(
    data: bytes, cuts: list[int], encoding: bytes, charset: bytes | None
) -> None:
    decoder = PartDecoder(encoding, charset)
    edges = [0, *sorted(cuts), len(data)]
    pieces = [data[a:b] for a, b in itertools.pairwise(edges)]
    text = "".join(decoder.feed(piece) for piece in pieces) + decoder.feed(b"", final=True)
    if encoding != b"quoted-printable":  # whose soft line breaks Python's decoder judges by the whole line
        assert text == PartDecoder(encoding, charset).feed(data, final=True)


@given(st.text(max_size=30), st.text(max_size=4), st.integers(0, 30))
def test_finding_in_pieces_is_finding_at_once(text: str, needle: str, cut: int) -> None:
    finder = Finder(needle)
    finder.feed(text[:cut])
    assert finder.feed(text[cut:]) == (needle.casefold() in text.casefold())
