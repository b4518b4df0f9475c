"""The gate as one session has it: what its events still have to be asked about, known beforehand from what stays as it is. Pure."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import TYPE_CHECKING

from portyard.commons.scenario.model import Event, Scalar, Verdict
from portyard.commons.scenario.narrowing import Narrowed

if TYPE_CHECKING:
    from portyard.commons.scenario.engine import Gate

_TURNS = 64  # sandboxes and accounts of one session, of whose verbs it is known what is left to ask
_VERBS = 256  # of each of them

Verb = str | tuple[str, ...]
"""A room's verb, or several that follow each other with the same fields."""
Known = tuple[int, Narrowed | None]
"""What is left to ask, and the generation of which this is true."""
_NOTHING_LEFT: Known = (-1, None)
_Turn = tuple[dict[Verb, Narrowed | None], dict[Verb, Hashable]]
Stamp = tuple[int, str, str]
"""The rules' generation, a session's sandbox and its account."""


class SessionGate:
    """What one session asks; made by `Gate.session`.

    Attributes:
        sandbox: Set it when the session joins one.
        account: Set it when somebody logged in.
        recipe: The certificate that a rule wanted when the connection came, or None.
        persona: The quirks of the persona that the session has, of the type that its room declares, or None.
    """

    __slots__ = (
        "_ended",
        "_gate",
        "_generation",
        "_internal",
        "_peer",
        "_port",
        "_quiet",
        "_role",
        "_room",
        "_session",
        "_turn",
        "_turns",
        "_verbs",
        "_who",
        "_within",
        "account",
        "persona",
        "recipe",
        "sandbox",
    )

    def __init__(
        self, gate: Gate, room: str, role: str, sandbox: str, session: str, peer: str, port: str, internal: bool
    ) -> None:
        self._gate = gate
        self._generation = gate._generation
        self._room = room
        self._role = role
        self._session = session
        self._peer = peer
        self._port = port
        self._internal = internal
        self._ended = False
        self._turns: dict[tuple[str, str], _Turn] = {}
        self._turn, self._within, self._who = -1, "", ""  # the generation, sandbox and account that the next two are of
        self._verbs: dict[Verb, Narrowed | None] = {}
        self._quiet: dict[Verb, Hashable] = {}  # the last event of a verb that no rule means
        self.sandbox = sandbox
        self.account = ""
        self.recipe: str | None = None
        self.persona: object | None = None

    @property
    def armed(self) -> bool:
        """False while there is no rule and no magic anywhere; then the fields of an event need not even be gathered."""
        return not self._ended and self._gate.armed

    @property
    def stamp(self) -> Stamp:
        """Another one as soon as the same event may mean something else to the rules."""
        return self._generation(), self.sandbox, self.account

    def asks(self, verb: str, sandbox: str | None = None) -> bool:
        """Whether any rule, or magic, may mean such an event: for what is done in another way only so that it can be asked about.

        Args:
            verb: Of the room's vocabulary.
            sandbox: The event's alone (a recipient's); the session's when None.
        """
        left = self._left(self.sandbox if sandbox is None else sandbox, verb)
        return left is None or left[1] is not None

    def heeds(
        self,
        verb: Verb,
        fields: Mapping[str, Scalar] | Callable[[], Mapping[str, Scalar]],
        sandbox: str | None = None,
        event: Hashable = None,
    ) -> bool:
        """Whether such an event has to be asked about; mostly it is known at once that it hasn't.

        Args:
            verb: Of the room's vocabulary; or several that follow each other with the same fields, where one look tells of all that none
                of them has to be asked about (else each is looked at by itself). One of them at most has a magic field.
            fields: The verb's own fields, or what makes them: called only where some rule may look at them.
            sandbox: The event's alone (a recipient's); the session's when None.
            event: All that decides about the verb's fields (a line as it came), by which the last one of the verb is known when it
                comes again; None where finding that out takes as long as asking.
        """
        gate, generation = self._gate, self._generation()
        if generation == gate._seen and not gate._anything:  # as `idle`
            return False
        if sandbox is None:
            sandbox = self.sandbox
        account = self.account
        if generation != self._turn or sandbox != self._within or account != self._who:
            self._turn_to(generation, sandbox, account)
        if event is not None and self._quiet.get(verb) == event:
            return False
        try:
            narrowed = self._verbs[verb]
        except KeyError:
            left = self._left(sandbox, verb)
            if left is None:
                return True
            narrowed = left[1]
        if narrowed is None:
            return False
        if narrowed.may_mean(fields() if callable(fields) else fields):
            return True
        if event is not None:
            self._quiet[verb] = event
        return False

    def end(self) -> None:
        """The connection is gone: what its room still does spends no more rules, which are there for those who can see them act."""
        self._ended = True
        self._forget()

    def trust(self) -> None:
        """The peer proved to be another service of the testbed: from now on only rules with `where.role` see it."""
        self._internal = True
        self._forget()

    def _forget(self) -> None:
        self._turns.clear()
        self._turn_to(self._turn, self._within, self._who)

    def _turn_to(self, generation: int, sandbox: str, account: str) -> None:
        """Have at hand what is left to ask of each verb of this sandbox, by this account."""
        if generation != self._turn or len(self._turns) >= _TURNS:
            self._turns.clear()
        self._turn, self._within, self._who = generation, sandbox, account
        try:
            self._verbs, self._quiet = self._turns[sandbox, account]
        except KeyError:
            self._verbs, self._quiet = self._turns[sandbox, account] = {}, {}

    def _left(self, sandbox: str, verb: Verb) -> Known | None:
        """What is left to ask of a verb; None while the rules have to be read first."""
        gate, generation = self._gate, self._generation()
        if self._ended or gate.idle:
            return _NOTHING_LEFT
        if generation != self._turn or sandbox != self._within or self.account != self._who:
            self._turn_to(generation, sandbox, self.account)
        if verb in self._verbs:
            return generation, self._verbs[verb]
        stays = {"role": self._role, "peer": self._peer, "account": self.account, "port": self._port}
        left = gate.narrowed(sandbox, self._room, verb, stays, internal=self._internal)
        if left is not None and left[0] == generation:
            if len(self._verbs) >= _VERBS:
                self._verbs.clear()
            self._verbs[verb] = left[1]
        return left

    async def ask(self, verb: str, /, **fields: Scalar) -> Verdict | None:
        """What is to be done about something that the session is about to do; None for what always happens.

        Args:
            verb: Of the room's vocabulary.
            **fields: The verb's own fields.
        """
        gate = self._gate
        if not gate._anything and gate._generation() == gate._seen:  # as `idle`: mostly this is all that is done
            return None
        if not self.heeds(verb, fields):
            return None
        return await gate.ask(self._event(self.sandbox, verb, fields))

    async def ask_in(self, sandbox: str, verb: str, fields: dict[str, Scalar]) -> Verdict | None:
        """The same in a sandbox that this event alone belongs to (a recipient's)."""
        return await self._gate.ask(self._event(sandbox, verb, fields)) if self.heeds(verb, fields, sandbox) else None

    def _event(self, sandbox: str, verb: str, fields: dict[str, Scalar]) -> Event:
        return Event(
            self._room,
            verb,
            self._role,
            sandbox,
            self._session,
            self._peer,
            self.account,
            self._port,
            self._internal,
            fields,
        )
