"""When a rule that matched fires: skip, every, chance and times, decided by counts alone. Pure, so that every process decides alike."""

from __future__ import annotations

import hashlib

from portyard.commons.scenario.model import Rule

_WHOLE = 1 << 64


def due(rule: Rule, matched: int, draw: float) -> bool:
    """Whether a match is one at which the rule fires, `times` aside.

    Args:
        rule: It.
        matched: How many matches there were by now, this one counted.
        draw: Chance's word for this match, in [0, 1).
    """
    beyond = matched - rule.skip
    return beyond > 0 and beyond % rule.every == 0 and draw < rule.chance


def chance(seed: int, rule: str, ordinal: int, count: int) -> float:
    """A number in [0, 1) that depends on nothing but these, so that other rules and their order don't change it.

    Args:
        seed: The testbed's.
        rule: What the rule says, or its name.
        ordinal: Which of the rule's scopes it is (the first session, the second …); 0 for a rule without.
        count: Which match.
    """
    text = f"{seed}\0{rule}\0{ordinal}\0{count}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") / _WHOLE
