"""Personas: named kinds of server, each a table that is held against the shape which its room declares.

A room's own lie in its folder `personas`, one TOML file each; what users bring lies in the state directory, where every process of the
testbed reads it when a connection comes. A persona that is malformed is refused whole, naming key, value and what is allowed.

Besides `name` and `summary` a persona has the keys of its room's `core/quirks.py`. Where a room has several roles, a table named after
one of them says what is otherwise in that role.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import re
import secrets
import sys
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from portyard.commons.card import Card
from portyard.commons.hints import did_you_mean
from portyard.commons.scenario.engine import SessionGate
from portyard.commons.scenario.shaping import PersonaError as PersonaError
from portyard.commons.scenario.shaping import converted

FOLDER = "personas"
MOST = 1000  # of a room that users may bring
_NAME = re.compile(r"[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?", re.ASCII)
_NAMES = "1 to 63 small letters, digits, dots, hyphens and underscores, a letter or digit first and last"

Q = TypeVar("Q", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class Persona:
    """A named kind of server.

    Attributes:
        room: Whose.
        name: Its name, unique in the room.
        summary: One line for tables.
        builtin: Whether the room brings it.
        keys: All that it says, as it was written.
        quirks: What that means, by role.
    """

    room: str
    name: str
    summary: str
    builtin: bool
    keys: Mapping[str, Any]
    quirks: Mapping[str, msgspec.Struct]


def worn(gate: SessionGate | None, shape: type[Q]) -> Q:
    """The quirks that a session has: its persona's, or the shape's defaults, all off.

    Args:
        gate: The session's gate, or None.
        shape: The room's `Quirks`.
    """
    quirks = gate.persona if gate is not None else None
    return quirks if isinstance(quirks, shape) else shape()


def facts(host: str, peer: str, session: str, now: datetime) -> dict[str, str]:
    """What a persona's texts may tell of a connection: `$host`, `$peer`, `$session` and `$time` as mail writes it (RFC 5322 §3.3)."""
    return {"host": host, "peer": peer, "session": session, "time": format_datetime(now)}


def make(card: Card, name: str, values: Mapping[str, Any], *, builtin: bool = False) -> Persona:
    """A persona of what was written.

    Args:
        card: Its room's.
        name: Its name.
        values: What was written; a `name` in it must be the same.
        builtin: See Persona.

    Raises:
        PersonaError: Something is wrong.
    """
    shape = shape_of(card)
    if not _NAME.fullmatch(name):
        raise PersonaError("name", name, _NAMES, "this can't be a persona's name")
    if values.get("name", name) != name:
        raise PersonaError("name", values["name"], name, "the persona is called otherwise")
    summary = values.get("summary", "")
    if not isinstance(summary, str) or len(summary) > 200 or not summary.isprintable():
        raise PersonaError("summary", summary, "one line of at most 200 characters", "this is no summary")
    roles = _roles(card)
    common = {key: value for key, value in values.items() if key not in ("name", "summary", *roles)}
    _check(common, shape, "", (*_keys(shape), "name", "summary", *roles))
    quirks = {}
    for role in (*roles, card.name):
        own = values.get(role, {}) if role in roles else {}
        if not isinstance(own, dict):
            raise PersonaError(role, own, "a table", "this says what is otherwise in one role")
        _check(own, shape, role, _keys(shape))
        quirks[role] = converted(_merged(common, own), shape, role if own else "")
    return Persona(card.name, name, summary, builtin, dict(values), quirks)


def shape_of(card: Card) -> type[msgspec.Struct]:
    """What a room's personas may say.

    Raises:
        PersonaError: The room has none.
    """
    if not card.quirks:
        raise PersonaError("room", card.name, "a room that has personas", f"{card.name} has no personas")
    return _shape(card.quirks)


def from_toml(text: str) -> dict[str, Any]:
    """What a TOML text says.

    Raises:
        PersonaError: It isn't TOML.
    """
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # Python won't read a number of thousands of digits
        raise PersonaError("", None, "TOML", f"not TOML: {error}") from None


class Wardrobe:
    """The personas of one testbed.

    Args:
        state: The state directory.
        chosen: Which one whole rooms or services have without a rule, by the name of either.
    """

    def __init__(self, state: Path, chosen: Mapping[str, str] | None = None) -> None:
        self._folder = state / FOLDER
        self._chosen = dict(chosen or {})
        self._read: dict[Path, tuple[tuple[int, int, int], Persona]] = {}

    def chosen(self, room: str, service: str) -> str | None:
        """The persona that a service has without a rule, or None."""
        return self._chosen.get(service, self._chosen.get(room)) if self._chosen else None

    def find(self, card: Card, name: str) -> Persona:
        """A room's persona.

        Raises:
            PersonaError: There is none of this name, or what stands in the state directory is malformed.
        """
        shape_of(card)
        for persona in builtins(card):
            if persona.name == name:
                return persona
        found = self._user(card, name) if _NAME.fullmatch(name) else None
        if found is None:
            names = self.names(card)
            reason = f"{card.name} has no persona of this name{did_you_mean(name, names)}"
            raise PersonaError("persona", name, ", ".join(names) or "none", reason)
        return found

    def names(self, card: Card) -> list[str]:
        """The names of a room's personas, its own first; none for a room that has no personas."""
        if not card.quirks:
            return []
        return [persona.name for persona in builtins(card)] + self._users_names(card)

    def every(self, card: Card) -> list[Persona]:
        """A room's personas, its own first; what is malformed in the state directory is left out."""
        found = list(builtins(card)) if card.quirks else []
        for name in self._users_names(card) if card.quirks else ():
            with contextlib.suppress(PersonaError):
                found += filter(None, [self._user(card, name)])
        return found

    def put(self, card: Card, name: str, values: Mapping[str, Any]) -> Persona:
        """Keep a user's persona, whole or not at all; sessions that begin from now on see it, in every process.

        Raises:
            PersonaError: It is malformed, or one that the room brings has this name; what was kept before still is.
        """
        persona = make(card, name, values)
        self._not_builtin(card, name)
        if name not in (kept := self._users_names(card)) and len(kept) >= MOST:
            raise PersonaError("name", name, f"at most {MOST} personas", "too many personas")
        path = self._path(card, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{name}-{secrets.token_hex(8)}")
        try:
            draft.write_text(json.dumps(persona.keys))
            os.replace(draft, path)  # another process reads the old one or the new one, never half of it
        finally:
            draft.unlink(missing_ok=True)
        return persona

    def delete(self, card: Card, name: str) -> None:
        """Take a user's persona away; sessions that have it keep it.

        Raises:
            PersonaError: The room brings it, or there is none.
        """
        self._not_builtin(card, name)
        self.find(card, name)
        self._path(card, name).unlink(missing_ok=True)

    def wear(self, gate: SessionGate, card: Card, role: str, name: str) -> None:
        """Have a session be another kind of server.

        Raises:
            PersonaError: There is no such one any more.
        """
        persona = self.find(card, name)
        gate.persona = persona.quirks.get(role, persona.quirks[card.name])

    def check_chosen(self, cards: Iterable[Card]) -> None:
        """Hold the settings' choice against what there is.

        Raises:
            PersonaError: A room or service isn't known or has no personas, or a persona isn't there.
        """
        places = {name: card for card in cards for name in (card.name, *(each.name for each in card.services))}
        for place, name in self._chosen.items():
            if place not in places:
                allowed = ", ".join(sorted(key for key, card in places.items() if card.quirks))
                reason = f"no room or service {place}{did_you_mean(place, places)}"
                raise PersonaError(f"personas.{place}", name, allowed, reason)
            try:
                self.find(places[place], name)
            except PersonaError as error:
                raise PersonaError(f"personas.{place}", name, error.allowed, error.reason) from None

    def _not_builtin(self, card: Card, name: str) -> None:
        if any(persona.name == name for persona in builtins(card)):
            reason = f"{card.name} brings this one, and it can't be changed"
            raise PersonaError("name", name, "a name of your own", reason)

    def _path(self, card: Card, name: str) -> Path:
        return self._folder / card.name / f"{name}.json"

    def _users_names(self, card: Card) -> list[str]:
        return sorted(path.stem for path in (self._folder / card.name).glob("*.json") if not path.name.startswith("."))

    def _user(self, card: Card, name: str) -> Persona | None:
        path = self._path(card, name)
        try:
            found = path.stat()
            mark = (found.st_mtime_ns, found.st_ino, found.st_size)
            known = self._read.get(path)
            if known is None or known[0] != mark:
                known = self._read[path] = mark, make(card, name, json.loads(path.read_text()))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            if isinstance(error, PersonaError):
                raise
            raise PersonaError("persona", name, "a readable file", f"{path}: {error}") from None
        return known[1]


_builtins: dict[tuple[str, str], tuple[Persona, ...]] = {}


def builtins(card: Card) -> tuple[Persona, ...]:
    """The personas that a room brings, by name; read once.

    Raises:
        PersonaError: One is malformed; the key names the file.
    """
    key = card.name, card.quirks
    if key not in _builtins:
        source = sys.modules[shape_of(card).__module__].__file__
        assert source is not None
        files = sorted((Path(source).parents[1] / FOLDER).glob("*.toml"))
        _builtins[key] = tuple(_from_file(card, path) for path in files)
    return _builtins[key]


def _from_file(card: Card, path: Path) -> Persona:
    try:
        return make(card, path.stem, from_toml(path.read_text()), builtin=True)
    except PersonaError as error:
        raise PersonaError(f"{path.name}: {error.key}", error.value, error.allowed, error.reason) from None


@cache
def _shape(where: str) -> type[msgspec.Struct]:
    module, _, name = where.partition(":")
    shape: type[msgspec.Struct] = getattr(importlib.import_module(module), name)
    return shape


def _roles(card: Card) -> tuple[str, ...]:
    roles = tuple(dict.fromkeys(service.role for service in card.services))
    return roles if len(roles) > 1 else ()


def _keys(shape: type[msgspec.Struct]) -> tuple[str, ...]:
    return tuple(field.encode_name for field in msgspec.structs.fields(shape))


def _check(values: Mapping[str, Any], shape: type[msgspec.Struct], at: str, known: tuple[str, ...]) -> None:
    """Refuse a key that isn't known, in tables within as well: with the near miss, which msgspec doesn't tell."""
    types = {field.encode_name: field.type for field in msgspec.structs.fields(shape)}
    for key, value in values.items():
        where = f"{at}.{key}" if at else key
        if key not in types:
            inner = {
                name: f"{outer}.{name}" for outer, kind in types.items() if _is_shape(kind) for name in _keys(kind)
            }
            hint = did_you_mean(key, known)
            if not hint and (near := did_you_mean(key, inner)):
                hint = near.replace(name := near.split()[-1].rstrip("?"), inner[name])
            raise PersonaError(where, value, ", ".join(known), f"no such key{hint}")
        kind = types[key]
        if _is_shape(kind) and isinstance(value, dict):
            _check(value, kind, where, _keys(kind))


def _is_shape(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        before = merged.get(key)
        merged[key] = _merged(before, value) if isinstance(before, dict) and isinstance(value, dict) else value
    return merged
