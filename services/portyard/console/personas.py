"""Operations on personas: those that the rooms bring, and users' own, which every process of the testbed sees at its next connection."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from portyard.commons.card import Card
from portyard.commons.given_twice import twice_in_toml
from portyard.commons.hints import did_you_mean
from portyard.commons.scenario.personas import Persona, PersonaError, Wardrobe, from_toml
from portyard.commons.yard import Yard
from portyard.console import forms
from portyard.console.calls import JSON, Call, Route
from portyard.console.problems import ProblemError, explained, json_of, twice
from portyard.rooms import cards

TOML = "application/toml"
_TOMLS = frozenset({TOML, "text/toml", "application/x-toml", "text/x-toml"})


def names_by_room(yard: Yard) -> dict[str, list[str]]:
    """The personas' names by room, for rooms that have some."""
    wardrobe = Wardrobe(yard.state)
    return {card.name: wardrobe.names(card) for card in cards() if card.quirks}


async def list_personas(call: Call) -> list[forms.ListedPersona]:
    """Every persona that a rule may name: the rooms' own, then users' own."""
    wardrobe = Wardrobe(call.desk.yard.state)
    found = [persona for card in cards() for persona in wardrobe.every(card)]
    return [forms.ListedPersona(each.name, each.room, each.summary, each.builtin) for each in found]


async def get_persona(call: Call) -> forms.WholePersona:
    """One persona with all that it says; a room's own is a good start for one's own."""
    card = _card(call)
    return _shown(_found(call, card))


async def put_persona(call: Call) -> forms.WholePersona:
    """Bring a persona, or put another in its place: TOML, or the same as JSON; whole or not at all."""
    card = _card(call)
    try:
        values = _values(call.octets, call.media_type)
        return _shown(Wardrobe(call.desk.yard.state).put(card, call.path["persona"], values))
    except PersonaError as error:
        taken = error.key == "name" and "brings this one" in error.reason
        raise _refused(error, HTTPStatus.CONFLICT if taken else HTTPStatus.UNPROCESSABLE_ENTITY) from None


async def delete_persona(call: Call) -> None:
    """Take away a persona that somebody brought."""
    card = _card(call)
    persona = _found(call, card)
    try:
        Wardrobe(call.desk.yard.state).delete(card, persona.name)
    except PersonaError as error:
        raise _refused(error, HTTPStatus.CONFLICT) from None


def _card(call: Call) -> Card:
    name = call.path["room"]
    having = {card.name: card for card in cards() if card.quirks}
    if name not in having:
        detail = f"no room {name} that has personas{did_you_mean(name, having)}"
        raise ProblemError(HTTPStatus.NOT_FOUND, detail, key="room", value=name, allowed=sorted(having))
    return having[name]


def _found(call: Call, card: Card) -> Persona:
    try:
        return Wardrobe(call.desk.yard.state).find(card, call.path["persona"])
    except PersonaError as error:
        raise _refused(error, HTTPStatus.NOT_FOUND) from None


def _values(body: bytes, media_type: str) -> dict[str, Any]:
    try:
        if media_type in _TOMLS:
            return _something(from_toml(body.decode()))
        values = json_of(body, "a JSON object")
    except UnicodeDecodeError as error:
        raise ProblemError(HTTPStatus.BAD_REQUEST, f"not UTF-8: {error.reason}", key="body", allowed="UTF-8") from None
    except PersonaError as error:
        if found := twice_in_toml(body.decode()):
            raise twice(found) from None
        raise ProblemError(HTTPStatus.BAD_REQUEST, error.reason, key="body", allowed=error.allowed) from None
    if not isinstance(values, dict):
        raise ProblemError(
            HTTPStatus.BAD_REQUEST, "the body isn't a JSON object", key="body", allowed="a JSON object, or TOML"
        )
    return values


def _something(values: dict[str, Any]) -> dict[str, Any]:
    """What a TOML text says. One that says nothing is a file that somebody lost, and no wish: who wants one without keys names it.

    Raises:
        ProblemError: 400, nothing stands in it.
    """
    if not values:
        detail, allowed = "the body is empty", "TOML with a key at least, such as name or summary"
        raise ProblemError(HTTPStatus.BAD_REQUEST, detail, key="body", allowed=allowed)
    return values


def _shown(persona: Persona) -> forms.WholePersona:
    return forms.WholePersona(persona.name, persona.room, persona.summary, persona.builtin, dict(persona.keys))


def _refused(error: PersonaError, status: HTTPStatus) -> ProblemError:
    told = explained(error).problem
    return ProblemError(status, told.detail, key=told.key, value=told.value, allowed=told.allowed)


_ONE = "/personas/{room}/{persona}"
_READS = {JSON: {"type": "object"}, TOML: str}

ROUTES = (
    Route("GET", "/personas", list_personas, "Personas that a rule may name", list[forms.ListedPersona]),
    Route("GET", _ONE, get_persona, "One persona, all of it", forms.WholePersona),
    Route("PUT", _ONE, put_persona, "A persona of one's own", forms.WholePersona, reads=_READS, refusals=(409,)),
    Route("DELETE", _ONE, delete_persona, "Take one's own away", None, status=HTTPStatus.NO_CONTENT, refusals=(409,)),
)
