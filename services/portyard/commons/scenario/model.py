"""Rules, events and verdicts as values. Pure: every core may import it.

A rule says on which events of which room, where their fields look so, so many times, this is done. `parsing` makes rules of TOML, JSON
and Python; `checking` holds one against what a room can honour; `engine` asks them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from portyard.commons.scenario.actions import (
    Action,
    Count,
    Delay,
    HangUp,
    Kind,
    Persona,
    Positive,
    Refuse,
    Respond,
    Say,
    Script,
    Silence,
    Tls,
    kind_of,
)
from portyard.commons.scenario.vocabulary import Scalar as Scalar

Spelling = Callable[[Mapping[str, Scalar]], Mapping[str, Scalar]]
"""How a session writes the values of fields in a text that goes out."""
Scope = Literal["session", "peer", "account"]


class RuleError(ValueError):
    """A rule can't be set. The message names key, value and what is allowed.

    Attributes:
        key: Where, such as "rule[2].where.size".
        value: What stood there.
        allowed: What may stand there.
        reason: What is wrong, and what was probably meant.
    """

    def __init__(self, key: str, value: object, allowed: str, reason: str) -> None:
        super().__init__(f"{key} = {value!r}: {reason}; allowed: {allowed}")
        self.key = key
        self.value = value
        self.allowed = allowed
        self.reason = reason


class Rule(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One rule. Make it by `parsing.make_rule`, which checks it.

    Attributes:
        on: "room.verb", `*` allowed.
        name: Its name, unique in its sandbox; empty for none.
        where: By field of the event, the patterns of which one must match: globs without case, "/regex/", numbers, "<5", ">=10 <20".
        times: It fires so often, then it is spent; None for ever.
        skip: So many matches pass first.
        every: Of the rest it takes each n-th.
        chance: And of these this share, by seeded chance; more than none.
        per: What is counted by; None counts them all together.
        then: What is done, in this order.
    """

    on: str
    then: tuple[Action, ...]
    name: str = ""
    where: dict[str, tuple[Scalar, ...]] = {}
    times: Positive | None = None
    skip: Count = 0
    every: Positive = 1
    chance: Annotated[float, Meta(gt=0, le=1)] = 1.0
    per: Scope | None = None

    @property
    def counted(self) -> bool:
        """Whether its matches are counted by all processes together before it may fire."""
        return self.times is not None or self.skip > 0 or self.every > 1 or self.chance < 1

    @property
    def room(self) -> str:
        """The pattern of rooms."""
        return self.on.partition(".")[0]

    @property
    def verb(self) -> str:
        """The pattern of verbs."""
        return self.on.partition(".")[2]


@dataclass(frozen=True, slots=True)
class StoredRule:
    """A rule in force.

    Attributes:
        id: The store's key, never reused.
        sandbox: Whose it is.
        rule: It.
        matched: How often an event matched it.
        hits: How often it fired; 0 shows a rule that never did.
        last_session: The session in which it fired last.
        last_at: When, by the testbed's time.
        revision: Raised by each replacement, which begins to count anew.
    """

    id: int
    sandbox: str
    rule: Rule
    matched: int = 0
    hits: int = 0
    last_session: str | None = None
    last_at: datetime | None = None
    revision: int = 0

    @property
    def spent(self) -> bool:
        """Whether it has fired as often as it may (a rule with `per` may go on for somebody else)."""
        return self.rule.times is not None and self.rule.per is None and self.hits >= self.rule.times


class Event(Struct, frozen=True, gc=False):  # made for each event of each session: a dataclass takes ten times as long
    """Something that a session is about to do.

    Attributes:
        room: The room.
        verb: The verb or phase ("connect", "greeting", "tls", "auth", "data", "idle", "transfer", "close" …).
        role: The service's role; the room's name where it has one only.
        sandbox: The sandbox that the session is in by now.
        session: The session's id.
        peer: The client's address, without its port.
        account: Who logged in, or "".
        port: The listener's name.
        internal: The peer is another service of the testbed, or a probe.
        fields: The verb's own fields, by the vocabulary.
        spelling: How their values stand in a rule's texts; None for as they are.
    """

    room: str
    verb: str
    role: str = ""
    sandbox: str = "default"
    session: str = ""
    peer: str = ""
    account: str = ""
    port: str = ""
    internal: bool = False
    fields: dict[str, Scalar] = {}
    spelling: Spelling | None = None

    def values(self) -> dict[str, Scalar]:
        """Every field by name, the common ones too."""
        return {"role": self.role, "peer": self.peer, "account": self.account, "port": self.port, **self.fields}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be done about an event, text filled in, delays rolled.

    Attributes:
        rule: The rule's name, or its number; "+" and the word for a magic address.
        actions: All of them, in order.
        delay_s: How long to wait before anything else; 0 for not at all.
        refuse: The failing reply, or None.
        say: The lying reply, or None.
        silence: Say nothing any more.
        hang_up: Close cleanly, after the answer when there is one.
        respond: The stub's answer, or None.
        script: The steps, or None.
        persona: The persona's name, or None.
        faults: Those of bytes.
        recipe: The certificate's, or None.
    """

    rule: str
    actions: tuple[Action, ...]
    delay_s: float = 0.0
    refuse: str | None = None
    say: str | None = None
    silence: bool = False
    hang_up: bool = False
    respond: Respond | None = None
    script: tuple[Action, ...] | None = None
    persona: str | None = None
    faults: tuple[Action, ...] = ()
    recipe: str | None = None

    @property
    def answers(self) -> bool:
        """Whether the room's own answer (and, but for `say`, its own deed) is not wanted."""
        told = self.refuse is not None or self.say is not None or self.respond is not None or self.script is not None
        return told or self.silence or self.hang_up


def verdict_of(rule: str, actions: tuple[Action, ...], delay_s: float | None = None) -> Verdict:
    """Actions sorted by who obeys them.

    Args:
        rule: See Verdict.
        actions: With their text filled in.
        delay_s: The delays' sum with their jitter; None for the sum without.
    """
    found: dict[str, Any] = {"delay_s": 0.0}
    for action in actions:
        match action:
            case Refuse(reply):
                found["refuse"] = reply
            case Say(reply):
                found["say"] = reply
            case Delay(least):
                found["delay_s"] += least
            case Silence():
                found["silence"] = True
            case HangUp():
                found["hang_up"] = True
            case Respond():
                found["respond"] = action
            case Script(steps):
                found["script"] = steps
            case Persona(name):
                found["persona"] = name
            case Tls(recipe):
                found["recipe"] = recipe
    if delay_s is not None:
        found["delay_s"] = delay_s
    faults = tuple(action for action in actions if kind_of(action) is Kind.BYTES)
    return Verdict(rule, actions, faults=faults, **found)
