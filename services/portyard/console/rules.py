"""Operations on a sandbox's rules: every one is held against what the rooms declare before any of a request is set."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import cache
from http import HTTPStatus
from typing import Any

from portyard.commons.given_twice import twice_in_toml
from portyard.commons.leasing.keeper import leased_rooms
from portyard.commons.leasing.store import SqlLeases
from portyard.commons.sandbox.model import DEFAULT
from portyard.commons.scenario.actions import Persona
from portyard.commons.scenario.checking import check, check_persona, early, unheard
from portyard.commons.scenario.model import Rule, RuleError, StoredRule
from portyard.commons.scenario.parsing import parse_json, parse_toml, rule_fields
from portyard.commons.scenario.vocabulary import Vocabulary, by_room
from portyard.commons.tls.recipes import RECIPES
from portyard.commons.yard import Yard
from portyard.console import forms
from portyard.console.calls import JSON, Call, Route
from portyard.console.core.unseen import EARLY, published
from portyard.console.leases import leasable
from portyard.console.personas import names_by_room
from portyard.console.problems import ProblemError, json_of, twice
from portyard.rooms import cards

TOML = "application/toml"
_TOMLS = frozenset({TOML, "text/toml", "application/x-toml", "text/x-toml"})
RULE = "Rule"  # the schema of a rule as it is set: see `portyard.commons.scenario.schema`


@cache
def vocabularies() -> Mapping[str, Vocabulary]:
    """What the rooms declare that they honour."""
    return by_room(
        replace(card.vocabulary, ports=tuple(port.name for service in card.services for port in service.ports))
        for card in cards()
        if card.vocabulary is not None
    )


def checked(rule: Rule, sandbox: str, leased: Collection[str] = (), key: str = "") -> Rule:
    """A rule that some room can honour in the sandbox.

    Args:
        rule: It.
        sandbox: The sandbox.
        leased: The rooms of which it has a listener of its own.
        key: What the rule is called in errors ("rule[2]").

    Raises:
        RuleError: None can, and why.
    """
    places = check(rule, vocabularies(), recipes=RECIPES, key=key)
    if sandbox != DEFAULT and not any(room in leased or not _nameless(room, verb) for room, verb in places):
        where = f"{key}.on" if key else "on"
        reason = f"at {rule.verb} no sandbox has been named yet, and {sandbox} has no listener of its own"
        allowed = f"it after POST /api/v1/sandboxes/{sandbox}/leases, or in sandbox {DEFAULT}, or a later verb here"
        raise RuleError(where, rule.on, allowed, reason)
    return rule


def _nameless(room: str, verb: str) -> bool:
    return verb in EARLY or verb in vocabularies()[room].nameless


async def leased_by(yard: Yard, sandbox: str) -> frozenset[str]:
    """The rooms of which a sandbox has a listener of its own; of `default`, which needs none, nothing is asked."""
    if sandbox == DEFAULT:
        return frozenset()
    return leased_rooms(await SqlLeases(yard.control_database).of(sandbox), leasable())


async def add_rules(call: Call) -> Any:  # noqa: ANN401 - one rule or a list, as it was asked
    """Set one rule, a list of them, or a TOML text of `[[rule]]` tables; all or none."""
    sandbox = await call.desk.sandbox(call.path["sandbox"])
    rules, single = _parsed(call.octets, call.media_type)
    _check_personas(call, rules, single=single)
    leased = await leased_by(call.desk.yard, sandbox.name)
    for place, rule in enumerate(rules):
        checked(rule, sandbox.name, leased, "" if single else f"rule[{place}]")
    try:
        added = await call.desk.yard.rules.add(sandbox.name, *rules)
    except RuleError as error:
        raise _taken(error) from None
    found = [shown(stored, call.desk.yard, leased) for stored in added]
    return found[0] if single else found


async def list_rules(call: Call) -> list[forms.Rule]:
    """A sandbox's rules in their order, with their hits."""
    sandbox = await call.desk.sandbox(call.path["sandbox"])
    stored = await call.desk.yard.rules.list(sandbox.name)
    leased = await leased_by(call.desk.yard, sandbox.name)
    return [shown(each, call.desk.yard, leased) for each in stored]


async def get_rule(call: Call) -> forms.Rule:
    """One rule with its hits."""
    stored = await _one(call)
    return shown(stored, call.desk.yard, await leased_by(call.desk.yard, stored.sandbox))


async def replace_rule(call: Call) -> forms.Rule:
    """Put another rule in a rule's place; it counts anew."""
    stored = await _one(call)
    rules, single = _parsed(call.octets, call.media_type)
    _check_personas(call, rules, single=single)
    if not single and len(rules) != 1:
        detail = "one rule takes one rule's place"
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, detail, key="rule", value=len(rules), allowed="one rule")
    try:
        leased = await leased_by(call.desk.yard, stored.sandbox)
        rule = checked(rules[0], stored.sandbox, leased)
        replaced = await call.desk.yard.rules.replace(stored.sandbox, stored.id, rule)
    except RuleError as error:
        raise _taken(error) if error.key == "name" and "taken" in error.reason else error from None
    if replaced is None:
        raise _no_rule(call)
    return shown(replaced, call.desk.yard, leased)


async def delete_rule(call: Call) -> None:
    """Remove one rule."""
    stored = await _one(call)
    await call.desk.yard.rules.delete(stored.sandbox, stored.id)


async def delete_rules(call: Call) -> None:
    """Remove a sandbox's rules."""
    sandbox = await call.desk.sandbox(call.path["sandbox"])
    await call.desk.yard.rules.clear(sandbox.name)


def shown(stored: StoredRule, yard: Yard, leased: Collection[str]) -> forms.Rule:
    """A rule as the API shows it.

    Args:
        stored: It.
        yard: The testbed's.
        leased: See `checked`.
    """
    rule, fields = stored.rule, rule_fields(stored.rule)
    return forms.Rule(
        id=str(stored.id),
        name=rule.name,
        on=rule.on,
        where=fields.get("where", {}),
        times=rule.times,
        skip=rule.skip,
        every=rule.every,
        chance=rule.chance,
        per=rule.per,
        then=fields["then"],
        matched=stored.matched if rule.counted else max(stored.matched, stored.hits),
        hits=stored.hits,
        spent=stored.spent,
        last_session=stored.last_session,
        last_at=stored.last_at,
        warnings=[
            *_unheard(rule),
            *_too_early(stored, leased),
            *_undressed(rule, yard),
            *(published(rule) if yard.settings.engine_view == "docker" else []),
        ],
    )


def _unheard(rule: Rule) -> list[str]:
    roles = unheard(rule, vocabularies())
    return [f"per account: at {' and '.join(roles)} nobody logs in, so that it never fires there"] if roles else []


def _too_early(stored: StoredRule, leased: Collection[str]) -> list[str]:
    """A rule may mean what a client says before it names a sandbox."""
    found = [] if stored.sandbox == DEFAULT else sorted(set(early(stored.rule, vocabularies())) - set(leased))
    if not found:
        return []
    return [
        f"{stored.rule.on}: most clients have named no sandbox yet, so that this fires for those that have (by TLS SNI, or by what they "
        f"said before) and on listeners that {stored.sandbox} leases; it has none of {' and '.join(found)}"
    ]


def _undressed(rule: Rule, yard: Yard) -> list[str]:
    """A persona may be taken away while a rule names it."""
    if not any(isinstance(action, Persona) for action in rule.then):
        return []
    try:
        check_persona(rule, names_by_room(yard))
    except RuleError as error:
        return [f"{rule.room} has no persona {error.value} any more: its clients meet the room as it is"]
    return []


def _check_personas(call: Call, rules: tuple[Rule, ...], *, single: bool) -> None:
    for place, rule in enumerate(rules):
        if any(isinstance(action, Persona) for action in rule.then):
            check_persona(rule, names_by_room(call.desk.yard), "" if single else f"rule[{place}]")


def _parsed(body: bytes, media_type: str) -> tuple[tuple[Rule, ...], bool]:
    """The rules of a body, and whether it is one that stands alone."""
    try:
        if media_type in _TOMLS:
            return parse_toml(body.decode()), False
        values = json_of(body, "a rule, or a list of rules", "rule")
        rules = parse_json(body)
    except UnicodeDecodeError as error:
        raise ProblemError(HTTPStatus.BAD_REQUEST, f"not UTF-8: {error.reason}", key="body", allowed="UTF-8") from None
    except RuleError as error:
        if not error.key:
            if media_type in _TOMLS and (found := twice_in_toml(body.decode())):
                raise twice(found) from None
            detail = error.reason
            raise ProblemError(HTTPStatus.BAD_REQUEST, detail, key="body", allowed=error.allowed) from None
        raise
    return rules, isinstance(values, dict) and "rule" not in values


async def _one(call: Call) -> StoredRule:
    sandbox = await call.desk.sandbox(call.path["sandbox"])
    rules, wanted = call.desk.yard.rules, call.path["id"]
    stored: StoredRule | None = None
    if not wanted.isdecimal():  # a name is never a number
        stored = next((rule for rule in await rules.list(sandbox.name) if rule.rule.name == wanted), None)
    elif wanted.isascii() and len(wanted) <= 18:
        stored = await rules.get(sandbox.name, int(wanted))
    if stored is None:
        raise _no_rule(call)
    return stored


def _no_rule(call: Call) -> ProblemError:
    sandbox, number = call.path["sandbox"], call.path["id"]
    detail = f"no rule {number} in sandbox {sandbox}"
    return ProblemError(
        HTTPStatus.NOT_FOUND, detail, key="id", value=number, allowed="an id or a name that the list shows"
    )


def _taken(error: RuleError) -> ProblemError:
    return ProblemError(
        HTTPStatus.CONFLICT, f"{error.key}: {error.reason}", key=error.key, value=error.value, allowed=error.allowed
    )


_RULES = "/sandboxes/{sandbox}/rules"
_GONE = HTTPStatus.NO_CONTENT
_READS: Mapping[str, Any] = {JSON: RULE, TOML: str}

ROUTES = (
    Route("GET", _RULES, list_rules, "Rules in their order, with their hits", list[forms.Rule]),
    Route(
        "POST",
        _RULES,
        add_rules,
        "Set one rule, a list of rules, or TOML with [[rule]] tables",
        forms.Rule | list[forms.Rule],
        reads=_READS,
        status=HTTPStatus.CREATED,
        refusals=(409,),
    ),
    Route("DELETE", _RULES, delete_rules, "Remove every rule", None, status=_GONE),
    Route("GET", f"{_RULES}/{{id}}", get_rule, "One rule with its hits, by its id or name", forms.Rule),
    Route(
        "PUT", f"{_RULES}/{{id}}", replace_rule, "Another rule in its place", forms.Rule, reads=_READS, refusals=(409,)
    ),
    Route("DELETE", f"{_RULES}/{{id}}", delete_rule, "Remove a rule", None, status=_GONE),
)
