"""POP3's states and what may come next; the only file that moves a phase."""

from __future__ import annotations

from enum import Enum
from types import MappingProxyType

from portyard.pop3.core.model import (
    Apop,
    Auth,
    Capa,
    Command,
    Dele,
    List,
    Noop,
    Pass,
    Quit,
    Retr,
    Rset,
    Stat,
    Stls,
    Top,
    Uidl,
    User,
)


class Phase(Enum):
    """RFC 1939 §3's states, AUTHORIZATION in two because PASS may only follow USER."""

    AUTHORIZATION = "authorization"
    NAMED = "named"
    TRANSACTION = "transaction"
    UPDATE = "update"


# The phase after a command that succeeded. A command that isn't in its phase's row is refused.
RULES: MappingProxyType[Phase, dict[type[Command], Phase]] = MappingProxyType(
    {
        Phase.AUTHORIZATION: {
            User: Phase.NAMED,
            Apop: Phase.TRANSACTION,
            Auth: Phase.TRANSACTION,
            Capa: Phase.AUTHORIZATION,
            Stls: Phase.AUTHORIZATION,  # RFC 2595 §4: only permitted in AUTHORIZATION state
            Quit: Phase.UPDATE,
        },
        Phase.NAMED: {
            User: Phase.NAMED,
            Pass: Phase.TRANSACTION,
            Apop: Phase.TRANSACTION,
            Auth: Phase.TRANSACTION,
            Capa: Phase.NAMED,
            Stls: Phase.AUTHORIZATION,
            Quit: Phase.UPDATE,
        },
        Phase.TRANSACTION: dict.fromkeys((Stat, List, Uidl, Retr, Top, Dele, Noop, Rset, Capa), Phase.TRANSACTION)
        | {Quit: Phase.UPDATE},
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

    def allows(self, command: Command) -> bool:
        """Whether the command may come now."""
        return type(command) in RULES[self._phase]

    def succeeded(self, command: Command) -> None:
        """The command was answered +OK: move."""
        self._phase = RULES[self._phase][type(command)]

    def refused(self, command: Command) -> None:
        """The command was answered -ERR: a wrong password asks for a new USER (RFC 1939 §7), all else stays."""
        if isinstance(command, Pass):
            self._phase = Phase.AUTHORIZATION
