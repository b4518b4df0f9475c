"""What a bad rule gets, in both tongues, JSON and TOML: refused whole, by a problem that names key, value and what is allowed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.support.asyncio_tests import run
from tests.support.console import console
from tests.support.console_refusals import RULES, STANDING, TOML, furnished, whole_state

HANG = {"hang_up": True}

# A rule, the key that its problem names, and words of the problem.
RULE_CASES: list[tuple[dict[str, Any], str, str]] = [
    # unknown keys
    ({"on": "pop3.stat", "thne": HANG}, "thne", "did you mean then?"),
    ({"on": "pop3.stat", "then": HANG, "where": {"pear": "x"}}, "where.pear", "did you mean peer?"),
    ({"on": "pop3.stat", "then": {"hangup": True}}, "then.hangup", "did you mean hang_up?"),
    ({"on": "pop3.stat", "then": {"latency": {"delay_s": 1, "jiter_s": 1}}}, "then.latency.jiter_s", "jitter_s?"),
    ({"on": "smtp.noop", "then": {"script": [{"sned": "x"}]}}, "then.script[0].sned", "did you mean send?"),
    # rooms, verbs and actions that aren't there
    ({"on": "gopher.get", "then": HANG}, "on", "no room gopher"),
    ({"on": "imap.retr", "then": HANG}, "on", "imap has no verb retr"),
    ({"on": "pop3", "then": HANG}, "on", "not of this form"),
    ({"on": "ssh.connect", "then": {"tls": "expired"}}, "then.tls", "SSH has no TLS"),
    ({"on": "smtp.receiving", "then": {"refuse": "451 no"}}, "then.refuse", "354 is sent already"),
    ({"on": "smtp.rcpt", "then": {"respond": "x"}}, "then.respond", "can't honour respond"),
    ({"on": "dns.query", "then": {"script": [{"send": "x"}]}}, "then.script[0].send", "no text"),
    # patterns that can't match
    ({"on": "smtp.rcpt", "then": HANG, "where": {"recipient": ""}}, "where.recipient", "matches nothing"),
    ({"on": "smtp.rcpt", "then": HANG, "where": {"recipient": []}}, "where.recipient", "matches nothing"),
    ({"on": "smtp.rcpt", "then": HANG, "where": {"recipient": "bob"}}, "where.recipient", "every value holds '@'"),
    ({"on": "smtp.rcpt", "then": HANG, "where": {"recipient": "/(/"}}, "where.recipient", "no regular expression"),
    ({"on": "smtp.rcpt", "then": HANG, "where": {"recipient": "/(?=a)b/"}}, "where.recipient", "looks ahead"),
    ({"on": "smtp.rcpt", "then": HANG, "where": {"recipient": "*@other sp.test"}}, "where.recipient", "no value"),
    ({"on": "smtp.rcpt", "then": HANG, "where": {"recipient": "[z-a]*@"}}, "where.recipient", "no value"),
    ({"on": "smtp.rcpt", "then": HANG, "where": {"sender": "bob"}}, "where.sender", "every value holds '@'"),
    ({"on": "imap.noop", "then": HANG, "where": {"account": "u1@*@"}}, "where.account", "no value"),
    ({"on": "dns.query", "then": HANG, "where": {"name": "*.t1.test."}}, "where.name", "no value"),
    ({"on": "http.request", "then": HANG, "where": {"path": "/~t1/get"}}, "where.path", "no value"),
    ({"on": "websocket.upgrade", "then": HANG, "where": {"path": "/~*/echo"}}, "where.path", "no value"),
    ({"on": "smtp.rcpt", "then": HANG, "where": {"role": "mtx"}}, "where.role", "did you mean mta?"),
    ({"on": "smtp.rcpt", "then": HANG, "where": {"port": "smtps"}}, "where.port", "did you mean smtp?"),
    ({"on": "imap.fetch", "then": HANG, "where": {"account": "alice"}}, "where.account", "every value holds '@'"),
    ({"on": "smtp.mail", "then": HANG, "where": {"size": "big*"}}, "where.size", "this field is a number"),
    ({"on": "smtp.mail", "then": HANG, "where": {"size": ">5 <3"}}, "where.size", "no number lies between"),
    ({"on": "smtp.mail", "then": HANG, "where": {"size": "<0"}}, "where.size", "no value lies there"),
    ({"on": "http.response", "then": HANG, "where": {"status": "<100"}}, "where.status", "no value lies there"),
    ({"on": "http.request", "then": HANG, "where": {"path": "files/*"}}, "where.path", "begins with"),
    ({"on": "http.request", "then": HANG, "where": {"path": "/api/"}}, "where.path", "a path, or an expression"),
    ({"on": "ftp.retr", "then": HANG, "where": {"path": "report.txt"}}, "where.path", "begins with"),
    ({"on": "imap.fetch", "then": HANG, "where": {"uid": "yes"}}, "where.uid", "this field is a flag"),
    ({"on": "pop3.stat", "then": HANG, "where": {"peer": "localhost"}}, "where.peer", "no value of pop3.stat matches"),
    ({"on": "dns.query", "then": HANG, "where": {"type": "MXX"}}, "where.type", "no value of dns.query matches"),
    ({"on": "pop3.stat", "then": HANG, "where": {"peer": 5}}, "where.peer", "this field is text"),
    # counts
    ({"on": "pop3.stat", "then": HANG, "times": -1}, "times", ">= 1"),
    ({"on": "pop3.stat", "then": HANG, "times": 0}, "times", ">= 1"),
    ({"on": "pop3.stat", "then": HANG, "skip": -1}, "skip", ">= 0"),
    ({"on": "pop3.stat", "then": HANG, "every": 0}, "every", ">= 1"),
    ({"on": "pop3.stat", "then": HANG, "times": 1.5}, "times", "int"),
    ({"on": "pop3.stat", "then": HANG, "chance": 1.5}, "chance", "<= 1"),
    ({"on": "pop3.stat", "then": HANG, "chance": 0}, "chance", "> 0"),
    ({"on": "pop3.greeting", "then": HANG, "times": 1, "per": "account"}, "per", "nobody has logged in"),
    ({"on": "dns.query", "then": HANG, "times": 1, "per": "account"}, "per", "nobody has logged in"),
    ({"on": "imap.login", "then": HANG, "times": 1, "per": "account"}, "per", "nobody has logged in"),
    ({"on": "smtp.auth", "then": HANG, "where": {"role": "mta"}}, "where.role", "no value of smtp.auth"),
    ({"on": "http.request", "then": HANG, "times": 1, "per": "account"}, "per", "nobody has logged in"),
    ({"on": "websocket.message", "then": HANG, "times": 1, "per": "account"}, "per", "nobody has logged in"),
    ({"on": "ssh.auth", "then": HANG, "where": {"account": "u1@*"}}, "where.account", "nobody has logged in"),
    ({"on": "http.request", "then": HANG, "where": {"path": "/api/i"}}, "where.path", "a path, or an expression"),
    (
        {"on": "smtp.rcpt", "then": HANG, "times": 1, "per": "account", "where": {"role": ["mta", "mda"]}},
        "per",
        "nobody has logged in",
    ),
    ({"on": "pop3.stat", "then": HANG, "times": 1, "per": "mailbox"}, "per", "none of"),
    ({"on": "pop3.stat", "then": HANG, "per": "session"}, "per", "there is none of them"),
    # faults that TCP can't do, and faults that aren't any
    ({"on": "pop3.stat", "then": {"loss": 0.1}}, "then.loss", "TCP repairs lost segments"),
    ({"on": "pop3.stat", "then": {"reorder": True}}, "then.reorder", "TCP delivers in order"),
    ({"on": "pop3.stat", "then": {"duplicate": True}}, "then.duplicate", "TCP drops what comes twice"),
    ({"on": "pop3.stat", "then": {"mtu": 576}}, "then.mtu", "slice writes small pieces"),
    ({"on": "pop3.stat", "then": {"reset": {"direction": "both"}}}, "then.reset.direction", "ends both directions"),
    ({"on": "pop3.stat", "then": {"reset": {"direction": "left"}}}, "then.reset.direction", "none of"),
    ({"on": "pop3.stat", "then": {"half_close": {"direction": "both"}}}, "then.half_close.direction", "whole close"),
    ({"on": "pop3.stat", "then": {"cut_after": {"octets": 5, "direction": "both"}}}, "then.cut_after.direction", "one"),
    ({"on": "pop3.stat", "then": {"hang_up": {"direction": "up"}}}, "then.hang_up.direction", "half_close ends one"),
    ({"on": "pop3.stat", "then": {"corrupt": {"direction": "both"}}}, "then.corrupt.direction", "counted one way"),
    ({"on": "pop3.stat", "then": {"corrupt": {"octets": -1}}}, "then.corrupt.octets", ">= 0"),
    ({"on": "pop3.stat", "then": {"corrupt": {"mask": 0}}}, "then.corrupt.mask", ">= 1"),
    ({"on": "pop3.stat", "then": {"corrupt": {"mask": 256}}}, "then.corrupt.mask", "<= 255"),
    ({"on": "pop3.stat", "then": {"corrupt": {"chance": 2}}}, "then.corrupt.chance", "<= 1"),
    ({"on": "pop3.stat", "then": {"corrupt": {"octets": 0}}}, "then.corrupt", "nothing would be changed"),
    ({"on": "pop3.stat", "then": {"bandwidth": 0}}, "then.bandwidth", ">= 1"),
    ({"on": "pop3.stat", "then": {"slice": {"octets": 0}}}, "then.slice.octets", ">= 1"),
    ({"on": "pop3.stat", "then": {"latency": "soon"}}, "then.latency", "not a number of seconds"),
    ({"on": "pop3.stat", "then": {"latency": -1}}, "then.latency", ">= 0"),
    ({"on": "pop3.stat", "then": {"stall": {"for_s": "2 days"}}}, "then.stall.for_s", ""),
    ({"on": "pop3.stat", "then": {"latency": {}}}, "then.latency", ""),
    ({"on": "dns.query", "then": {"reset": True}}, "then.reset", "a datagram has no stream"),
    # what can't be done together, or can't be said
    ({"on": "pop3.stat", "then": {"refuse": "-ERR a", "say": "+OK b"}}, "then", "both the answer"),
    ({"on": "pop3.stat", "then": [HANG, {"delay": 1}]}, "then", "nothing can follow hang_up"),
    ({"on": "pop3.stat", "then": {"refuse": "550 no"}}, "then.refuse", "can't say this"),
    ({"on": "smtp.rcpt", "then": {"refuse": "250 yes"}}, "then.refuse", "can't say this"),
    ({"on": "http.request", "then": {"refuse": 99}}, "then.refuse", "can't say this"),
    ({"on": "http.request", "then": {"respond": {"status": 99}}}, "then.respond.status", "can't say this"),
    ({"on": "http.request", "then": {"respond": {"headers": {"A B": "x"}}}}, "then.respond.headers", "no name"),
    (
        {"on": "http.request", "then": {"respond": {"headers": {"A": "x\r\nB: y"}}}},
        "then.respond.headers.A",
        "no field",
    ),
    ({"on": "http.request", "then": {"script": [{"respond": {"status": 1000}}]}}, "then.script[0].respond.status", ""),
    ({"on": "ssh.exec", "then": {"respond": {"status": 1 << 32}}}, "then.respond.status", "can't say this"),
    ({"on": "http.tls", "then": {"refuse": "unknwon_ca"}}, "then.refuse", "can't say this"),
    ({"on": "http.connect", "then": {"tls": "expird"}}, "then.tls", "did you mean expired?"),
    ({"on": "smtp.rcpt", "then": {"refuse": "550 $recipent"}}, "then.refuse", "did you mean recipient?"),
    ({"on": "pop3.stat", "then": {"script": []}}, "then.script", "nothing is to be done"),
    ({"on": "pop3.stat", "then": {"script": [{"expect": "/(/"}]}}, "then.script[0].expect", "no regular expression"),
]


def test_rules(tmp_path: Path) -> None:
    """One testbed for them all: each is refused in both tongues, alone, in a list and as a replacement."""

    async def main() -> None:
        async with console(tmp_path) as client:
            before = await furnished(client)
            number = (await client.get(RULES))[0]["id"]
            for rule, key, words in RULE_CASES:
                for problem, at in [
                    (await client.problem("POST", RULES, 422, json=rule), key),
                    (await client.problem("POST", RULES, 422, json=[STANDING | {"name": "x"}, rule]), f"rule[1].{key}"),
                    (await client.problem("PUT", f"{RULES}/{number}", 422, json=rule), key),
                    (await client.problem("POST", RULES, 422, data=toml(rule), headers=TOML), f"rule[0].{key}"),
                ]:
                    assert problem["key"] == at, rule
                    assert words in problem["detail"], (rule, problem)
                    assert problem["allowed"], rule
                    assert "value" in problem or rule_value(rule, key) is None, rule
            assert await whole_state(client) == before

    run(main())


def rule_value(rule: object, key: str) -> object:
    """What stands at a key of a rule."""
    for word in key.replace("[", ".").replace("]", "").split("."):
        if isinstance(rule, dict):
            rule = rule.get(word)
        elif isinstance(rule, list) and word.isdecimal():
            rule = rule[int(word)]
    return rule


def toml(rule: dict[str, Any]) -> bytes:
    """The rule in TOML, which writes values as JSON does, but for tables."""

    def value(one: object) -> str:
        if isinstance(one, dict):
            return "{ " + ", ".join(f"{json.dumps(key)} = {value(inner)}" for key, inner in one.items()) + " }"
        if isinstance(one, list):
            return "[" + ", ".join(map(value, one)) + "]"
        return json.dumps(one)

    return ("[[rule]]\n" + "".join(f"{key} = {value(one)}\n" for key, one in rule.items())).encode()
