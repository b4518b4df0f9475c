"""What a rule asks for and published ports don't carry, so that nobody looks for it in vain.

The same data makes the tables of docs/faults.md, and tells the tests in containers what to look for from which side.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from portyard.commons.scenario.actions import Action, Script, action_name
from portyard.commons.scenario.model import Rule

EARLY = frozenset({"connect", "greeting"})
"""The verbs at which no sandbox has been named yet."""

RESET = (
    "published ports carry this RST as an ordinary close (FIN): only a client inside the network sees the reset; "
    "hang_up or cut_after look the same from the host"
)
PEER = "published ports hide the peer: every client on the host has the gateway's address; only clients inside the network have their own"

HIDDEN: Mapping[str, str] = MappingProxyType({"reset": RESET})
"""The actions that published ports don't carry as they are, and what becomes of them; all others arrive."""


def published(rule: Rule) -> list[str]:
    """The warnings for an engine whose clients come by published ports."""
    asked = {action_name(action) for action in _all(rule.then)}
    found = [warning for name, warning in HIDDEN.items() if name in asked]
    if "peer" in rule.where or rule.per == "peer":
        found.append(PEER)
    return found


def _all(actions: Iterable[Action]) -> Iterable[Action]:
    for action in actions:
        yield action
        if isinstance(action, Script):
            yield from _all(action.steps)
