"""Which key stands twice, in JSON and in TOML."""

from __future__ import annotations

import json
import tomllib

import pytest

from portyard.commons.given_twice import GivenTwiceError, read_json, twice_in_toml


@pytest.mark.parametrize(
    ("text", "key", "values"),
    [
        ('{"on": "a", "on": "b"}', "on", ["a", "b"]),
        ('{"on": "a", "o\\u006e": "a"}', "on", ["a", "a"]),
        ('{"then": {"delay": 1, "delay": 2}}', "then.delay", [1, 2]),
        ('[{"on": 1}, {"then": {"script": [{"send": 1, "send": 2}]}}]', "rule[1].then.script[0].send", [1, 2]),
        ('{"a": {"b": 1, "b": 2}, "a": {}}', "a", [{"b": 2}, {}]),  # the outermost
        ('{"c": 1, "b": 1, "b": 2, "c": 3, "b": 3}', "b", [1, 2, 3]),
        ('{"": 1, "": 2}', "", [1, 2]),
    ],
)
def test_json(text: str, key: str, values: list[object]) -> None:
    for octets in (text, text.encode()):
        with pytest.raises(GivenTwiceError) as caught:
            read_json(octets, "rule")
        assert (caught.value.key, caught.value.values) == (key, values)
        assert str(caught.value) == f"{key} is given twice"


@pytest.mark.parametrize("text", ["{}", '{"a": {"a": 1}, "b": {"a": 1}}', '[{"a": 1}, {"a": 1}]', '"a"', "null"])
def test_json_in_which_none_does(text: str) -> None:
    assert read_json(text) == json.loads(text)


def test_what_is_no_json() -> None:
    with pytest.raises(ValueError, match="Expecting"):
        read_json('{"a": 1, "a": ')


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a = 1\nb = 2\na = 3", "a is given twice (line 3)"),
        ("a = 1\na = 3\n\n\n", "a is given twice (line 2)"),
        (
            "[[rule]]\non = 'a'\r\n[[rule]]\r\non = 'b'\r\n on = 'c'\r\ntimes = 1\n",
            "rule[1].on is given twice (line 5)",
        ),
        ("[[rule]]\n[rule.then]\ndelay = 1\ndelay = 2\n", "rule[0].then.delay is given twice (line 4)"),
        ("[rule.where]\n'x y' = 1\n'x y' = 2", "rule.where.'x y' is given twice (line 3)"),
        ("a.b = 1\na.b = 2\n", "a.b is given twice (line 2)"),
        ("b = 1\nb = '''\nc = 2\n[d]\n'''\n", "b is given twice (line 5)"),  # what stands within a text is no key
        ("b = 1\nb = [\n 1,\n 2,\n]\n", "b is given twice (line 5)"),
        ("then = { delay = 1, delay = 2 }\n", "then.delay is given twice (line 1)"),
        ("[[rule]]\n[[rule]]\nthen = { delay = 1, delay = 2 }", "rule[1].then.delay is given twice (line 3)"),
        ("a = {x = 1, x = 2", "a.x is given twice (line 1)"),
        (
            '[[rule]]\nthen = { script = [ { say = "}, {" }, # ]\n { send = """\n}\\"""", send = \'[\' } ] }\nb = 1\n',
            "rule[0].then.script[1].send is given twice (line 4)",
        ),
        ("a = { b = { 'c d' = {}, 'c d' = [1, 2] } }\n", "a.b.'c d' is given twice (line 1)"),
        ("[a]\nb = { c.d = 1, e = 2, c.d = 3 }\n", "a.b.c.d is given twice (line 2)"),
        ("[[rule]]\n[rule.then]\na = 1\n[rule.then]\nb = 1\n", "rule[0].then is given twice (line 4)"),
        ("[[a]]\n[[a.b]]\n[[a.b]]\n[a.b.'c, d'.e]\n[a.b.'c, d'.e]", "a[0].b[1].c, d.e is given twice (line 5)"),
        ("[a]\n[a]", "a is given twice (line 2)"),
        ("[[a]]\nb = {}\nb.c = 1\n", "a[0].b is given twice (line 3)"),
        ("[[a]]\nb = {}\nb.c = [\n1]\n", "a.b is given twice (line 4)"),
        ("[[rule]]\nthen = {}\n[rule.then]\n", "rule[0].then is given twice (line 3)"),
        ("[[a]]\nb = { c = {}, c.d = 1 }\n", "a[0].b.c.d is given twice (line 2)"),
    ],
)
def test_toml(text: str, told: str) -> None:
    with pytest.raises(tomllib.TOMLDecodeError):
        tomllib.loads(text)
    found = twice_in_toml(text)
    assert found is not None
    assert str(found) == told
    assert told.startswith(f"{found.key} is")


def test_a_key_of_a_text_that_doesnt_end() -> None:
    found = twice_in_toml("a = 1\na = '''" + "\n" * 200 + "'''\n")
    assert str(found) == "a key is given twice (line 202)"


@pytest.mark.parametrize("text", ["", "a = 1", "= 3", "[[rule]]\nb = 1\n[[rule]]\nb = 1\n", "a = " + "[" * 100_000])
def test_toml_in_which_none_does(text: str) -> None:
    assert twice_in_toml(text) is None
