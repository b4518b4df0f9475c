"""Rules from TOML, JSON and Python are the same rules; what is wrong names key, value and what is allowed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from portyard.commons.scenario.actions import (
    ACTIONS,
    Bandwidth,
    CutAfter,
    Delay,
    Expect,
    HangUp,
    Latency,
    Refuse,
    Reset,
    Respond,
    Say,
    Script,
    Tls,
)
from portyard.commons.scenario.model import Rule, RuleError
from portyard.commons.scenario.parsing import (
    make_rule,
    parse_json,
    parse_rule,
    parse_toml,
    print_rule,
    rule_fields,
)

GREYLIST = """
[[rule]]
name = "greylist"
on = "smtp.rcpt"
where = { recipient = "*@slow.test", size = [">=10 <20", 5] }
times = 2
then = { refuse = "451 4.7.1 try again later", delay = "1500ms" }
"""


def test_toml_json_and_python_give_the_same_rule() -> None:
    (rule,) = parse_toml(GREYLIST)
    assert rule == Rule(
        name="greylist",
        on="smtp.rcpt",
        where={"recipient": ("*@slow.test",), "size": (">=10 <20", 5)},
        times=2,
        then=(Delay(1.5), Refuse("451 4.7.1 try again later")),
    )
    fields = rule_fields(rule)
    assert parse_json(json.dumps(fields)) == (rule,)
    assert parse_json(json.dumps([fields])) == parse_json(json.dumps({"rule": [fields]})) == (rule,)
    assert parse_json(print_rule(rule)) == (rule,)
    made = make_rule(
        "smtp.rcpt",
        [Delay(1.5), Refuse("451 4.7.1 try again later")],
        name="greylist",
        where={"recipient": "*@slow.test", "size": (">=10 <20", 5)},
        times=2,
    )
    assert made == rule
    assert make_rule("imap.fetch", HangUp(), times=1) == parse_rule(
        {"on": "imap.fetch", "times": 1, "then": {"hang_up": True}}
    )


@pytest.mark.parametrize(
    ("then", "actions"),
    [
        ({"refuse": 503}, (Refuse("503"),)),
        ({"hang_up": True}, (HangUp(),)),
        ({"reset": True}, (Reset(),)),
        ({"reset": {"after_octets": 10, "direction": "up"}}, (Reset(10, "up"),)),
        ({"latency": "200ms"}, (Latency(0.2),)),
        ({"latency": {"delay_s": "1m", "jitter_s": 0.5, "direction": "up"}}, (Latency(60.0, 0.5, "up"),)),
        ({"bandwidth": 1000}, (Bandwidth(1000),)),
        ({"cut_after": 0}, (CutAfter(0),)),
        ({"tls": "wrong-host"}, (Tls("wrong_host"),)),
        ({"tls": {"recipe": "wrong-host"}}, (Tls("wrong_host"),)),
        ({"respond": "hello"}, (Respond(body="hello"),)),
        ({"respond": {"status": 404, "headers": {"A": "b"}}}, (Respond(404, {"A": "b"}),)),
        ([{"say": "250 ok"}, {"hang_up": True}], (Say("250 ok"), HangUp())),
        ({"hang_up": True, "say": "250 ok", "delay": 1}, (Delay(1), Say("250 ok"), HangUp())),  # a table has no order
        ({"say": "250 ok", "delay": 1}, (Delay(1.0), Say("250 ok"))),
        (
            {"script": [{"say": "a"}, {"expect": "/x/"}, {"expect": True}, {"hang_up": True}]},
            (Script((Say("a"), Expect("/x/"), Expect(), HangUp())),),
        ),
    ],
)
def test_each_way_of_asking(then: object, actions: tuple[object, ...]) -> None:
    rule = make_rule("a.b", then)
    assert rule.then == actions
    assert parse_rule(rule_fields(rule)) == rule


def test_every_action_can_be_asked_for_and_printed() -> None:
    plain: dict[str, Any] = {"persona": "x", "tls": "expired", "script": [{"send": "a"}], "expect": "x"}
    for name, spec in ACTIONS.items():
        value = plain.get(
            name, True if spec.bare is None else {"reply": "x", "body": "x", "text": "x"}.get(spec.bare, 1)
        )
        then = {"script": [{name: value}]} if spec.kind == "step" else {name: value}
        rule = make_rule("a.b", then)
        assert parse_rule(rule_fields(rule)) == rule


def test_a_star_means_every_event() -> None:
    assert make_rule("*", {"hang_up": True}).on == "*.*"


WRONG: list[tuple[dict[str, object], str, str]] = [
    ({"then": {"hang_up": True}}, "on", "missing"),
    ({"on": "a.b"}, "then", "missing"),
    ({"on": "ab", "then": {"hang_up": True}}, "on", "not of this form"),
    ({"on": 5, "then": {"hang_up": True}}, "on", "not text"),
    ({"on": "A.b", "then": {"hang_up": True}}, "on", "not of this form"),
    ({"pear": 1}, "pear", "did you mean per"),
    ({"on": "a.b", "then": {}}, "then", "nothing is to be done"),
    ({"on": "a.b", "then": []}, "then", "nothing is to be done"),
    ({"on": "a.b", "then": "refuse"}, "then", "no table"),
    ({"on": "a.b", "then": {"refus": "x"}}, "then.refus", "did you mean refuse"),
    ({"on": "a.b", "then": {"loss": 0.1}}, "then.loss", "TCP repairs"),
    ({"on": "a.b", "then": {"reorder": True}}, "then.reorder", "in order"),
    ({"on": "a.b", "then": {"duplicate": True}}, "then.duplicate", "twice"),
    ({"on": "a.b", "then": {"half_close": {"direction": "both"}}}, "then.half_close.direction", "whole close"),
    ({"on": "a.b", "then": {"cut_after": {"octets": 1, "direction": "both"}}}, "then.cut_after.direction", "one way"),
    ({"on": "a.b", "then": {"hang_up": {"direction": "up"}}}, "then.hang_up.direction", "ends both"),
    ({"on": "a.b", "then": {"hang_up": False}}, "then.hang_up", "leave it out"),
    ({"on": "a.b", "then": {"refuse": ""}}, "then.refuse", "length"),
    ({"on": "a.b", "then": {"refuse": True}}, "then.refuse", "reply is missing"),
    ({"on": "a.b", "then": {"delay": -1}}, "then.delay", ">= 0"),
    ({"on": "a.b", "then": {"delay": "2x"}}, "then.delay", "150ms"),
    ({"on": "a.b", "then": {"delay": "2d"}}, "then.delay", "<= 86400"),
    ({"on": "a.b", "then": {"latency": {"delay": 1}}}, "then.latency.delay", "did you mean delay_s"),
    ({"on": "a.b", "then": {"latency": {"jitter_s": 1}}}, "then.latency", "delay_s is missing"),
    ({"on": "a.b", "then": {"latency": {"delay_s": 1, "direction": "out"}}}, "then.latency.direction", "up"),
    ({"on": "a.b", "then": {"bandwidth": 0}}, "then.bandwidth", ">= 1"),
    ({"on": "a.b", "then": {"refuse": "x", "say": "y"}}, "then", "both the answer"),
    ({"on": "a.b", "then": [{"silence": True}, {"delay": 1}]}, "then", "nothing can follow silence"),
    ({"on": "a.b", "then": [{"tls": "a"}, {"tls": "b"}]}, "then", "more than once"),
    ({"on": "a.b", "then": {"script": []}}, "then.script", "nothing is to be done"),
    ({"on": "a.b", "then": {"script": [{"refuse": "x"}]}}, "then.script[0].refuse", "no such key"),
    ({"on": "a.b", "then": {"script": [{"expect": "/(/"}]}}, "then.script[0].expect", "no regular expression"),
    ({"on": "a.b", "then": {"send": "x"}}, "then.send", "no such key"),
    ({"on": "a.b", "then": {"hang_up": True}, "times": -1}, "times", ">= 1"),
    ({"on": "a.b", "then": {"hang_up": True}, "times": 0}, "times", ">= 1"),
    ({"on": "a.b", "then": {"hang_up": True}, "times": True}, "times", "bool"),
    ({"on": "a.b", "then": {"hang_up": True}, "times": 1.5}, "times", "float"),
    ({"on": "a.b", "then": {"hang_up": True}, "skip": -1}, "skip", ">= 0"),
    ({"on": "a.b", "then": {"hang_up": True}, "every": 0}, "every", ">= 1"),
    ({"on": "a.b", "then": {"hang_up": True}, "times": 2**53}, "times", "<= 9007199254740991"),
    ({"on": "a.b", "then": {"bandwidth": 10**400}}, "then.bandwidth", "<= 9007199254740991"),
    ({"on": "a.b", "then": {"stall": {"after_octets": 10**400}}}, "then.stall.after_octets", "<= 9007199254740991"),
    ({"on": "a.b", "then": {"delay": 10**400}}, "then.delay", "150ms"),
    ({"on": "a.b", "then": {"hang_up": True}, "where": {"x": 10**400}}, "where.x", "too big"),
    ({"on": "a.b", "then": {"hang_up": True}, "where": {"x": [1, -(10**400)]}}, "where.x", "too big"),
    ({"on": "a.b", "then": {"hang_up": True}, "chance": 1.1}, "chance", "<= 1"),
    ({"on": "a.b", "then": {"hang_up": True}, "chance": -0.1}, "chance", "> 0"),
    ({"on": "a.b", "then": {"hang_up": True}, "chance": 0}, "chance", "> 0"),
    ({"on": "a.b", "then": {"refuse": None}}, "then.refuse", "refuse is to have its reply"),
    ({"on": "a.b", "then": {"delay": False}}, "then.delay", "delay is to have its delay_s"),
    ({"on": "a.b", "then": {"silence": False}}, "then.silence", "silence is asked for by true"),
    ({"on": "*" * 65 + ".b", "then": {"hang_up": True}}, "on", "not of this form"),
    ({"on": "a.b", "then": {"hang_up": True}, "times": 1, "per": "day"}, "per", "none of"),
    ({"on": "a.b", "then": {"hang_up": True}, "per": "peer"}, "per", "none of them"),
    ({"on": "a.b", "then": {"hang_up": True}, "where": ["x"]}, "where", "no table"),
    ({"on": "a.b", "then": {"hang_up": True}, "where": {"x": ""}}, "where.x", "/^$/"),
    ({"on": "a.b", "then": {"hang_up": True}, "where": {"x": []}}, "where.x", "empty list"),
    ({"on": "a.b", "then": {"hang_up": True}, "where": {"x": None}}, "where.x", "no pattern"),
    ({"on": "a.b", "then": {"hang_up": True}, "where": {"x": "/(/"}}, "where.x", "no regular expression"),
    ({"on": "a.b", "then": {"hang_up": True}, "where": {"x": ">5 <3"}}, "where.x", "no number lies"),
    ({"on": "a.b", "then": {"hang_up": True}, "where": {"X y": "a"}}, "where.X y", "no field's name"),
    ({"on": "a.b", "then": {"hang_up": True}, "name": "17"}, "name", "mistaken for a rule's id"),
    ({"on": "a.b", "then": {"hang_up": True}, "name": "+451"}, "name", "mistaken for a magic address"),
    ({"on": "a.b", "then": {"hang_up": True}, "name": ".."}, "name", "path"),
    ({"on": "a.b", "then": {"hang_up": True}, "name": "."}, "name", "path"),
    ({"on": "a.b", "then": {"hang_up": True}, "name": "a\nb"}, "name", "no name"),
]


@pytest.mark.parametrize(
    ("values", "key", "words"), WRONG, ids=[f"{key}-{number}" for number, (_, key, _) in enumerate(WRONG)]
)
def test_what_is_wrong_is_named(values: dict[str, object], key: str, words: str) -> None:
    with pytest.raises(RuleError) as caught:
        parse_rule(values)
    assert caught.value.key == key
    assert words in caught.value.reason
    assert caught.value.allowed
    assert str(caught.value).startswith(f"{key} = ")


def test_a_set_is_refused_whole() -> None:
    with pytest.raises(RuleError) as caught:
        parse_toml(GREYLIST + '[[rule]]\non = "a.b"\nthen = { delay = "soon" }\n')
    assert caught.value.key == "rule[1].then.delay"
    with pytest.raises(RuleError, match="has this name already"):
        parse_toml(GREYLIST + GREYLIST)
    with pytest.raises(RuleError, match="too many rules"):
        parse_json(json.dumps([{}] * 10_001))


LONG = '[rule]\non = "a.b"\nthen = {delay = 1}\ntimes = '


@pytest.mark.parametrize(
    "text", ["[[rule", "rule = 5", "x = 1", "[rule]\nx=1", f"{LONG}1{'0' * 5000}", f"{LONG}0x{'f' * 5000}"]
)
def test_what_is_no_toml_rule(text: str) -> None:
    with pytest.raises(RuleError):
        parse_toml(text)


@pytest.mark.parametrize("text", [b"{", b"\xff", b"5", b"[[]]", b'{"rule": 5}', b"null", b"[" * 100_000])
def test_what_is_no_json_rule(text: bytes) -> None:
    with pytest.raises(RuleError):
        parse_json(text)


@pytest.mark.parametrize("values", [{"rules": [{"on": "imap.fetch"}]}, {"Rule": [1]}])
def test_a_table_of_rules_by_a_wrong_name_hears_of_the_right_one(values: dict[str, object]) -> None:
    with pytest.raises(RuleError, match="did you mean rule") as caught:
        parse_json(json.dumps(values))
    assert caught.value.allowed == "rule"
    with pytest.raises(RuleError, match="did you mean where"):
        parse_json(json.dumps({"on": "imap.fetch", "wher": [1], "then": {"hang_up": True}}))


@pytest.mark.parametrize("way", [{}, {"direction": "down"}, {"direction": "up"}])
@pytest.mark.parametrize(
    "fault", [{"cut_after": {"octets": 5}}, {"reset": {"after_octets": 5}}, {"corrupt": {"octets": 5}}]
)
def test_a_direction_is_kept_as_it_was_written(fault: dict[str, dict[str, Any]], way: dict[str, str]) -> None:
    ((name, fields),) = fault.items()
    rule = parse_rule({"on": "a.b", "then": {name: {**fields, **way}}})
    told = rule_fields(rule)["then"][name]
    assert ({"direction": told["direction"]} if isinstance(told, dict) and "direction" in told else {}) == way
    assert parse_rule(rule_fields(rule)) == rule
