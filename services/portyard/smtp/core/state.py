"""The phases of a connection and what may come next. The only file that moves a phase."""

from __future__ import annotations

from enum import Enum
from typing import Final

from portyard.smtp.core import model
from portyard.smtp.core.model import Command, PeerError, reply


class Phase(Enum):
    """Where a connection stands (RFC 5321 §3, §4.1.4)."""

    GREETED = "greeted"
    READY = "ready"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    AUTH = "auth"
    TLS = "tls"
    CLOSED = "closed"


class Settled:
    """Message data or an AUTH exchange came to its end, well or not."""


class Encrypted:
    """TLS began."""


_HELLO: Final[dict[type[Command | Settled | Encrypted], Phase]] = {
    model.Ehlo: Phase.READY,
    model.Helo: Phase.READY,
    model.Lhlo: Phase.READY,
    model.Quit: Phase.CLOSED,
}

# Phase → command (or what else happens) → the phase after it succeeded. A command that isn't listed is out of order.
RULES: Final[dict[Phase, dict[type[Command | Settled | Encrypted], Phase]]] = {
    Phase.GREETED: {
        **_HELLO,
        model.Rset: Phase.GREETED,
        model.Noop: Phase.GREETED,
        model.Help: Phase.GREETED,
        model.Vrfy: Phase.GREETED,  # RFC 5321 §4.1.4: these five are answered without a hello too
        model.Expn: Phase.GREETED,
    },
    Phase.READY: {
        **_HELLO,
        model.Mail: Phase.MAIL,
        model.Auth: Phase.AUTH,
        model.StartTls: Phase.TLS,
        model.Rset: Phase.READY,
        model.Noop: Phase.READY,
        model.Help: Phase.READY,
        model.Vrfy: Phase.READY,
        model.Expn: Phase.READY,
    },
    Phase.MAIL: {
        **_HELLO,
        model.Rcpt: Phase.RCPT,
        model.Rset: Phase.READY,
        model.Noop: Phase.MAIL,
        model.Help: Phase.MAIL,
        model.Vrfy: Phase.MAIL,
        model.Expn: Phase.MAIL,
    },
    Phase.RCPT: {
        **_HELLO,
        model.Rcpt: Phase.RCPT,
        model.Data: Phase.DATA,
        model.Rset: Phase.READY,
        model.Noop: Phase.RCPT,
        model.Help: Phase.RCPT,
        model.Vrfy: Phase.RCPT,
        model.Expn: Phase.RCPT,
    },
    Phase.DATA: {Settled: Phase.READY},
    Phase.AUTH: {Settled: Phase.READY},
    Phase.TLS: {Encrypted: Phase.GREETED},  # everything learned before is void (RFC 3207 §4.2)
    Phase.CLOSED: {},
}

_HINTS: Final[dict[type[Command], str]] = {
    model.Mail: "send EHLO or HELO first, and one MAIL a transaction",
    model.Rcpt: "send MAIL first",
    model.Data: "send MAIL and RCPT first",
    model.Auth: "AUTH comes after EHLO and outside of a transaction",
    model.StartTls: "STARTTLS comes after EHLO and outside of a transaction",
}


class Machine:
    """A connection's phase."""

    def __init__(self) -> None:
        self.phase = Phase.GREETED

    def admit(self, command: Command) -> None:
        """Say whether the command may come now.

        Raises:
            PeerError: It may not (503).
        """
        if type(command) not in RULES[self.phase]:
            name = "hello_first" if self.phase is Phase.GREETED else "order"
            hint = _HINTS.get(type(command), "this command doesn't belong here")
            raise PeerError(reply(503, "5.5.1", hint, name=name))

    def advance(self, command: Command) -> None:
        """The command succeeded."""
        self.phase = RULES[self.phase][type(command)]

    def settle(self) -> None:
        """Message data or an AUTH exchange came to its end: back to where a transaction may begin."""
        self.phase = RULES[self.phase][Settled]

    def restart(self) -> None:
        """TLS began."""
        self.phase = RULES[self.phase][Encrypted]

    def finish(self) -> None:
        """Nothing more is answered."""
        self.phase = Phase.CLOSED
