"""Personas at the core's height: what the listener does with a connection before anybody says a word."""

from __future__ import annotations

from portyard.commons.card import Card
from portyard.commons.scenario.engine import SessionGate
from portyard.commons.scenario.personas import Wardrobe
from portyard.commons.yard import Yard


async def dress(yard: Yard, gate: SessionGate, card: Card, role: str | None = None) -> None:
    """Have a session wear the persona that the settings or a rule on `connect` want."""
    verdict = await gate.ask("connect")
    wardrobe = Wardrobe(yard.state, yard.settings.personas)
    name = (verdict.persona if verdict is not None else None) or wardrobe.chosen(card.name, role or card.name)
    if name is not None:
        wardrobe.wear(gate, card, role or card.name, name)
