"""POP3's states and what may come next; the only file that moves a phase."""

from __future__ import annotations

from enum import Enum
from types import MappingProxyType

from portyard.pop3.core import model


class Phase(Enum):
    """RFC 1939 §3's states, AUTHORIZATION in two because PASS may only follow USER."""

    AUTHORIZATION = "authorization"
    NAMED = "named"
    TRANSACTION = "transaction"
    UPDATE = "update"


# The phase after a command that succeeded. A command that isn't in its phase's row is refused.
RULES: MappingProxyType[Phase, dict[type[model.Command], Phase]] = MappingProxyType(
    {
        Phase.AUTHORIZATION: {
            model.User: Phase.NAMED,
            model.Apop: Phase.TRANSACTION,
            model.Auth: Phase.TRANSACTION,
            model.Capa: Phase.AUTHORIZATION,
            model.Stls: Phase.AUTHORIZATION,  # RFC 2595 §4: only permitted in AUTHORIZATION state
            model.Quit: Phase.UPDATE,
        },
        Phase.NAMED: {
            model.User: Phase.NAMED,
            model.Pass: Phase.TRANSACTION,
            model.Apop: Phase.TRANSACTION,
            model.Auth: Phase.TRANSACTION,
            model.Capa: Phase.NAMED,
            model.Stls: Phase.AUTHORIZATION,
            model.Quit: Phase.UPDATE,
        },
        Phase.TRANSACTION: dict.fromkeys(
            (model.Stat, model.List, model.Uidl, model.Retr, model.Top, model.Dele, model.Noop, model.Rset, model.Capa),
            Phase.TRANSACTION,
        )
        | {model.Quit: Phase.UPDATE},
        Phase.UPDATE: {},
    }
)


class Machine:
    """Where a session is."""

    def __init__(self, phase: Phase = Phase.AUTHORIZATION) -> None:
        self._phase = phase

    @property
    def phase(self) -> Phase:
        """The phase now."""
        return self._phase

    def allows(self, command: model.Command) -> bool:
        """Whether the command may come now."""
        return type(command) in RULES[self._phase]

    def succeeded(self, command: model.Command) -> None:
        """The command was answered +OK: move."""
        self._phase = RULES[self._phase][type(command)]

    def refused(self, command: model.Command) -> None:
        """The command was answered -ERR: a wrong password asks for a new USER (RFC 1939 §7), all else stays."""
        if isinstance(command, model.Pass):
            self._phase = Phase.AUTHORIZATION
