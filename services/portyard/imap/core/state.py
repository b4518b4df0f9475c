"""The phases of a session and what may come in each (RFC 3501 §3), as a table. The only file that moves a phase."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from portyard.imap.core import model


class Phase(Enum):
    """RFC 3501 §3."""

    NOT_AUTHENTICATED = "not authenticated"
    AUTHENTICATED = "authenticated"
    SELECTED = "selected"
    LOGOUT = "logout"


class Outcome(Enum):
    """How a command ended, as far as phases care: its tagged status, or that something else happened."""

    OK = "OK"
    NO = "NO"
    BAD = "BAD"


class Happening(Enum):
    """What moves a phase without a command."""

    OUR_MAILBOX_DELETED = "the client deleted the mailbox that it has selected"
    BYE = "the server said BYE"


_STAY: Mapping[Outcome, Phase] = {}
_ANY: dict[type[model.Command], Mapping[Outcome, Phase]] = {
    model.Capability: _STAY,
    model.Noop: _STAY,
    model.Id: _STAY,
    model.Logout: {Outcome.OK: Phase.LOGOUT},
}
_LOGIN = {Outcome.OK: Phase.AUTHENTICATED}
_OPEN = {
    Outcome.OK: Phase.SELECTED,
    Outcome.NO: Phase.AUTHENTICATED,
}  # §6.3.1: a SELECT that fails leaves nothing selected
_AUTHENTICATED: dict[type[model.Command], Mapping[Outcome, Phase]] = {
    model.Select: _OPEN,
    model.Examine: _OPEN,
    **dict.fromkeys(
        (
            model.Create,
            model.Delete,
            model.Rename,
            model.Subscribe,
            model.Unsubscribe,
            model.List,
            model.Lsub,
            model.Namespace,
            model.Status,
            model.Append,
            model.Idle,
        ),
        _STAY,
    ),
}
BY_NAME = frozenset(_AUTHENTICATED)  # the commands that reach the account's mailboxes by their names
_LEAVE = {Outcome.OK: Phase.AUTHENTICATED}

# Phase → command → outcome → the phase after it; an outcome that isn't named stays. A command that isn't named gets BAD.
RULES: Mapping[Phase, Mapping[type[model.Command], Mapping[Outcome, Phase]]] = {
    Phase.NOT_AUTHENTICATED: {**_ANY, model.Starttls: _STAY, model.Authenticate: _LOGIN, model.Login: _LOGIN},
    # RFC 5161 §3.1: ENABLE only while nothing is selected
    Phase.AUTHENTICATED: {**_ANY, **_AUTHENTICATED, model.Enable: _STAY},
    Phase.SELECTED: {
        **_ANY,
        **_AUTHENTICATED,
        **dict.fromkeys(
            (model.Check, model.Expunge, model.Search, model.Fetch, model.Store, model.Copy, model.Move), _STAY
        ),
        model.Close: _LEAVE,
        model.Unselect: _LEAVE,
    },
    Phase.LOGOUT: {},
}
HAPPENINGS: Mapping[Happening, Mapping[Phase, Phase]] = {
    Happening.OUR_MAILBOX_DELETED: {Phase.SELECTED: Phase.AUTHENTICATED},
    Happening.BYE: dict.fromkeys(Phase, Phase.LOGOUT),
}


class Machine:
    """Where a session stands."""

    def __init__(self) -> None:
        self._phase = Phase.NOT_AUTHENTICATED

    @property
    def phase(self) -> Phase:
        """The present phase."""
        return self._phase

    def allows(self, command: model.Command) -> bool:
        """Whether the command may come now."""
        return type(command) in RULES[self._phase]

    def ended(self, command: model.Command, outcome: Outcome) -> None:
        """The command got its tagged answer."""
        self._phase = RULES[self._phase][type(command)].get(outcome, self._phase)

    def happened(self, happening: Happening) -> None:
        """Something that is no command's outcome."""
        self._phase = HAPPENINGS[happening][self._phase]
