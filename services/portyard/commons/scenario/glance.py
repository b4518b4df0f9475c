"""What one session sees at a glance of events that mostly differ in one text. Pure."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Generic, TypeVar

from portyard.commons.scenario.model import Scalar
from portyard.commons.scenario.narrowing import MAGIC, Index, Narrowed
from portyard.commons.scenario.session_gate import SessionGate, Verb

if TYPE_CHECKING:
    from portyard.commons.scenario.tables import Table

_RESTS = 1024  # of events without their text, of which it is known that none of them alone makes a rule mean one
_NO_RULES = Narrowed(Index(()), 0, (), None)
_NOTHING_SEEN: set[Hashable] = set()

E = TypeVar("E", bound=Hashable)


class Glance(Generic[E]):
    """One session's events of one verb, or of several with the same fields.

    No rule means an event where none asks for its text, and where none meant another one that differs from it in its text alone: of the
    first what is asked is the text's own table, of the second what was found before. So texts that never came before are known as well.

    Args:
        gate: The session's.
        verb: See `SessionGate.heeds`.
        text: The field that mostly differs.
        stays: Fields that are as they are in all these events.
        fields: Makes an event's fields.
    """

    __slots__ = (
        "_fields",
        "_generation",
        "_magic",
        "_name",
        "_rests",
        "_session",
        "_stays",
        "_table",
        "_turn",
        "_verb",
        "_who",
        "_within",
    )

    def __init__(
        self, gate: SessionGate, verb: Verb, text: str, stays: Hashable, fields: Callable[[E], Mapping[str, Scalar]]
    ) -> None:
        self._session = gate
        self._generation = gate._generation
        self._verb = verb
        self._name = text
        self._stays = stays
        self._fields = fields
        self._turn, self._within, self._who = -1, "", ""  # of which the next two are true
        self._table: Table | None = None  # of the text; None where nobody asks for it
        self._rests = _NOTHING_SEEN
        self._magic = False  # it is looked for in the text

    def heeds(self, event: E, text: str, rest: Hashable) -> bool:
        """Whether an event has to be asked about.

        Args:
            event: It.
            text: Its text, as rules see it.
            rest: All else that decides about its fields, and that isn't in `stays`.
        """
        session = self._session
        if (
            rest in self._rests
            and self._generation() == self._turn
            and session.sandbox == self._within
            and session.account == self._who
        ):
            table = self._table
            if (table is None or text == table.silent or table.is_silent(text)) and not (self._magic and MAGIC in text):
                return False
        elif session._gate.idle:
            return False
        if session.heeds(self._verb, partial(self._fields, event)):
            return True
        self._learn(rest)
        return False

    def _learn(self, rest: Hashable) -> None:
        """Keep that an event with this rest is meant by nobody, for as long as the rules are the ones that were asked."""
        session = self._session
        left = session.left(self._verb)
        if left is None or left[0] < 0:
            return
        generation, narrowed = left
        self._table, self._rests, self._magic = (narrowed or _NO_RULES).glance(self._name, self._stays)
        self._turn, self._within, self._who = generation, session.sandbox, session.account
        if len(self._rests) >= _RESTS:
            self._rests.clear()
        self._rests.add(rest)
