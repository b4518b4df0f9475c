"""What the rooms' quirks are made of: texts in a server's own words, and seats that a server counts. Pure, and names no protocol."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Annotated, Any
from weakref import WeakSet

from msgspec import Meta, Struct

from portyard.commons.hints import did_you_mean
from portyard.commons.scenario.templates import fill, names_in

Words = Annotated[
    str, Meta(pattern=r"^[ -~]{0,900}\Z", description="One line of printable ASCII; `$field` is filled in.")
]
"""A reply in a server's own words. Control characters would end the line, so that there are none."""
Seconds = Annotated[float, Meta(ge=0, le=86400)]
Count = Annotated[int, Meta(ge=1, le=1_000_000)]
FACTS = ("host", "peer", "session", "time")
"""What every text of a persona may tell of its connection."""


class QuirkError(ValueError):
    """What a persona says in one place doesn't go with the rest; raised by a shape, for what no type can tell.

    Attributes:
        key: Which of the shape's keys; in a table behind a dot, the rest is its key there.
        allowed: What may stand there.
    """

    def __init__(self, key: str, reason: str, allowed: str) -> None:
        super().__init__(reason)
        self.key = key
        self.allowed = allowed


def check_fields(key: str, text: str | None, fields: Collection[str]) -> None:
    """Refuse a text that asks for what nobody fills in.

    Args:
        key: Where it stands.
        text: It, or None for none.
        fields: What is filled in there besides FACTS.

    Raises:
        QuirkError: It has another `$field`.
    """
    if text is None or "$" not in text:
        return
    known = (*FACTS, *fields)
    for unknown in sorted(names_in(text) - set(known)):
        allowed = ", ".join(f"${name}" for name in known) + "; $$ is a dollar"
        raise QuirkError(key, f"nothing fills in ${unknown} here{did_you_mean(unknown, known)}", allowed)


def check_words(words: Struct, table: str, fields: Mapping[str, Collection[str]]) -> None:
    """The same for a table of texts, or of None.

    Args:
        words: The table.
        table: Its key.
        fields: What is filled in besides FACTS, by key; nothing where a key is missing.

    Raises:
        QuirkError: See `check_fields`.
    """
    for name in words.__struct_fields__:
        check_fields(f"{table}.{name}", getattr(words, name), fields.get(name, ()))


def worded(words: object, name: str, values: Mapping[str, Any], otherwise: str) -> str:
    """A reply in the persona's words where it has some for it, else in ours.

    Args:
        words: The persona's, a struct of `Words | None` by the reply's name.
        name: The reply's; empty for one that has none.
        values: What may be filled in.
        otherwise: Ours.
    """
    template = getattr(words, name, None) if name else None
    return otherwise if template is None else fill(template, values, line=True)


class Seats:
    """How many sessions each account has at once, in one service. A session that is simply forgotten frees its seat."""

    def __init__(self) -> None:
        self._taken: dict[object, WeakSet[object]] = {}

    def take(self, account: object, session: object, most: int | None) -> bool:
        """Sit down; False where so many sit already.

        Args:
            account: Whose seat.
            session: Who sits.
            most: Seats of one account; None for any number, which aren't counted.
        """
        if most is None:
            return True
        sitting = self._taken.setdefault(account, WeakSet())
        if len(sitting) >= most and session not in sitting:
            return False
        sitting.add(session)
        return True

    def leave(self, account: object, session: object) -> None:
        """Get up; whoever has no seat may, too."""
        sitting = self._taken.get(account)
        if sitting is not None:
            sitting.discard(session)
            if not sitting:
                del self._taken[account]
