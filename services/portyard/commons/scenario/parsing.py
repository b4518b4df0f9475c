"""Rules from TOML, JSON and Python, and back to plain data. What is wrong is refused whole, naming key, value and what is allowed. Pure."""

from __future__ import annotations

import json
import re
import sys
import tomllib
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import msgspec

from portyard.commons.durations import ALLOWED as DURATIONS
from portyard.commons.durations import parse_duration
from portyard.commons.hints import did_you_mean
from portyard.commons.scenario.actions import (
    ACTIONS,
    IMPOSSIBLE,
    IMPOSSIBLE_FIELDS,
    IMPOSSIBLE_VALUES,
    Action,
    Corrupt,
    Delay,
    Kind,
    Persona,
    Script,
    Spec,
    Tls,
    action_name,
)
from portyard.commons.scenario.model import Rule, RuleError
from portyard.commons.scenario.patterns import PatternError, parse_pattern

T = TypeVar("T")

MOST_RULES = 10_000  # of one text: more is a mistake
MOST_STEPS = 1_000
NAME_LIMIT = 200  # characters
_NO_ID_NO_MAGIC = "a name that is neither a number nor begins with +"
_ON = re.compile(r"[a-z0-9_*-]{1,64}\.[a-z0-9_*-]{1,64}", re.ASCII)
_FIELD = re.compile(r"[a-z][a-z0-9_]*", re.ASCII)
_KEYS = ("on", "then", "name", "where", "times", "skip", "every", "chance", "per")
_RULE_NAMES = tuple(name for name, spec in ACTIONS.items() if spec.kind is not Kind.STEP)
_STEP_NAMES = tuple(name for name, spec in ACTIONS.items() if spec.step)
_EXPECTED = re.compile(r"Expected (.*?)(?:, got .*)?(?: - at .*)?$", re.DOTALL)


def parse_toml(text: str) -> tuple[Rule, ...]:
    """The rules of a TOML text: `[[rule]]` tables.

    Raises:
        RuleError: The text isn't TOML, or something in it is wrong; nothing of it is taken.
    """
    try:
        return _rules(tomllib.loads(text))
    except RuleError:
        raise
    except (ValueError, RecursionError) as error:  # no TOML, or a number that Python won't read or show for its length
        raise RuleError("", text[:80], "TOML with [[rule]] tables", f"not TOML: {error}") from None


def parse_json(text: str | bytes) -> tuple[Rule, ...]:
    """The rules of a JSON text: one rule, a list of them, or `{"rule": [...]}`.

    Raises:
        RuleError: As for `parse_toml`.
    """
    try:
        values = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RuleError("", str(text[:80]), "a rule, or a list of rules", f"not JSON: {error}") from None
    return _rules(values if isinstance(values, dict) and _holds_rules(values) else {"rule": values})


def _holds_rules(table: Mapping[str, Any]) -> bool:
    """Whether a table is one of rules, if by a wrong name: `rules` wants to hear of `rule`, not of a rule's keys."""
    return "rule" in table or (
        table.keys().isdisjoint(_KEYS) and any(isinstance(each, list) for each in table.values())
    )


def make_rule(on: str, then: object, **fields: object) -> Rule:
    """A rule in Python; `then` is an action, a dict as in TOML, or a list of either.

    Raises:
        RuleError: Something is wrong.
    """
    return parse_rule({"on": on, "then": then, **fields})


def parse_rule(values: object, key: str = "") -> Rule:
    """A rule from plain data.

    Args:
        values: As TOML or JSON reads it; actions may be values of their own types.
        key: What the rule is called in errors.

    Raises:
        RuleError: Something is wrong.
    """
    table = _table(values, key, _KEYS)
    for needed in ("on", "then"):
        if needed not in table:
            raise RuleError(_join(key, needed), None, ", ".join(_KEYS), f"{needed} is missing")
    here = {name: _join(key, name) for name in _KEYS}
    plain = {name: value for name, value in table.items() if name not in ("where", "then", "on", "name")}
    if "times" in plain and plain["times"] is None:  # JSON's way to leave it out
        del plain["times"]
    rule = Rule(
        on=_on(table["on"], here["on"]),
        name=_name(table.get("name", ""), here["name"]),
        where=_where(table.get("where", {}), here["where"]),
        then=parse_actions(table["then"], here["then"]),
        **{name: _field(Rule, name, value, here[name]) for name, value in plain.items()},
    )
    if rule.per is not None and not rule.counted:
        allowed = "times, skip, every or chance beside it"
        raise RuleError(here["per"], rule.per, allowed, "per says what they are counted by, and there is none of them")
    return rule


def parse_actions(values: object, key: str = "then") -> tuple[Action, ...]:
    """The actions of `then`: a table, or a list of tables and actions.

    Raises:
        RuleError: Something is wrong.
    """
    actions = _action_list(values, key, _RULE_NAMES)
    answers = [action_name(action) for action in actions if ACTIONS[action_name(action)].answer]
    if len(answers) > 1:
        raise RuleError(key, values, "one of them", f"{' and '.join(answers)} are both the answer")
    _check_finals(actions, key, values)
    for kind, what in ((Persona, "persona"), (Tls, "tls")):
        if sum(isinstance(action, kind) for action in actions) > 1:
            raise RuleError(key, values, f"one {what}", f"{what} stands there more than once")
    return actions


def rule_fields(rule: Rule) -> dict[str, Any]:
    """The rule as plain data, as TOML and JSON have it; `parse_rule` makes the same rule of it."""
    fields: dict[str, Any] = {"on": rule.on}
    if rule.name:
        fields["name"] = rule.name
    if rule.where:
        fields["where"] = {
            name: patterns[0] if len(patterns) == 1 else list(patterns) for name, patterns in rule.where.items()
        }
    defaults = {"times": None, "skip": 0, "every": 1, "chance": 1.0, "per": None}
    fields.update({name: getattr(rule, name) for name, value in defaults.items() if getattr(rule, name) != value})
    tables = [action_fields(action) for action in rule.then]
    fields["then"] = tables[0] if len(tables) == 1 else tables
    return fields


def action_fields(action: Action) -> dict[str, Any]:
    """The action as a table of one key."""
    name = action_name(action)
    if isinstance(action, Script):
        return {name: [action_fields(step) for step in action.steps]}
    fields = msgspec.to_builtins(action)
    bare = ACTIONS[name].bare
    return {name: fields[bare] if bare and fields.keys() == {bare} else fields or True}


def print_rule(rule: Rule) -> str:
    """The rule as a line of JSON, for the store and for chance: the same rule always gives the same line."""
    return json.dumps(rule_fields(rule), separators=(",", ":"), ensure_ascii=True)


def _rules(values: Mapping[str, Any]) -> tuple[Rule, ...]:
    table = _table(values, "", ("rule",))
    found = table.get("rule", [])
    listed = found if isinstance(found, list) else [found]
    if len(listed) > MOST_RULES:
        raise RuleError("rule", len(listed), f"at most {MOST_RULES} rules", "too many rules")
    single = not isinstance(found, list)
    rules = tuple(parse_rule(one, "" if single else f"rule[{place}]") for place, one in enumerate(listed))
    names: dict[str, int] = {}
    for place, rule in enumerate(rules):
        if rule.name and names.setdefault(rule.name, place) != place:
            reason = f"rule[{names[rule.name]}] has this name already"
            raise RuleError(f"rule[{place}].name", rule.name, "a name that no other rule has", reason)
    return rules


def _on(value: object, key: str) -> str:
    allowed = 'room.verb, such as "*.connect"; * stands for any letters'
    if not isinstance(value, str):
        raise RuleError(key, value, allowed, "not text")
    text = "*.*" if value == "*" else value
    if not _ON.fullmatch(text):
        raise RuleError(key, value, allowed, "not of this form")
    return text


def _name(value: object, key: str) -> str:
    if not isinstance(value, str) or len(value) > NAME_LIMIT or not value.isprintable():
        raise RuleError(key, value, f"at most {NAME_LIMIT} printable characters", "no name")
    if value.isdecimal():  # a rule is asked for by its id or its name
        raise RuleError(key, value, _NO_ID_NO_MAGIC, "this may be mistaken for a rule's id")
    if value.startswith("+"):  # so the journal calls what did a magic address's fault
        raise RuleError(key, value, _NO_ID_NO_MAGIC, "this may be mistaken for a magic address's word")
    if value in (".", ".."):  # RFC 3986 §5.2.4: a client would ask for the path above, and delete it
        raise RuleError(key, value, "any other name", "a path can't end in this")
    return value


def _where(values: object, key: str) -> dict[str, tuple[Any, ...]]:
    if not isinstance(values, Mapping):
        raise RuleError(key, values, "a table of fields and patterns", "no table")
    return {name: _patterns(name, value, _join(key, str(name))) for name, value in values.items()}


def _patterns(name: object, value: object, key: str) -> tuple[Any, ...]:
    if not isinstance(name, str) or not _FIELD.fullmatch(name):
        raise RuleError(key, value, "a field's name in small letters", "no field's name")
    listed = value if isinstance(value, list | tuple) else [value]
    if not listed:
        raise RuleError(key, value, "at least one pattern", "an empty list matches nothing")
    for one in listed:
        if not isinstance(one, str | int | float):
            allowed = 'a glob, "/regex/", a number, "<5", true or false, or a list of them'
            raise RuleError(key, one, allowed, "no pattern")
        try:
            parse_pattern(one)
        except PatternError as error:
            allowed = 'a glob, "/regex/", a number or bounds such as ">=10 <20"'
            raise RuleError(key, one, allowed, str(error)) from None
        except OverflowError:
            raise RuleError(key, one, f"numbers up to {sys.float_info.max:g}", "this number is too big") from None
    return tuple(listed)


def _action_list(values: object, key: str, names: tuple[str, ...]) -> tuple[Action, ...]:
    if isinstance(values, list | tuple):
        found = [
            action
            for place, value in enumerate(values)
            for action in _action_list_of_one(value, f"{key}[{place}]", names)
        ]
    else:
        found = _action_list_of_one(values, key, names)
    if not found:
        raise RuleError(key, values, f"at least one of {', '.join(names)}", "nothing is to be done")
    return tuple(found)


def _action_list_of_one(value: object, key: str, names: tuple[str, ...]) -> list[Action]:
    if isinstance(value, Action):
        # Through plain data, so that what a constructor doesn't check is checked, and all ways give the same rule.
        value = action_fields(value)
    table = _table(value, key, names, IMPOSSIBLE)
    actions = [parse_action(name, inner, _join(key, name)) for name, inner in table.items()]
    return sorted(actions, key=_turn)


def _turn(action: Action) -> tuple[bool, bool]:
    """When an action's turn comes in a table, which has no order (some languages sort its keys): waits first, ends last."""
    return not isinstance(action, Delay), ACTIONS[action_name(action)].final


def parse_action(name: str, value: object, key: str) -> Action:
    """One action by its name and what stands behind it.

    Raises:
        RuleError: Something is wrong.
    """
    spec = ACTIONS[name]
    if spec.type is Script:
        return Script(_steps(value, key))
    if isinstance(value, Action):
        value = action_fields(value)[name] if isinstance(value, spec.type) else value
    if isinstance(value, Mapping):
        return _effective(_struct(spec, name, value, key), key, value)
    if value is True:
        needed = [field.encode_name for field in msgspec.structs.fields(spec.type) if field.required]
        if not needed:
            return spec.type()
        raise RuleError(key, value, _allowed(spec), f"{needed[0]} is missing")
    if spec.bare is None or value is None or value is False:
        reason = f"{name} is {'asked for by true' if spec.bare is None else f'to have its {spec.bare}'}"
        raise RuleError(key, value, _allowed(spec), f"{reason}; leave it out where it isn't wanted")
    if spec.bare == "reply" and isinstance(value, int):
        value = str(value)  # a status
    return _named(spec.type(**{spec.bare: _field(spec.type, spec.bare, value, key)}))


def _effective(action: Action, key: str, value: object) -> Action:
    """The action, unless it does nothing at all."""
    if isinstance(action, Corrupt) and not (action.octets or action.chance):
        raise RuleError(key, value, "octets of 1 or more, or a chance above 0", "nothing would be changed")
    return action


def _named(action: Action) -> Action:
    """A certificate's name may be written as its host name is, with hyphens."""
    return Tls(action.recipe.replace("-", "_")) if isinstance(action, Tls) else action


def _struct(spec: Spec, name: str, value: Mapping[str, Any], key: str) -> Action:
    known = tuple(field.encode_name for field in msgspec.structs.fields(spec.type))
    impossible = {inner: why for (action, inner), why in IMPOSSIBLE_FIELDS.items() if action == name}
    table = _table(value, key, known, impossible)
    for inner, asked in table.items():
        if isinstance(asked, str) and (name, inner, asked) in IMPOSSIBLE_VALUES:
            raise RuleError(_join(key, inner), asked, '"up" or "down"', IMPOSSIBLE_VALUES[name, inner, asked])
    for field in msgspec.structs.fields(spec.type):
        if field.required and field.encode_name not in table:
            raise RuleError(key, dict(value), _allowed(spec), f"{field.encode_name} is missing")
    return _named(
        spec.type(**{inner: _field(spec.type, inner, asked, _join(key, inner)) for inner, asked in table.items()})
    )


def _steps(value: object, key: str) -> tuple[Action, ...]:
    if isinstance(value, Script):
        value = value.steps
    if not isinstance(value, list | tuple) or len(value) > MOST_STEPS:
        raise RuleError(key, value, f"a list of at most {MOST_STEPS} steps", "no such list")
    steps = _action_list(value, key, _STEP_NAMES)
    _check_finals(steps, key, value)
    for place, step in enumerate(steps):
        if expected := getattr(step, "text", "") if action_name(step) == "expect" else "":
            try:
                parse_pattern(expected)
            except PatternError as error:
                raise RuleError(f"{key}[{place}].expect", expected, "a glob or /regex/", str(error)) from None
    return steps


def _check_finals(actions: tuple[Action, ...], key: str, value: object) -> None:
    for action in actions[:-1]:
        if ACTIONS[action_name(action)].final:
            raise RuleError(key, value, "it as the last one", f"nothing can follow {action_name(action)}")


def _table(values: object, key: str, known: Iterable[str], impossible: Mapping[str, str] = {}) -> dict[str, Any]:
    names = tuple(known)
    if not isinstance(values, Mapping):
        raise RuleError(key, values, f"a table with {', '.join(names)}", "no table")
    for name, value in values.items():
        if name in names:
            continue
        reason = impossible.get(name) or f"no such key{did_you_mean(str(name), names)}"
        raise RuleError(_join(key, str(name)), value, ", ".join(names) or "true", reason)
    return dict(values)


def _field(kind: type[msgspec.Struct], name: str, value: object, key: str) -> Any:  # noqa: ANN401 - the field's own type
    """A struct's field of plain data."""
    if name.endswith("_s") and not name.endswith("_per_s") and value is not None:
        try:
            value = parse_duration(value)
        except ValueError as error:
            raise RuleError(key, value, DURATIONS, str(error).replace("expected", "not")) from None
    try:
        return msgspec.convert(value, _TYPES[kind, name])
    except msgspec.ValidationError as error:
        found = _EXPECTED.match(str(error))
        allowed = found[1].replace("`", "") if found else "another value"
        closed = _CLOSED.get(name)
        reason = f"none of {closed}" if closed else _first_small(str(error))
        raise RuleError(key, value, closed or allowed, reason) from None


_STRUCTS: tuple[type[msgspec.Struct], ...] = (Rule, *(spec.type for spec in ACTIONS.values()))
_TYPES: dict[tuple[type[msgspec.Struct], str], Any] = {
    (kind, field.encode_name): field.type for kind in _STRUCTS for field in msgspec.structs.fields(kind)
}
_CLOSED = {"direction": '"up", "down" or "both"', "per": '"session", "peer" or "account"'}


def _allowed(spec: Spec) -> str:
    names = [field.encode_name for field in msgspec.structs.fields(spec.type)]
    if not names:
        return "true"
    bare = f"{spec.bare} alone, or " if spec.bare else ""
    return f"{bare}a table with {', '.join(names)}"


def _first_small(text: str) -> str:
    return text[:1].lower() + text[1:].partition(" - at ")[0].replace("`", "")


def _join(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name


__all__ = [
    "did_you_mean",
    "make_rule",
    "parse_action",
    "parse_actions",
    "parse_json",
    "parse_rule",
    "parse_toml",
    "print_rule",
    "rule_fields",
]
