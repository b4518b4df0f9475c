"""What rules may ask of DNS, and what is refused when it is set. Whole conversations are talks: rule-*.talk."""

from __future__ import annotations

from typing import Any

import pytest

from portyard.commons.scenario.checking import check
from portyard.commons.scenario.model import RuleError
from portyard.commons.scenario.parsing import make_rule
from portyard.dns.card import CARD
from portyard.dns.core.model import Type
from portyard.dns.core.presentation import type_text
from portyard.dns.core.verbs import VOCABULARY

VOCABULARIES = {"dns": VOCABULARY}


def test_the_card_shows_the_vocabulary() -> None:
    assert CARD.vocabulary is VOCABULARY


@pytest.mark.parametrize(
    ("verb", "then", "where"),
    [
        ("query", {"refuse": "SERVFAIL"}, {"type": "MX"}),
        ("query", {"refuse": "RCODE15"}, {"view": "inside"}),
        ("query", {"say": "NOERROR aa tc"}, {"transport": "udp"}),
        ("query", {"say": "answer $name. 60 A 192.0.2.1\nadditional x.test 1 CH TXT x"}, {"name": "*.test"}),
        ("query", {"delay": 1, "hang_up": True}, {}),
        ("connect", {"reset": True}, {}),
        ("*", {"latency": "50ms"}, {}),
    ],
)
def test_what_can_be_done_is_taken(verb: str, then: dict[str, Any], where: dict[str, Any]) -> None:
    assert check(make_rule(f"dns.{verb}", then, where=where), VOCABULARIES)


@pytest.mark.parametrize(
    ("verb", "then", "where", "why"),
    [
        ("query", {"refuse": "NOERROR"}, {}, "NXDOMAIN"),
        ("query", {"refuse": "RCODE16"}, {}, "RCODE15"),
        ("query", {"refuse": "550 no"}, {}, "SERVFAIL"),
        ("query", {"say": "A 192.0.2.1"}, {}, "answer \\$name"),
        ("query", {"say": "NOERROR zz"}, {}, "NOERROR aa tc"),
        ("query", {"cut_after": 3}, {}, "datagram"),
        ("query", {"tls": "expired"}, {}, "can't honour"),
        ("connect", {"tls": "expired"}, {}, "can't honour"),
        ("query", {"silence": True}, {"transport": "tls"}, "udp"),
        ("query", {"silence": True}, {"recipient": "x"}, "no field"),
        ("greeting", {"silence": True}, {}, "no verb"),
    ],
)
def test_what_cant_be_done_is_refused(verb: str, then: dict[str, Any], where: dict[str, Any], why: str) -> None:
    with pytest.raises(RuleError, match=why):
        check(make_rule(f"dns.{verb}", then, where=where), VOCABULARIES)


def test_every_type_that_a_query_may_show_can_be_asked_for() -> None:
    assert set(VOCABULARY.verbs["query"].fields["type"].values) == set(Type.__members__)
    for number in (*range(300), 9999, 65535):
        where = {"type": type_text(number)}
        assert check(make_rule("dns.query", {"silence": True}, where=where), {"dns": VOCABULARY})


@pytest.mark.parametrize("written", ["mx", "M*", "*", "TYPE*", "type6553?", "/^(A|AAAA)$/"])
def test_types_that_can_be_asked_for(written: str) -> None:
    assert check(make_rule("dns.query", {"silence": True}, where={"type": written}), {"dns": VOCABULARY})


@pytest.mark.parametrize("written", ["MXX", "TYPE15", "TYPE65536", "TYPE007", "QX*", "15x"])
def test_types_that_no_query_has(written: str) -> None:
    with pytest.raises(RuleError, match=r"no value of dns\.query") as caught:
        check(make_rule("dns.query", {"silence": True}, where={"type": written}), {"dns": VOCABULARY})
    assert caught.value.key == "where.type"
    assert caught.value.allowed.endswith("CAA, or TYPE<n> where the number n has none of these names")
