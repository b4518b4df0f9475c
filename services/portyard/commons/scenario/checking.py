"""Holds a rule against what the rooms declare: what can't be honoured, or can't ever match, is refused with the reason. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping

from portyard.commons.hints import did_you_mean
from portyard.commons.sandbox.model import DEFAULT
from portyard.commons.scenario.actions import BYTES, Action, Persona, Respond, Script, Tls, action_name
from portyard.commons.scenario.expressions import glob
from portyard.commons.scenario.model import Rule, RuleError, Scalar
from portyard.commons.scenario.parsing import action_fields
from portyard.commons.scenario.patterns import (
    Flag,
    Glob,
    Pattern,
    Range,
    Shape,
    as_number,
    is_ambiguous_path,
    parse_pattern,
)
from portyard.commons.scenario.templates import names_in, texts_of
from portyard.commons.scenario.vocabulary import COMMON, NOBODY_YET, Field, FieldKind, Form, Vocabulary

BODY_LIMIT = 1 << 20  # characters of a stub's body: what a request to set it may have
_FIELD_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")

Place = tuple[str, str]  # a room and a verb


def check(
    rule: Rule,
    vocabularies: Mapping[str, Vocabulary],
    *,
    recipes: Iterable[str] | None = None,
    key: str = "",
) -> frozenset[Place]:
    """The rooms and verbs at which the rule can fire.

    Args:
        rule: It.
        vocabularies: What the rooms declare, by room.
        recipes: The certificates' names; None to take any.
        key: What the rule is called in errors ("rule[2]").

    Raises:
        RuleError: There is none: an unknown room or verb, a field that the event doesn't have, an action that can't be honoured, a
            pattern that can't match.
    """
    places = _places(rule, vocabularies, key)
    found: set[Place] = set()
    first: RuleError | None = None
    for room, verb in places:
        try:
            _check_at(rule, vocabularies[room], verb, key)
        except RuleError as error:
            first = first or error
        else:
            found.add((room, verb))
    if not found and first is not None:
        raise first
    _check_recipes(rule, recipes, key)
    if rule.per == "account" and not any(_has_accounts(rule, vocabularies[room], verb) for room, verb in found):
        where = f"{key}.per" if key else "per"
        raise RuleError(
            where, rule.per, "session or peer", f"at {rule.on} nobody has logged in, so that it would never fire"
        )
    _check_account(rule, vocabularies, found, key)
    return frozenset(found)


def _check_account(rule: Rule, vocabularies: Mapping[str, Vocabulary], found: Iterable[Place], key: str) -> None:
    """Refuse to look for somebody where nobody logs in."""
    patterns = rule.where.get("account", ())
    if not patterns or any(parse_pattern(written).matches("") for written in patterns):
        return
    if not any(_has_accounts(rule, vocabularies[room], verb) for room, verb in found):
        where = f"{key}.where.account" if key else "where.account"
        reason = f"this can't match: at {rule.on} nobody has logged in"
        claimed = any("login" in vocabularies[room].verbs[verb].fields for room, verb in found)
        allowed = "verbs and roles at which somebody has, or /^$/ for nobody"
        allowed = f"login, for who claims to be somebody; {allowed}" if claimed else allowed
        raise RuleError(where, _shown(patterns), allowed, reason)


def _has_accounts(rule: Rule, vocabulary: Vocabulary, verb: str) -> bool:
    """Whether somebody may have logged in where the rule is asked."""
    if verb in NOBODY_YET or verb in vocabulary.before_login:
        return False
    roles = [role for role in vocabulary.roles or (vocabulary.room,) if role not in vocabulary.anonymous]
    patterns = [parse_pattern(written) for written in rule.where.get("role", ("*",))]
    return any(pattern.matches(role) for role in roles for pattern in patterns)


def unheard(rule: Rule, vocabularies: Mapping[str, Vocabulary]) -> list[str]:
    """The services at which a rule that counts by account never fires, because nobody logs in there, though it fires at others."""
    if rule.per != "account":
        return []
    patterns = [parse_pattern(written) for written in rule.where.get("role", ("*",))]
    rooms = [room for room, _ in _honoured(rule, vocabularies)]
    roles = [role for room in rooms for role in room.roles or (room.room,) if role in room.anonymous]
    return [role for role in dict.fromkeys(roles) if any(pattern.matches(role) for pattern in patterns)]


def early(rule: Rule, vocabularies: Mapping[str, Vocabulary]) -> list[str]:
    """The rooms in which a rule means one verb, and most clients have named no sandbox before that."""
    if rule.verb != "tls" and not any(rule.verb in room.early for room in vocabularies.values()):
        return []  # with a star it means later ones, too
    roles = [parse_pattern(written) for written in rule.where.get("role", ("*",))]
    return [
        room.room
        for room, verb in _honoured(rule, vocabularies)
        if any(role.matches(one) for one in _early_roles(room, verb, rule) for role in roles)
    ]


def _early_roles(room: Vocabulary, verb: str, rule: Rule) -> Iterable[str]:
    """The roles at which a verb comes too early for most clients; a handshake does where the rule wants nothing that would tell."""
    if verb != "tls":
        return room.early.get(verb, ())
    return () if rule.where.keys() - COMMON.keys() else room.roles or (room.room,)


def _honoured(rule: Rule, vocabularies: Mapping[str, Vocabulary]) -> list[tuple[Vocabulary, str]]:
    """Where a rule may fire, as `check` knows it."""
    return [
        (vocabularies[room], verb)
        for room, verb in _places(rule, vocabularies, "")
        if honours(rule, vocabularies[room], verb)
    ]


def honours(rule: Rule, vocabulary: Vocabulary | None, verb: str) -> bool:
    """Whether a rule, checked once, may fire at a verb: what `*` covers must still be able to obey."""
    if vocabulary is None or verb not in vocabulary.verbs:
        return "*" not in rule.on
    try:
        _check_at(rule, vocabulary, verb, "")
    except RuleError:
        return False
    return True


def covers(pattern: str, name: str) -> bool:
    """Whether a part of `on` means a room or a verb."""
    return pattern == name if "*" not in pattern else glob(pattern, one="")(name)


def _places(rule: Rule, vocabularies: Mapping[str, Vocabulary], key: str) -> list[Place]:
    where = f"{key}.on" if key else "on"
    rooms = [room for room in vocabularies if covers(rule.room, room)]
    if not rooms:
        raise RuleError(
            where, rule.on, ", ".join(vocabularies), f"no room {rule.room}{did_you_mean(rule.room, vocabularies)}"
        )
    verbs = {verb for room in rooms for verb in vocabularies[room].verbs}
    places = [(room, verb) for room in rooms for verb in vocabularies[room].verbs if covers(rule.verb, verb)]
    if not places:
        reason = f"{rule.room} has no verb {rule.verb}{did_you_mean(rule.verb, verbs)}"
        raise RuleError(where, rule.on, ", ".join(sorted(verbs)), reason)
    return places


def _check_at(rule: Rule, vocabulary: Vocabulary, verb: str, key: str) -> None:
    fields = vocabulary.fields_of(verb)
    at = f"{key}." if key else ""
    place = f"{vocabulary.room}.{verb}"
    for name, patterns in rule.where.items():
        if name not in fields:
            reason = f"{place} has no field {name}{did_you_mean(name, fields)}"
            raise RuleError(f"{at}where.{name}", _shown(patterns), ", ".join(fields), reason)
        for written in patterns:
            _check_pattern(written, fields[name], f"{at}where.{name}", place)
    for action in rule.then:
        _check_action(action, vocabulary, verb, fields, f"{at}then")


def _check_action(action: Action, vocabulary: Vocabulary, verb: str, fields: Mapping[str, Field], key: str) -> None:
    name, place = action_name(action), f"{vocabulary.room}.{verb}"
    declared = vocabulary.verbs[verb]
    if name not in declared.actions:
        why = declared.why_not.get(name) or _why_not(name, vocabulary, place)
        raise RuleError(f"{key}.{name}", _plain(action), ", ".join(sorted(declared.actions)) or "nothing", why)
    for text in texts_of(action):
        for unknown in sorted(names_in(text) - fields.keys()):
            allowed = ", ".join(f"${field}" for field in fields) + "; $$ is a dollar"
            raise RuleError(
                f"{key}.{name}", text, allowed, f"{place} has no field {unknown}{did_you_mean(unknown, fields)}"
            )
    if isinstance(action, Script):
        for number, step in enumerate(action.steps):
            _check_step(step, vocabulary, verb, f"{key}.script[{number}]")
        return
    _check_form(action, declared.forms.get(name), place, key)
    _check_parts(action, vocabulary, place, key)


def _check_step(step: Action, vocabulary: Vocabulary, verb: str, key: str) -> None:
    name, place = action_name(step), f"{vocabulary.room}.{verb}"
    declared = vocabulary.verbs[verb]
    if name not in declared.script_steps:
        reasons = (declared.why_not.get(word) for word in (f"script.{name}", name))
        why = next(filter(None, reasons), f"a script can't take this step at {place}")
        raise RuleError(f"{key}.{name}", _plain(step), ", ".join(sorted(declared.script_steps)), why)
    _check_form(step, declared.forms.get(f"script.{name}", declared.forms.get(name)), place, key)
    _check_parts(step, vocabulary, place, key)


def _check_parts(action: Action, vocabulary: Vocabulary, place: str, key: str) -> None:
    if isinstance(action, Respond):
        asked = {
            part
            for part, given in (
                ("status", action.status is not None),
                ("headers", bool(action.headers)),
                ("body", bool(action.body)),
                ("stderr", bool(action.stderr)),
            )
            if given
        }
        for part in sorted(asked - vocabulary.respond):
            allowed = ", ".join(sorted(vocabulary.respond))
            raise RuleError(f"{key}.respond.{part}", getattr(action, part), allowed, f"{place} knows no such part")
        _check_respond(action, vocabulary, place, f"{key}.respond")


def _check_respond(action: Respond, vocabulary: Vocabulary, place: str, key: str) -> None:
    low, high = vocabulary.statuses
    if action.status is not None and not low <= action.status <= high:
        raise RuleError(f"{key}.status", action.status, f"from {low} to {high}", f"{place} can't say this")
    for name, value in action.headers.items():
        if not _FIELD_NAME.fullmatch(name):
            raise RuleError(f"{key}.headers", name, "letters, digits and !#$%&'*+-.^_`|~", "no name of a field")
        if _CONTROL.search(value):
            raise RuleError(f"{key}.headers.{name}", value, "a line without control characters", "no field's value")
    for part in ("body", "stderr"):
        if len(getattr(action, part)) > BODY_LIMIT:
            reason = f"{len(getattr(action, part))} characters are too many"
            raise RuleError(f"{key}.{part}", f"{getattr(action, part)[:80]}…", f"at most {BODY_LIMIT}", reason)


def _why_not(name: str, vocabulary: Vocabulary, place: str) -> str:
    if name != "persona":
        return f"{place} can't honour {name}"
    if any(name in verb.actions for verb in vocabulary.verbs.values()):
        return "a session is one kind of server from its beginning: ask for it on connect"
    return f"{vocabulary.room} has no personas"


def _check_form(action: Action, form: Form | None, place: str, key: str) -> None:
    name, text = action_name(action), getattr(action, "reply", None)
    if form is not None and text is not None and not re.fullmatch(form.pattern, text):
        raise RuleError(f"{key}.{name}", text, form.allowed, f"{place} can't say this")


def _check_pattern(written: Scalar, field: Field, key: str, place: str) -> None:
    pattern = parse_pattern(written)
    match field.kind:
        case FieldKind.FLAG:
            if not isinstance(pattern, Flag):
                raise RuleError(key, written, "true or false", "this field is a flag")
        case FieldKind.NUMBER:
            _check_number(written, pattern, field, key)
        case _:
            _check_text(written, pattern, field, key, place)


def _check_number(written: Scalar, pattern: Pattern, field: Field, key: str) -> None:
    number = as_number(written) if isinstance(written, str) else None
    found = number or pattern
    if isinstance(found, Glob) and found.shape is Shape.ANY:
        return
    if not isinstance(found, Range):
        raise RuleError(key, written, 'a number, or bounds such as "<5" and ">=10 <20"', "this field is a number")
    low, high = max(field.low, _whole(found)[0]), min(math.inf if field.high is None else field.high, _whole(found)[1])
    if low > high:
        allowed = f"whole numbers from {field.low:g}" + (f" to {field.high:g}" if field.high is not None else " on")
        raise RuleError(key, written, allowed, "no value lies there")


def _whole(bounds: Range) -> tuple[float, float]:
    """The least and the greatest whole number between bounds; what rooms count is never between two."""
    low, high = bounds.low, bounds.high
    if math.isfinite(low):
        low = math.floor(low) + 1 if not bounds.low_in else math.ceil(low)
    if math.isfinite(high):
        high = math.ceil(high) - 1 if not bounds.high_in else math.floor(high)
    return low, high


def _check_text(written: Scalar, pattern: Pattern, field: Field, key: str, place: str) -> None:
    if not isinstance(pattern, Glob) and isinstance(pattern, Range | Flag):
        raise RuleError(key, written, "a glob or /regex/", "this field is text")
    if field.kind is FieldKind.PATH and isinstance(written, str) and is_ambiguous_path(written):
        alone = written.replace("/", r"\/")
        allowed = f"/^{alone}$/ for this path alone, {written}* for all below, or another expression"
        raise RuleError(key, written, allowed, "a path, or an expression between slashes?")
    if field.kind is FieldKind.PATH and isinstance(pattern, Glob) and pattern.text[0] not in "/*?":
        reason = f"this can't match: a path of {place} begins with /"
        raise RuleError(key, written, f"/{pattern.text}, or */{pattern.text} in any folder", reason)
    if (field.values or field.form) and not _is_value(pattern, field):
        near = did_you_mean(str(written), field.values)
        allowed = ", ".join([*field.values, *([field.form.allowed] if field.form else [])])
        raise RuleError(key, written, allowed, f"no value of {place} matches{near}")
    exact = isinstance(pattern, Glob) and pattern.shape is Shape.EXACT
    if exact and field.holds.lower() not in pattern.anchor and pattern.anchor not in field.besides:
        reason = f"this can't match: every value holds {field.holds!r}"
        raise RuleError(key, written, f'text with {field.holds!r}, or a glob such as "{written}{field.holds}*"', reason)


def _is_value(pattern: Pattern, field: Field) -> bool:
    """Whether some value can match. Of values that aren't listed a regular expression is believed."""
    if any(pattern.matches(value) for value in field.values):
        return True
    if field.form is None:
        return False
    return not isinstance(pattern, Glob) or re.fullmatch(field.form.pattern, pattern.text) is not None


def check_persona(rule: Rule, names: Mapping[str, Collection[str]], key: str = "") -> None:
    """Hold the persona that a rule names against those that there are.

    Args:
        rule: It.
        names: The personas' names, by room; a room that has none may be missing.
        key: See `check`.

    Raises:
        RuleError: No room that the rule means has a persona of this name.
    """
    rooms = [room for room, known in names.items() if known and covers(rule.room, room)]
    for action in rule.then:
        if isinstance(action, Persona) and rooms and not any(action.name in names[room] for room in rooms):
            known = sorted({name for room in rooms for name in names[room]})
            others = sorted(room for room in names if action.name in names[room])
            reason = f"{rule.room} has no persona of this name"
            reason += f": it is one of {', '.join(others)}" if others else did_you_mean(action.name, known)
            where = f"{key}.then" if key else "then"
            raise RuleError(f"{where}.persona", action.name, ", ".join(known), reason)


def _check_recipes(rule: Rule, recipes: Iterable[str] | None, key: str) -> None:
    for action in rule.then:
        if isinstance(action, Tls) and recipes is not None and action.recipe not in (names := sorted(recipes)):
            where = f"{key}.then" if key else "then"
            reason = f"no tls of this name{did_you_mean(action.recipe, names)}"
            raise RuleError(f"{where}.tls", action.recipe, ", ".join(names) or "none", reason)


def asks_for_bytes(rule: Rule) -> bool:
    """Whether the wire has to be ready for it."""
    steps = (step for action in rule.then if isinstance(action, Script) for step in action.steps)
    return any(action_name(action) in BYTES for action in (*rule.then, *steps))


def carries(rule: Rule, sandbox: str) -> str:
    """The rooms whose shared listeners have to be ready for a rule, as its `on` names them; "" where none has.

    `connect` comes before any sandbox is named: such a rule of another than `default` is meant by that sandbox's own listeners alone.
    """
    return rule.room if asks_for_bytes(rule) and (sandbox == DEFAULT or rule.verb != "connect") else ""


def _shown(patterns: tuple[Scalar, ...]) -> object:
    return patterns[0] if len(patterns) == 1 else list(patterns)


def _plain(action: Action) -> object:
    """What stands behind an action's name."""
    return action_fields(action)[action_name(action)]
