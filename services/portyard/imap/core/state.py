"""The phases of a session and what may come in each (RFC 3501 §3), as a table. The only file that moves a phase."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from portyard.imap.core.model import (
    Append,
    Authenticate,
    Capability,
    Check,
    Close,
    Command,
    Copy,
    Create,
    Delete,
    Enable,
    Examine,
    Expunge,
    Fetch,
    Id,
    Idle,
    List,
    Login,
    Logout,
    Lsub,
    Move,
    Namespace,
    Noop,
    Rename,
    Search,
    Select,
    Starttls,
    Status,
    Store,
    Subscribe,
    Unselect,
    Unsubscribe,
)


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
_ANY: dict[type[Command], Mapping[Outcome, Phase]] = {
    Capability: _STAY,
    Noop: _STAY,
    Id: _STAY,
    Logout: {Outcome.OK: Phase.LOGOUT},
}
_LOGIN = {Outcome.OK: Phase.AUTHENTICATED}
_OPEN = {
    Outcome.OK: Phase.SELECTED,
    Outcome.NO: Phase.AUTHENTICATED,
}  # §6.3.1: a SELECT that fails leaves nothing selected
_AUTHENTICATED: dict[type[Command], Mapping[Outcome, Phase]] = {
    Select: _OPEN,
    Examine: _OPEN,
    **dict.fromkeys(
        (Create, Delete, Rename, Subscribe, Unsubscribe, List, Lsub, Namespace, Status, Append, Idle),
        _STAY,
    ),
}
BY_NAME = frozenset(_AUTHENTICATED)  # the commands that reach the account's mailboxes by their names
_LEAVE = {Outcome.OK: Phase.AUTHENTICATED}

# Phase → command → outcome → the phase after it; an outcome that isn't named stays. A command that isn't named gets BAD.
RULES: Mapping[Phase, Mapping[type[Command], Mapping[Outcome, Phase]]] = {
    Phase.NOT_AUTHENTICATED: {**_ANY, Starttls: _STAY, Authenticate: _LOGIN, Login: _LOGIN},
    # RFC 5161 §3.1: ENABLE only while nothing is selected
    Phase.AUTHENTICATED: {**_ANY, **_AUTHENTICATED, Enable: _STAY},
    Phase.SELECTED: {
        **_ANY,
        **_AUTHENTICATED,
        **dict.fromkeys((Check, Expunge, Search, Fetch, Store, Copy, Move), _STAY),
        Close: _LEAVE,
        Unselect: _LEAVE,
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

    def allows(self, command: Command) -> bool:
        """Whether the command may come now."""
        return type(command) in RULES[self._phase]

    def ended(self, command: Command, outcome: Outcome) -> None:
        """The command got its tagged answer."""
        self._phase = RULES[self._phase][type(command)].get(outcome, self._phase)

    def happened(self, happening: Happening) -> None:
        """Something that is no command's outcome."""
        self._phase = HAPPENINGS[happening][self._phase]
