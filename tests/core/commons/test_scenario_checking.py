"""A rule that a room can't honour is refused when it is set."""

from __future__ import annotations

import pytest

from portyard.commons.scenario.checking import BODY_LIMIT, check, check_persona, covers, honours
from portyard.commons.scenario.model import RuleError
from portyard.commons.scenario.parsing import make_rule
from portyard.commons.scenario.vocabulary import (
    ANSWERS,
    CONNECT,
    FAULTS,
    HANDSHAKE,
    Field,
    FieldKind,
    Verb,
    Vocabulary,
    by_room,
)

MAIL = Vocabulary(
    "mail",
    {
        "connect": Verb("A connection comes.", actions=CONNECT | {"persona"}),
        "tls": HANDSHAKE,
        "auth": Verb("A name is claimed.", {"login": Field("The name.")}, ANSWERS, roles=("msa",)),
        "rcpt": Verb(
            "A recipient is named.",
            {
                "recipient": Field("The address.", holds="@"),
                "size": Field("Octets.", FieldKind.NUMBER, high=1000),
                "tls": Field("Encrypted.", FieldKind.FLAG),
                "body": Field("BODY=.", values=("7BIT", "8BITMIME")),
            },
            ANSWERS | FAULTS,
            why_not={"respond": "a mail server gives replies, not responses: say or refuse"},
        ),
    },
    roles=("msa", "mta"),
    anonymous=frozenset({"mta"}),
    before_login=frozenset({"auth"}),
)
WEB = Vocabulary(
    "web",
    {
        "connect": Verb("A connection comes.", actions=CONNECT | {"persona"}),
        "request": Verb("", {"path": Field("", FieldKind.PATH)}, ANSWERS | {"respond"}),
    },
    respond=frozenset({"status", "body"}),
)
PLAIN = Vocabulary("plain", {"connect": Verb("A connection comes.", actions=CONNECT)})
ROOMS = by_room([MAIL, WEB])


@pytest.mark.parametrize(
    ("on", "where", "then", "places"),
    [
        ("mail.rcpt", {"recipient": "*@x.test", "role": "mta"}, {"refuse": "550 $recipient"}, {("mail", "rcpt")}),
        ("mail.rcpt", {"size": [">5", "17", "*"], "tls": True, "body": "8bit*"}, {"delay": 1}, {("mail", "rcpt")}),
        ("mail.rcpt", {"size": ">=2 <3"}, {"delay": 1}, {("mail", "rcpt")}),
        ("mail.rcpt", {"size": [2.0, "<0.5", ">999.5"]}, {"delay": 1}, {("mail", "rcpt")}),
        ("mail.rcpt", {"account": "*@x.test"}, {"delay": 1}, {("mail", "rcpt")}),
        ("mail.connect", {"account": ["*@x.test", "/^$/"]}, {"reset": True}, {("mail", "connect")}),
        ("mail.tls", {"server_name": "*.x?.test"}, {"tls": "wrong_host"}, {("mail", "tls")}),
        ("*.connect", {}, {"reset": True}, {("mail", "connect"), ("web", "connect")}),
        ("mail.*", {}, {"refuse": "550"}, {("mail", "auth"), ("mail", "rcpt")}),
        ("*", {"path": "/a/*"}, {"respond": {"status": 404}}, {("web", "request")}),
        ("w*.re*", {"path": "/^x/"}, {"refuse": 404}, {("web", "request")}),
        ("mail.connect", {"peer": "127.*", "port": "smtp*"}, {"tls": "wrong-host"}, {("mail", "connect")}),
    ],
)
def test_where_a_rule_can_fire(on: str, where: object, then: object, places: set[tuple[str, str]]) -> None:
    assert check(make_rule(on, then, where=where), ROOMS, recipes=["wrong_host"]) == places


@pytest.mark.parametrize(
    "peer",
    [
        "127.0.0.1",
        "::1",
        "fe80::1%eth0",
        "2001:DB8::7",
        "::ffff:192.0.2.1",
        "*",
        "127.*",
        "10.0.?.1",
        "fe80:*",
        "*%eth0",
        "/lo/",
    ],
)
def test_what_may_be_an_address(peer: str) -> None:
    assert check(make_rule("mail.rcpt", {"delay": 1}, where={"peer": peer}), ROOMS)


@pytest.mark.parametrize(
    ("on", "where", "then", "key", "words"),
    [
        ("mial.rcpt", {}, {"refuse": "x"}, "on", "did you mean mail"),
        ("mail.rctp", {}, {"refuse": "x"}, "on", "did you mean rcpt"),
        ("mail.rcpt", {"recipiant": "*"}, {"refuse": "x"}, "where.recipiant", "did you mean recipient"),
        ("mail.rcpt", {"recipient": "bob"}, {"refuse": "x"}, "where.recipient", "every value holds '@'"),
        ("mail.rcpt", {"recipient": 5}, {"refuse": "x"}, "where.recipient", "this field is text"),
        ("mail.rcpt", {"recipient": "<5"}, {"refuse": "x"}, "where.recipient", "this field is text"),
        ("mail.rcpt", {"recipient": True}, {"refuse": "x"}, "where.recipient", "this field is text"),
        ("mail.rcpt", {"size": "big"}, {"refuse": "x"}, "where.size", "this field is a number"),
        ("mail.rcpt", {"size": "/1/"}, {"refuse": "x"}, "where.size", "this field is a number"),
        ("mail.rcpt", {"size": ">1000"}, {"refuse": "x"}, "where.size", "no value lies there"),
        ("mail.rcpt", {"size": "<0"}, {"refuse": "x"}, "where.size", "no value lies there"),
        ("mail.rcpt", {"size": -1}, {"refuse": "x"}, "where.size", "no value lies there"),
        ("mail.rcpt", {"size": 1.5}, {"refuse": "x"}, "where.size", "no value lies there"),
        ("mail.rcpt", {"size": ">2 <3"}, {"refuse": "x"}, "where.size", "no value lies there"),
        ("mail.rcpt", {"size": ">999.5 <1000"}, {"refuse": "x"}, "where.size", "no value lies there"),
        ("mail.rcpt", {"account": "*@x.test", "role": "mta"}, {"refuse": "x"}, "where.account", "nobody has logged in"),
        ("mail.connect", {"account": "*@x.test"}, {"reset": True}, "where.account", "nobody has logged in"),
        ("mail.auth", {"role": "mta"}, {"refuse": "x"}, "where.role", "no value of mail.auth matches"),
        ("mail.auth", {"account": "*@x.test"}, {"refuse": "x"}, "where.account", "nobody has logged in"),
        ("web.request", {"path": "/api/i"}, {"refuse": 404}, "where.path", "a path, or an expression"),
        (
            "mail.tls",
            {"server_name": "mail x"},
            {"tls": "expired"},
            "where.server_name",
            "no value of mail.tls matches",
        ),
        (
            "mail.tls",
            {"server_name": "x.test:25"},
            {"tls": "expired"},
            "where.server_name",
            "no value of mail.tls matches",
        ),
        ("mail.rcpt", {"tls": "yes"}, {"refuse": "x"}, "where.tls", "a flag"),
        ("mail.rcpt", {"body": "binary*"}, {"refuse": "x"}, "where.body", "no value of mail.rcpt matches"),
        *[
            ("mail.rcpt", {"peer": peer}, {"refuse": "x"}, "where.peer", "no value of mail.rcpt matches")
            for peer in ("localhost", "local*", "127.0.0", "127.0.0.256", "10.0.0.0/8", "alice@x.test", "127.0.0.1 ")
        ],
        ("mail.rcpt", {"role": "mda"}, {"refuse": "x"}, "where.role", "did you mean"),
        ("mail.rcpt", {}, {"respond": "x"}, "then.respond", "say or refuse"),
        ("mail.connect", {}, {"refuse": "x"}, "then.refuse", "mail.connect can't honour refuse"),
        ("mail.*", {}, {"respond": "x"}, "then.respond", "can't honour"),
        ("mail.rcpt", {}, {"refuse": "$recipent"}, "then.refuse", "did you mean recipient"),
        ("web.request", {"path": "/api/"}, {"refuse": 404}, "where.path", "a path, or an expression"),
        ("web.request", {}, {"respond": {"headers": {"a": "b"}}}, "then.respond.headers", "no such part"),
        ("web.connect", {}, {"tls": "expird"}, "then.tls", "did you mean expired"),
        ("plain.connect", {}, {"persona": "x"}, "then.persona", "plain has no personas"),
        ("mail.rcpt", {}, {"persona": "x"}, "then.persona", "ask for it on connect"),
    ],
)
def test_what_no_room_can_honour(on: str, where: object, then: object, key: str, words: str) -> None:
    with pytest.raises(RuleError) as caught:
        check(make_rule(on, then, where=where), {**ROOMS, "plain": PLAIN}, recipes=["expired"])
    assert caught.value.key == key
    assert words in caught.value.reason
    with pytest.raises(RuleError, match=r"^rule\[3\]\."):
        check(make_rule(on, then, where=where), {**ROOMS, "plain": PLAIN}, recipes=["expired"], key="rule[3]")


def test_a_persona_is_a_room_s_own() -> None:
    names = {"mail": ["old", "gmail"], "web": ["new"], "plain": []}
    for on, name in (("mail.connect", "old"), ("*.connect", "new"), ("plain.connect", "x")):
        check_persona(make_rule(on, {"persona": name}), names)
    with pytest.raises(RuleError, match="did you mean gmail") as caught:
        check_persona(make_rule("mail.connect", {"persona": "gmial"}), names)
    assert (caught.value.key, caught.value.allowed) == ("then.persona", "gmail, old")
    with pytest.raises(
        RuleError, match=r"rule\[2\].then.persona = 'new': mail has no persona of this name: it is one of web"
    ):
        check_persona(make_rule("mail.connect", {"persona": "new"}), names, "rule[2]")


def test_a_star_fires_only_where_it_can_be_obeyed() -> None:
    rule = make_rule("*", {"refuse": "550"})
    assert honours(rule, MAIL, "rcpt")
    assert not honours(rule, MAIL, "connect")
    assert not honours(rule, None, "rcpt")
    assert honours(make_rule("mail.rcpt", {"refuse": "550"}), None, "rcpt")
    assert not honours(make_rule("mail.connect", {"refuse": "550"}), MAIL, "connect")


def test_what_a_star_covers() -> None:
    assert covers("re*t", "request")
    assert not covers("re*t", "requests")
    assert not covers("a.c", "abc")
    assert covers("*", "anything")


def test_a_stub_is_no_bigger_than_what_sets_it() -> None:
    assert check(make_rule("web.request", {"respond": {"body": "x" * BODY_LIMIT}}), ROOMS)
    with pytest.raises(RuleError, match="too many") as refused:
        check(make_rule("web.request", {"respond": {"body": "x" * (BODY_LIMIT + 1)}}), ROOMS)
    assert (refused.value.key, len(str(refused.value)) < 500) == ("then.respond.body", True)
