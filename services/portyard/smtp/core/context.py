"""What the commands of one connection share: role, limits, the peer, the transaction under way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from portyard.commons.accounts.model import Accounts
from portyard.commons.effects import Send
from portyard.commons.scenario.engine import SessionGate
from portyard.commons.scenario.quirks import Seats
from portyard.commons.scenario.templates import fill, in_ascii
from portyard.commons.scenario.vocabulary import Scalar
from portyard.smtp.core.grammar import print_lines, print_reply
from portyard.smtp.core.model import Peer, Reply, Transaction
from portyard.smtp.core.quirks import NONE, Quirks
from portyard.smtp.core.state import Machine
from portyard.smtp.core.stores import Door


@dataclass(frozen=True, slots=True)
class Limits:
    """What one peer may ask for.

    Attributes:
        message: Octets of a message; what SIZE announces.
        recipients: Recipients of a transaction (RFC 5321 §4.5.3.1.8 asks for at least 100).
        command_line: Octets of a command line; RFC 5321 §4.5.3.1.4 asks for 512, each extension for more.
        errors: Refused commands after which the connection is closed.
        silence_s: Seconds without an octet (RFC 5321 §4.5.3.2.7 asks for at least five minutes).
    """

    message: int = 64 << 20
    recipients: int = 5000
    command_line: int = 2048
    errors: int = 20
    silence_s: float = 300.0


@dataclass(frozen=True, slots=True)
class Role:
    """Which of the three agents this is.

    Attributes:
        name: "msa", "mta" or "mda".
        host: What it calls itself.
        lmtp: It speaks LMTP (RFC 2033) in SMTP's place.
        auth: It offers AUTH and takes mail only after it (RFC 6409 §4.3).
        starttls: It offers STARTTLS.
        require_tls: It takes neither credentials nor mail in plaintext.
    """

    name: str
    host: str
    lmtp: bool = False
    auth: bool = False
    starttls: bool = True
    require_tls: bool = False


@dataclass(slots=True, eq=False, weakref_slot=True)
class Context:
    """One connection's facts.

    Attributes:
        role: Which agent we are.
        limits: What the peer may ask for.
        accounts: Who may log in.
        door: What the role decides.
        secret: By which testbed peers prove themselves.
        mint: Makes a delivery id, never the same twice.
        join: Told each sandbox that the peer names.
        part: Told that a transaction begins, whose sandboxes may be others than the last one's.
        gate: What the rules want of this session; None for nothing.
        peer: The peer.
        machine: The phase.
        transaction: Under way, or None.
        exchange: An AUTH exchange's state, or None.
        errors: Refused so far.
        quirks: How this server differs.
        facts: What a persona's texts may tell: `host`, `peer`, `session`, `time`.
        seats: Where an address's connections are counted.
        command: The word that the last command begins with, in capitals.
        calm: What decided about the last DATA that no rule meant.
    """

    role: Role
    limits: Limits
    accounts: Accounts
    door: Door
    secret: bytes = field(repr=False)
    mint: Callable[[], str]
    join: Callable[[str], None]
    part: Callable[[], None]
    peer: Peer
    gate: SessionGate | None = None
    machine: Machine = field(default_factory=Machine)
    transaction: Transaction | None = None
    exchange: object = None
    errors: int = 0
    quirks: Quirks = NONE
    facts: Mapping[str, str] = field(default_factory=dict)
    seats: Seats = field(default_factory=Seats)
    command: str = ""
    calm: object = None

    def say(self, answer: Reply) -> Send:
        """The effect that sends a reply, in the persona's words where it has some."""
        name = answer.name or ("syntax" if answer.code == 501 else "")
        words = getattr(self.quirks.replies, name) if name else None
        if words is not None:
            values = self.spelt({**self.facts, "command": self.command, **answer.values})
            return Send(print_lines([fill(line, values, line=True) for line in words.split("\n")]))
        if answer.enhanced and self.quirks.lacks("ENHANCEDSTATUSCODES"):
            answer = replace(answer, enhanced="")
        return Send(print_reply(answer))

    def spelt(self, values: Mapping[str, Scalar]) -> Mapping[str, Scalar]:
        """What a client said, as a reply may tell it: in UTF-8 where its transaction has SMTPUTF8, else in ASCII (RFC 6531 §3.7.4)."""
        declared = "SMTPUTF8" in str(values.get("parameters", "")).upper().split()
        if declared or (self.transaction is not None and self.transaction.smtputf8):
            return values
        return in_ascii(values)

    def trust(self) -> None:
        """The peer proved to be a hop of the testbed: only rules that name the role mean it."""
        if self.gate is not None:
            self.gate.trust()


def limits_with(limits: Limits, quirks: Quirks) -> Limits:
    """The limits of a connection: the settings', lessened as the persona wants it."""
    if quirks.limits == NONE.limits:
        return limits
    own = quirks.limits
    return replace(
        limits,
        message=min(limits.message, own.message or limits.message),
        recipients=min(limits.recipients, own.recipients or limits.recipients),
        errors=own.errors,
        silence_s=own.silence_s,
    )


def role_with(role: Role, quirks: Quirks) -> Role:
    """The role of a connection, as the persona wants it."""
    if quirks.lacks("STARTTLS") and role.starttls:
        role = replace(role, starttls=False)
    return replace(role, require_tls=True) if quirks.require_tls and not role.require_tls else role
