"""What a room declares that it can honour: its verbs, their fields, and the actions that each may be asked for.

Data only, and light to import: cards may hold one. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from portyard.commons.tls.descriptions import REFUSALS

Scalar = str | int | float | bool
"""A field's value."""


class FieldKind(Enum):
    """What a field's values are."""

    TEXT = "text"
    PATH = "path"
    """Text that begins with "/", so that "/…/" may be meant as a path."""
    NUMBER = "number"
    FLAG = "flag"


@dataclass(frozen=True, slots=True)
class Form:
    """What a text must look like, to be said in the protocol or to be a field's value.

    Attributes:
        pattern: The whole text as a regular expression.
        allowed: The same in words, for who wrote another.
    """

    pattern: str
    allowed: str


@dataclass(frozen=True, slots=True)
class Field:
    """One field of an event.

    Attributes:
        summary: One line for tables.
        kind: What its values are.
        values: All that there are, when they can be listed; compared without case.
        holds: Text that every value holds ("@"), or "".
        besides: The values that don't, in small letters.
        low: The least number.
        high: The greatest number; None where there is none.
        form: What the other values look like, where those that `values` lists aren't all, or can't be listed; also what a glob with
            `*` and `?` must look like to match one.
    """

    summary: str
    kind: FieldKind = FieldKind.TEXT
    values: tuple[str, ...] = ()
    holds: str = ""
    besides: tuple[str, ...] = ()
    low: float = 0
    high: float | None = None
    form: Form | None = None


@dataclass(frozen=True, slots=True)
class Verb:
    """One event of a room.

    Attributes:
        summary: When it happens, for tables.
        fields: Its own fields; the common ones go without saying.
        actions: The actions that it can honour, by name.
        magic: The field in which magic words are looked for, or None.
        why_not: Why it can't honour an action that one might expect, by the action's name.
        forms: What the text of `refuse` and `say` must look like, by the action's name; any text where there is none. In a script
            "script.say" goes before "say".
        steps: What a script may be made of here; None for whatever is also an action here, and `send` and `expect`.
        roles: The roles that have it; empty for all of the room's.
    """

    summary: str
    fields: Mapping[str, Field] = field(default_factory=dict)
    actions: frozenset[str] = frozenset()
    magic: str | None = None
    why_not: Mapping[str, str] = field(default_factory=dict)
    forms: Mapping[str, Form] = field(default_factory=dict)
    steps: frozenset[str] | None = None
    roles: tuple[str, ...] = ()

    @property
    def script_steps(self) -> frozenset[str]:
        """The steps that a script may take here."""
        return self.steps if self.steps is not None else (self.actions & STEPS) | {"send", "expect"}


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """A room's words.

    Attributes:
        room: The room's name.
        verbs: Verbs and phases, by name.
        roles: Its services' roles; empty for the room's name alone.
        respond: The parts of `respond` that it knows ("status", "headers", "body", "stderr").
        statuses: The least and the greatest status of `respond`.
        anonymous: The roles at which nobody logs in.
        before_login: The verbs that come before anybody has logged in, besides NOBODY_YET.
        nameless: The verbs before which nothing can have named a sandbox but a listener of its own, besides NOBODY_YET.
        early: The verbs before which most clients have named none, each with the roles at which that is so.
        ports: The names of its listeners, where they are known: by whoever holds a rule against them.
    """

    room: str
    verbs: Mapping[str, Verb]
    roles: tuple[str, ...] = ()
    respond: frozenset[str] = frozenset({"body"})
    statuses: tuple[int, int] = (100, 999)
    anonymous: frozenset[str] = frozenset()
    before_login: frozenset[str] = frozenset()
    nameless: frozenset[str] = frozenset()
    early: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    ports: tuple[str, ...] = ()

    def fields_of(self, verb: str) -> dict[str, Field]:
        """Every field of a verb's events, the common ones too."""
        role = Field("The service's role.", values=self.verbs[verb].roles or self.roles or (self.room,))
        port = Field("The listener's name.", values=self.ports)
        return {**COMMON, "role": role, "port": port, **self.verbs[verb].fields}


_BYTE = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"
ADDRESS = Form(
    rf"(?i:{_BYTE}(?:\.{_BYTE}){{3}}|(?:[0-9a-f:.]*:[0-9a-f:.]*|[0-9a-f:.]*[*?][0-9a-f:.*?]*)(?:%\S+)?)",
    "an address such as 127.0.0.1 or ::1, a glob such as 10.0.*, or /a regular expression/",
)
"""An IP address as sockets tell it, or a glob of some."""

_WORD = r"[^\s@()<>,;:\[\]\\\"]"
MAILBOX = Form(
    # What is quoted before the @ may hold anything; a domain is a name, or an address in brackets.
    rf'(?:{_WORD}+|(?=[^"]*")[^\r\n]+)(?:@(?:{_WORD}+|\[?[^\s@\[\]]*[*?][^\s@\[\]]*\]?|\[[^\s@\[\]]+\]))?',
    "an address such as somebody@t1.test, a glob such as *@t1.test, or /a regular expression/",
)
"""An address with an @ in it, or a glob of some."""

HOST = Form(
    r"[A-Za-z0-9._*?-]+", "a host name such as mail.t1.test, a glob such as *.t1.test, or /a regular expression/"
)
"""A host's name, or a glob of some; without brackets and port."""

NOBODY_YET = frozenset({"connect", "greeting"})
"""The verbs at which nobody has logged in, in any room."""

COMMON: Mapping[str, Field] = {
    "role": Field("The service's role."),
    "peer": Field("The client's address.", form=ADDRESS),
    "account": Field("Who logged in, by address; empty before.", holds="@", form=MAILBOX),
    "port": Field("The listener's name."),
}

ANSWERS = frozenset({"refuse", "say", "silence", "delay", "hang_up"})
"""What most verbs can honour."""
FAULTS = frozenset({"latency", "bandwidth", "slice", "stall", "cut_after", "reset", "half_close", "corrupt"})
"""What every listener can honour, at connect or armed by an event."""
COMMAND = ANSWERS | FAULTS | {"script"}
"""What can be honoured at a command that an answer in text belongs to."""
MIDST = FAULTS | {"silence", "delay", "hang_up"}
"""What can be honoured where an answer has begun."""
CONNECT = FAULTS | {"delay", "silence", "hang_up", "tls"}
"""What every listener can honour when a connection comes."""

PERSONA = frozenset({"persona"})
"""What a room with personas can honour besides when a connection comes."""

STEPS = frozenset({"say", "silence", "delay", "hang_up", "respond", "reset"})
"""Actions that may be steps of a script."""
ANY_TEXT = Form(r"(?s).*", "any text")

HANDSHAKE = Verb(
    "A ClientHello came; `refuse` names the alert that is sent, `hang_up` sends none.",
    {"server_name": Field("The name that the client asks for (SNI).", form=HOST)},
    frozenset({"tls", "refuse", "delay", "silence", "hang_up"}),
    forms={
        "refuse": Form("(?i:" + "|".join(name.replace("_", "[_-]") for name in REFUSALS) + ")", ", ".join(REFUSALS))
    },
)
"""The verb `tls` of every room whose ports meet TLS."""


def command(
    summary: str, fields: Mapping[str, Field] | None = None, magic: str | None = None, *, forms: Mapping[str, Form]
) -> Verb:
    """A command that an answer in text belongs to.

    Args:
        summary: When it is asked.
        fields: Its fields besides the common ones.
        magic: See Verb.
        forms: See Verb; a room's commands share them.
    """
    return Verb(summary, fields or {}, COMMAND, magic=magic, forms=forms)


def by_room(vocabularies: Iterable[Vocabulary]) -> dict[str, Vocabulary]:
    """Them by their rooms' names."""
    return {vocabulary.room: vocabulary for vocabulary in vocabularies}
