"""The gate as one session has it: what its events still have to be asked about, known beforehand from what stays as it is. Pure."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import TYPE_CHECKING

from portyard.commons.scenario.model import Event, Scalar, Spelling, Verdict
from portyard.commons.scenario.narrowing import Narrowed

if TYPE_CHECKING:
    from portyard.commons.scenario.engine import Gate

_TURNS = 64  # sandboxes and accounts of one session, of whose verbs it is known what is left to ask
_VERBS = 256  # of each of them

Verb = str | tuple[str, ...]
"""A room's verb, or several that follow each other with the same fields."""
Known = tuple[int, Narrowed | None]
"""What is left to ask, and the generation of which this is true."""
Stamp = tuple[int, str, str]
"""The rules' generation, a session's sandbox and its account."""


class _Left:
    """What is left to ask of one verb, and the last of its events that no rule means."""

    __slots__ = ("last", "narrowed")

    def __init__(self, narrowed: Narrowed | None) -> None:
        self.narrowed = narrowed
        self.last: Hashable = None


_NOTHING_LEFT = _Left(None)


class SessionGate:
    """What one session asks; made by `Gate.session`.

    Attributes:
        sandbox: Set it when the session joins one.
        account: Set it when somebody logged in.
        recipe: The certificate that a rule wanted when the connection came, or None.
        persona: The quirks of the persona that the session has, of the type that its room declares, or None.
        spelling: Set it where what a client said can't stand in an answer as it is; see Event.
    """

    __slots__ = (
        "_ended",
        "_gate",
        "_generation",
        "_internal",
        "_peer",
        "_port",
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
        "spelling",
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
        self._turns: dict[tuple[str, str], dict[Verb, _Left]] = {}
        self._turn, self._within, self._who = -1, "", ""  # the generation, sandbox and account that `_verbs` is of
        self._verbs: dict[Verb, _Left] = {}
        self.sandbox = sandbox
        self.account = ""
        self.recipe: str | None = None
        self.persona: object | None = None
        self.spelling: Spelling | None = None

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
        found = self._find(self.sandbox if sandbox is None else sandbox, verb)
        return found is None or found[1].narrowed is not None

    def left(self, verb: Verb) -> Known | None:
        """What is left to ask of a verb in the session's sandbox; None while the rules have to be read first.

        Args:
            verb: See `heeds`.
        """
        found = self._find(self.sandbox, verb)
        return None if found is None else (found[0], found[1].narrowed)

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
        try:
            left = self._verbs[verb]
        except KeyError:
            found = self._find(sandbox, verb)
            if found is None:
                return True
            left = found[1]
        narrowed = left.narrowed
        if narrowed is None or (event is not None and left.last == event):
            return False
        if narrowed.may_mean(fields() if callable(fields) else fields):
            return True
        if event is not None:
            left.last = event
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
        self._verbs = self._turns.setdefault((sandbox, account), {})

    def _find(self, sandbox: str, verb: Verb) -> tuple[int, _Left] | None:
        """What is left to ask of a verb, and the generation of which this is true; None while the rules have to be read first."""
        gate, generation = self._gate, self._generation()
        if self._ended or gate.idle:
            return -1, _NOTHING_LEFT
        if generation != self._turn or sandbox != self._within or self.account != self._who:
            self._turn_to(generation, sandbox, self.account)
        known = self._verbs.get(verb)
        if known is not None:
            return generation, known
        stays = {"role": self._role, "peer": self._peer, "account": self.account, "port": self._port}
        found = gate.narrowed(sandbox, self._room, verb, stays, internal=self._internal)
        if found is None:
            return None
        left = _Left(found[1])
        if found[0] == generation:
            if len(self._verbs) >= _VERBS:
                self._verbs.clear()
            self._verbs[verb] = left
        return found[0], left

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
            self.spelling,
        )
