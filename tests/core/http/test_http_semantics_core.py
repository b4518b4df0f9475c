"""Conditions, ranges, negotiation and credentials: RFC 9110, 7616 and 7617 as pure functions."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from portyard.http.core.conditions import (
    EntityTag,
    Validators,
    Verdict,
    evaluate,
    format_date,
    parse_date,
    parse_tags,
    range_applies,
)
from portyard.http.core.credentials import parse_basic, parse_bearer, parse_parameters
from portyard.http.core.digest import (
    NONCES_KEPT,
    Attempt,
    NonceBook,
    Outcome,
    Protection,
    challenge,
    judge,
    protection_of,
    response_of,
)
from portyard.http.core.negotiation import best_of
from portyard.http.core.ranges import MOST_RANGES, Span, UnsatisfiableError, parse_range, unsatisfied

NOON = datetime(2030, 1, 2, 12, 0, 0, 900_000, tzinfo=UTC)
THERE = Validators(EntityTag("v1"), NOON)
ABSENT = Validators(None)
EARLIER, SAME, LATER = (format_date(NOON + timedelta(seconds=shift)) for shift in (-1, 0, 1))


def test_tags() -> None:
    assert parse_tags("*") is None
    assert parse_tags('"a", W/"b,c" , d') == [EntityTag("a"), EntityTag("b,c", weak=True), EntityTag("d")]
    assert [str(EntityTag("a")), str(EntityTag("b", weak=True))] == ['"a"', 'W/"b"']


def test_dates() -> None:
    moment = NOON.replace(microsecond=0)
    assert SAME == "Wed, 02 Jan 2030 12:00:00 GMT"
    for text in (SAME, "Wednesday, 02-Jan-30 12:00:00 GMT", "Wed Jan  2 12:00:00 2030"):  # RFC 9110 §5.6.7
        assert parse_date(text) == moment
    assert parse_date("yesterday") is None


@pytest.mark.parametrize(
    ("method", "headers", "current", "verdict"),
    [
        ("GET", {"If-Match": '"v1"'}, THERE, Verdict.PROCEED),
        ("PUT", {"If-Match": '"v0", "v1"'}, THERE, Verdict.PROCEED),
        ("PUT", {"If-Match": 'W/"v1"'}, THERE, Verdict.FAILED),
        ("PUT", {"If-Match": "*"}, ABSENT, Verdict.FAILED),
        ("PUT", {"If-None-Match": "*"}, ABSENT, Verdict.PROCEED),
        ("PUT", {"If-None-Match": "*"}, THERE, Verdict.FAILED),
        ("GET", {"If-None-Match": 'W/"v1"'}, THERE, Verdict.NOT_MODIFIED),
        ("GET", {"If-None-Match": '"v2"', "If-Modified-Since": LATER}, THERE, Verdict.PROCEED),
        ("GET", {"If-Modified-Since": SAME}, THERE, Verdict.NOT_MODIFIED),
        ("GET", {"If-Modified-Since": EARLIER}, THERE, Verdict.PROCEED),
        ("GET", {"If-Modified-Since": "nonsense"}, THERE, Verdict.PROCEED),
        ("PUT", {"If-Modified-Since": SAME}, THERE, Verdict.PROCEED),
        ("GET", {"If-Unmodified-Since": EARLIER}, THERE, Verdict.FAILED),
        ("GET", {"If-Unmodified-Since": SAME}, THERE, Verdict.PROCEED),
        ("GET", {"If-Match": '"v1"', "If-Unmodified-Since": EARLIER}, THERE, Verdict.PROCEED),
        ("GET", {"If-Match": '"v1"', "If-None-Match": '"v1"'}, THERE, Verdict.NOT_MODIFIED),
    ],
)
def test_conditions(method: str, headers: dict[str, str], current: Validators, verdict: Verdict) -> None:
    assert evaluate(method, CIMultiDict(headers), current) is verdict


def test_if_range() -> None:
    assert range_applies(None, THERE)
    assert range_applies('"v1"', THERE)
    assert range_applies(SAME, THERE)
    for other in ('"v2"', 'W/"v1"', LATER, EARLIER, "nonsense"):
        assert not range_applies(other, THERE), other


def test_ranges() -> None:
    assert parse_range("bytes=0-4", 10) == [Span(0, 4)]
    assert parse_range("Bytes = 5 - , -2", 10) == [Span(5, 9), Span(8, 9)]
    assert parse_range("bytes=20-30,0-0", 10) == [Span(0, 0)]
    for ignored in (
        None,
        "",
        "bytes",
        "lines=1-2",
        "bytes=",
        "bytes=a-b",
        "bytes=-",
        "bytes=4-2",
        "bytes=1-2-3",
        "bytes=0-1,x",
    ):
        assert parse_range(ignored, 10) is None, ignored
    assert parse_range("bytes=" + "9" * 4000 + "-", 10) is None
    for beyond, size in (("bytes=10-", 10), ("bytes=-0", 10), ("bytes=0-", 0), ("bytes=-5", 0)):
        with pytest.raises(UnsatisfiableError):
            parse_range(beyond, size)
    with pytest.raises(UnsatisfiableError):
        parse_range("bytes=" + ",".join(["0-0"] * (MOST_RANGES + 1)), 10)
    assert (Span(2, 4).content_range(10), Span(2, 4).length, unsatisfied(10)) == ("bytes 2-4/10", 3, "bytes */10")


@given(st.text(alphabet="bytes=0123456789-, x", max_size=40), st.integers(0, 50))
def test_whatever_is_asked_lies_within(text: str, size: int) -> None:
    try:
        spans = parse_range("bytes=" + text, size) or []
    except UnsatisfiableError:
        return
    assert all(0 <= span.first <= span.last < size for span in spans)


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        (None, "b/b"),
        ("", "b/b"),
        ("*/*", "b/b"),
        ("a/*", "a/a"),
        ("a/a, b/b", "a/a"),
        ("a/a;q=0.5, b/b;q=0.6", "b/b"),
        ("a/a;q=0, */*", "b/b"),
        ("*/*;q=0.1, a/a", "a/a"),
        ("b/b;level=1;Q=0.4, c/*;q=0.5", "c/c"),
        ("x/y", None),
        ("a/a;q=0", None),
        ("nonsense", None),
    ],
)
def test_negotiation(accept: str | None, chosen: str | None) -> None:
    assert best_of(accept, ("a/a", "b/b", "c/c"), otherwise="b/b") == chosen


def test_basic_and_bearer() -> None:
    assert parse_basic("Basic dTpwOnE=") == ("u", "p:q")
    assert parse_basic("bAsIc w7w6cA==") == ("ü", "p")
    assert parse_basic("Basic /Dpw") == ("ü", "p")  # ISO 8859-1
    for wrong in (None, "", "Basic", "Basic !", "Basic dQ==", "Bearer x"):
        assert parse_basic(wrong) is None, wrong
    assert parse_bearer("Bearer a.b-c") == "a.b-c"
    assert parse_bearer("Bearer a b") is None


def test_parameters() -> None:
    assert parse_parameters('a="1, \\"2", b=c,\tD = "" ') == {"a": '1, "2', "b": "c", "d": ""}
    for wrong in ("", "a", 'a="', "a=1 b=2", "a=1, A=2", "=1"):
        assert parse_parameters(wrong) is None, wrong


def test_digest_by_the_rfcs_examples() -> None:
    """RFC 7616 §3.9.1 (its realm isn't ours, so the pieces are checked by their own hash)."""
    book = NonceBook(b"secret")
    for algorithm in ("MD5", "MD5-sess", "SHA-256", "SHA-512-256", "SHA-512", "SHA-256-sess"):
        for qop in ("auth", "auth-int"):
            protection = protection_of("Mufasa", "Circle of Life", qop, algorithm)
            field = challenge(protection, book.mint(b"salt"), "opaque")
            nonce = re.search('nonce="([^"]+)"', field)[1]  # type: ignore[index]
            given_ = {"nonce": nonce, "uri": "/dir", "qop": qop, "nc": "00000001", "cnonce": "c"}
            proof = response_of(given_, protection, "GET", b"body")
            authorization = (
                f'Digest username="Mufasa", realm="Portyard", uri="/dir", algorithm={algorithm}, nonce="{nonce}", '
                f'nc=00000001, cnonce="c", qop={qop}, response="{proof}"'
            )
            attempt = Attempt("GET", "/dir", b"body", authorization)
            tampered = Attempt("GET", "/dir", b"other", authorization)
            assert judge(protection, tampered, book) is (Outcome.WRONG if qop == "auth-int" else Outcome.GOOD)
            if qop == "auth-int":
                assert judge(protection, attempt, book) is Outcome.GOOD
            assert judge(protection, attempt, book) is Outcome.STALE
            book = NonceBook(b"secret")


def test_protections() -> None:
    assert protection_of("u", "p", "x", "y") == Protection("u", "p")
    assert protection_of("u", "p", "auth", "sha-256", "3") == Protection("u", "p", "auth", "SHA-256", 3)
    assert "p4ss" not in repr(Protection("u", "p4ss"))
    for wrong in ("x", "-1", ""):
        with pytest.raises(ValueError, match=r"."):
            protection_of("u", "p", "auth", "MD5", wrong)


def test_nonces() -> None:
    book = NonceBook(b"secret")
    nonce = book.mint(b"1")
    assert nonce != book.mint(b"2")
    assert NonceBook(b"secret").use(nonce, None, None)
    assert not NonceBook(b"other").use(nonce, None, None)
    for wrong in ("", "x", "AAAA", nonce[:-4] + "AAAA", "ü"):
        assert not book.use(wrong, None, None), wrong
    counts = ["00000001", "00000003", "00000002", "00000003", "00000001", "000000ff", "00000004", "1", "zzzzzzzz"]
    assert [book.use(nonce, nc, None) for nc in counts] == [True, True, True, False, False, True, False, False, False]
    limited = book.mint(b"3")
    assert [book.use(limited, None, 2) for _ in range(3)] == [True, True, False]
    first = book.mint(b"first")
    assert book.use(first, "00000001", None)
    for number in range(NONCES_KEPT):
        book.use(book.mint(number.to_bytes(12, "big")), None, None)
    assert book.use(first, "00000001", None)  # forgotten: memory is bounded


@given(st.lists(st.integers(1, 300), max_size=60))
def test_no_count_is_ever_taken_twice(counts: list[int]) -> None:
    book = NonceBook(b"s")
    nonce = book.mint(b"")
    taken = [nc for nc in counts if book.use(nonce, f"{nc:08x}", None)]
    assert len(taken) == len(set(taken))
