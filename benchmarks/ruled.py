"""A rule book whose rules are all there or none, from one event to the next, as if they had been set or removed just then.

To set a thousand rules, and to make their index, takes longer than a slice of work does: so they are set once, by the API as always, and
the book is opened or shut. One that is shut is like one without a rule anywhere: its number is another, and it has nothing to load.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from portyard.commons.scenario import engine
from portyard.commons.scenario.engine import Gate, RuleBook
from portyard.commons.scenario.index import RuleSet
from portyard.commons.scenario.model import StoredRule

_MANY = 100  # rules whose index is made once


class SwitchedBook:
    """Implements `engine.RuleBook` over another.

    Args:
        real: Where the rules are.

    Attributes:
        generation: See RuleBook; read as fast as the real one's.
    """

    def __init__(self, real: RuleBook) -> None:
        self._real = real
        self._cells = memoryview(array("q", [0]))
        self._open = True
        self.generation: Callable[[], int] = partial(self._cells.__getitem__, 0)
        self._loaded: dict[str, tuple[int, tuple[StoredRule, ...]]] = {}
        self.turn(opened=True)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - what counts and claims is the real one's
        return getattr(self._real, name)

    def turn(self, *, opened: bool) -> None:
        """Open the book, with all that is in it now, or shut it."""
        self._open = opened
        self._cells[0] = self._real.generation() * 2 + opened

    async def anything(self) -> bool:
        """See RuleBook."""
        return self._open and await self._real.anything()

    async def state(self, sandbox: str) -> tuple[int, bool]:
        """See RuleBook."""
        return await self._real.state(sandbox) if self._open else (-1, False)

    async def load(self, sandbox: str) -> tuple[StoredRule, ...]:
        """See RuleBook."""
        if not self._open:
            return ()
        version, _ = await self._real.state(sandbox)
        known = self._loaded.get(sandbox)
        if known is None or known[0] != version:
            known = self._loaded[sandbox] = version, await self._real.load(sandbox)
        return known[1]


def install(turns: list[Callable[..., None]]) -> None:
    """Give the gate such a book, and keep an index once it is made.

    Args:
        turns: Where each book's `turn` is noted.
    """
    made = Gate.__init__
    indexes: dict[tuple[int, int], RuleSet] = {}

    def make(gate: Gate, rules: RuleBook, *args: Any, **named: Any) -> None:  # noqa: ANN401 - as the gate takes them
        book = SwitchedBook(rules)
        turns.append(book.turn)
        made(gate, book, *args, **named)

    def index(rules: Sequence[StoredRule], version: int, *args: Any, **named: Any) -> RuleSet:  # noqa: ANN401
        if len(rules) < _MANY:
            return RuleSet(rules, version, *args, **named)  # type: ignore[arg-type]
        key = version, rules[0].id
        if key not in indexes:
            indexes.clear()
            indexes[key] = RuleSet(rules, version, *args, **named)  # type: ignore[arg-type]
        return indexes[key]

    Gate.__init__ = make  # type: ignore[method-assign, assignment]
    engine.RuleSet = index  # type: ignore[misc, assignment]
