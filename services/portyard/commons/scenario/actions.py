"""What a rule may have done, as values: actions of meaning, faults of bytes, and the choice of a certificate.

Units stand in the field names. A field that ends in `_s` takes seconds or text such as "150ms". `up` is from the client to the testbed,
`down` the way back. Knows no protocol and does nothing: rooms and the wire obey. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

DAY_S = 86400.0
Seconds = Annotated[float, Meta(ge=0, le=DAY_S, description='Seconds, or text such as "150ms", "2s", "1h30m".')]
MOST = (1 << 53) - 1  # the greatest whole number that every reader of JSON keeps (RFC 8259 §6)
Count = Annotated[int, Meta(ge=0, le=MOST)]
Positive = Annotated[int, Meta(ge=1, le=MOST)]
Text = Annotated[str, Meta(min_length=1)]
Direction = Literal["up", "down", "both"]
Way = Annotated[
    Literal["up", "down"], Meta(description="Where none is said: down, and on an upload's own connection up.")
]


class Action(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Any of the below."""


class Refuse(Action, frozen=True):
    """Client and server agree that it failed: the state doesn't move.

    Attributes:
        reply: As the room says failure: the whole reply line, the text after a tag, or a status. `$field` is filled in.
    """

    reply: Text


class Say(Action, frozen=True):
    """The state moves, and the answer lies.

    Attributes:
        reply: What is answered in place of the truth. `$field` is filled in.
    """

    reply: Text


class Silence(Action, frozen=True):
    """No answer, now and to whatever follows, until the peer leaves."""


class Delay(Action, frozen=True):
    """Wait before the answer.

    Attributes:
        delay_s: How long at least.
        jitter_s: Up to so much longer, by seeded chance.
    """

    delay_s: Seconds
    jitter_s: Seconds = 0.0


class HangUp(Action, frozen=True):
    """Close the connection cleanly."""


class Respond(Action, frozen=True):
    """A stub's whole answer; which parts a room knows its vocabulary says.

    Attributes:
        status: A status code or an exit status.
        headers: Header fields. `$field` is filled in.
        body: What is answered, or written to standard output. `$field` is filled in.
        stderr: What a command writes to standard error. `$field` is filled in.
    """

    status: Count | None = None
    headers: dict[str, str] = {}
    body: str = ""
    stderr: str = ""


class Persona(Action, frozen=True):
    """Be another kind of server: its greeting, capabilities, quirks and limits.

    Attributes:
        name: The persona's.
    """

    name: Text


class Latency(Action, frozen=True):
    """Every octet arrives later.

    Attributes:
        delay_s: By so much.
        jitter_s: And by up to so much more, by seeded chance.
        direction: Which way.
    """

    delay_s: Seconds
    jitter_s: Seconds = 0.0
    direction: Direction = "both"


class Bandwidth(Action, frozen=True):
    """A narrow line.

    Attributes:
        octets_per_s: How narrow.
        direction: Which way; each way has a line of its own.
    """

    octets_per_s: Positive
    direction: Direction = "both"


class Slice(Action, frozen=True):
    """Segments cut small.

    Attributes:
        octets: The size of a piece.
        variation: A piece has up to so many octets more or less, by seeded chance.
        gap_s: From one piece to the next.
        direction: Which way.
    """

    octets: Positive
    variation: Count = 0
    gap_s: Seconds = 0.0
    direction: Direction = "both"


class Stall(Action, frozen=True):
    """Nothing more is carried; the connection stays open.

    Attributes:
        after_octets: So many are carried first.
        for_s: It goes on after so long; None for never.
        direction: Which way.
    """

    after_octets: Count = 0
    for_s: Seconds | None = None
    direction: Direction = "both"


class CutAfter(Action, frozen=True):
    """The connection is closed once so much was carried.

    Attributes:
        octets: So many are carried, exactly.
        direction: Which way they are counted.
    """

    octets: Count
    direction: Way | UnsetType = UNSET


class Reset(Action, frozen=True):
    """A RST, which ends both directions.

    Attributes:
        after_octets: So many are carried before it.
        direction: Which way they are counted.
    """

    after_octets: Count = 0
    direction: Way | UnsetType = UNSET


class HalfClose(Action, frozen=True):
    """One direction ends, the other goes on.

    Attributes:
        after_octets: So many are carried before it.
        direction: Which one ends: `down` for a FIN that the client sees.
    """

    after_octets: Count = 0
    direction: Way | UnsetType = UNSET


class Corrupt(Action, frozen=True):
    """Octets that arrive changed, none lost and none added.

    Attributes:
        after_octets: So many arrive well first.
        octets: So many in a row are changed then.
        chance: And this share of those behind them, each by itself, by seeded chance.
        mask: What an octet is changed by, exclusive or.
        direction: Which way.
    """

    after_octets: Count = 0
    octets: Count = 1
    chance: Annotated[float, Meta(ge=0, le=1)] = 0.0
    mask: Annotated[int, Meta(ge=1, le=255)] = 0xFF
    direction: Way | UnsetType = UNSET


class Tls(Action, frozen=True):
    """Show a named certificate, or behave badly in the handshake.

    Attributes:
        recipe: Its name.
    """

    recipe: Text


class Send(Action, frozen=True):
    """A step: these characters as they stand (UTF-8), no line ending added.

    Attributes:
        text: `$field` is filled in.
    """

    text: Text


class Expect(Action, frozen=True):
    """A step: wait for the client's next line (or message), as long as the room is patient anyway.

    One that doesn't match ends the script, and is the room's to answer.

    Attributes:
        text: A glob or /regex/.
    """

    text: Text = "*"


class Script(Action, frozen=True):
    """The room's own conversation is set aside, and these steps are taken.

    Attributes:
        steps: One after the other; after the last one the room goes on.
    """

    steps: tuple[Action, ...]


class Kind(StrEnum):
    """Which gate an action belongs to."""

    MEANING = "meaning"
    BYTES = "bytes"
    TLS = "tls"
    STEP = "step"


@dataclass(frozen=True, slots=True)
class Spec:
    """An action's place in the language.

    Attributes:
        type: Its type.
        kind: Its gate.
        bare: The field that a bare value means (`refuse = "…"`); None where only `true` is meant.
        final: Nothing may follow it.
        answer: It is the answer; there is one at most.
        step: It may stand in a script.
    """

    type: type[Action]
    kind: Kind
    bare: str | None = None
    final: bool = False
    answer: bool = False
    step: bool = False


ACTIONS: Mapping[str, Spec] = {
    "refuse": Spec(Refuse, Kind.MEANING, "reply", answer=True),
    "say": Spec(Say, Kind.MEANING, "reply", answer=True, step=True),
    "silence": Spec(Silence, Kind.MEANING, final=True, answer=True, step=True),
    "delay": Spec(Delay, Kind.MEANING, "delay_s", step=True),
    "hang_up": Spec(HangUp, Kind.MEANING, final=True, step=True),
    "respond": Spec(Respond, Kind.MEANING, "body", answer=True, step=True),
    "script": Spec(Script, Kind.MEANING, "steps", answer=True),
    "persona": Spec(Persona, Kind.MEANING, "name"),
    "latency": Spec(Latency, Kind.BYTES, "delay_s"),
    "bandwidth": Spec(Bandwidth, Kind.BYTES, "octets_per_s"),
    "slice": Spec(Slice, Kind.BYTES, "octets"),
    "stall": Spec(Stall, Kind.BYTES),
    "cut_after": Spec(CutAfter, Kind.BYTES, "octets"),
    "reset": Spec(Reset, Kind.BYTES, final=True, step=True),
    "half_close": Spec(HalfClose, Kind.BYTES),
    "corrupt": Spec(Corrupt, Kind.BYTES),
    "tls": Spec(Tls, Kind.TLS, "recipe"),
    "send": Spec(Send, Kind.STEP, "text", step=True),
    "expect": Spec(Expect, Kind.STEP, "text", step=True),
}
NAMES: Mapping[type[Action], str] = {spec.type: name for name, spec in ACTIONS.items()}
MEANING = frozenset(name for name, spec in ACTIONS.items() if spec.kind is Kind.MEANING)
BYTES = frozenset(name for name, spec in ACTIONS.items() if spec.kind is Kind.BYTES)

# What people ask for and TCP can't do, and what to ask for in its place.
IMPOSSIBLE: Mapping[str, str] = {
    **dict.fromkeys(
        ("loss", "drop", "packet_loss", "lose"), "TCP repairs lost segments: the client sees latency or a stall"
    ),
    **dict.fromkeys(
        ("reorder", "shuffle"), "TCP delivers in order: no client sees octets out of order; latency is what it sees"
    ),
    **dict.fromkeys(("duplicate", "repeat"), "TCP drops what comes twice: no client sees it"),
    **dict.fromkeys(("mtu", "fragment"), "a client can't see how segments were cut; slice writes small pieces"),
}
IMPOSSIBLE_FIELDS: Mapping[tuple[str, str], str] = {
    ("hang_up", "direction"): "a clean close ends both directions; half_close ends one",
}
IMPOSSIBLE_VALUES: Mapping[tuple[str, str, object], str] = {
    ("cut_after", "direction", "both"): "octets are counted one way",
    ("reset", "direction", "both"): "a RST ends both directions anyway; octets are counted one way",
    ("half_close", "direction", "both"): "both directions is a whole close: hang_up or cut_after",
    ("corrupt", "direction", "both"): "octets are counted one way; make a rule for each",
}


def action_name(action: Action) -> str:
    """The word by which rules ask for it."""
    return NAMES[type(action)]


def kind_of(action: Action) -> Kind:
    """Which gate an action belongs to."""
    return ACTIONS[NAMES[type(action)]].kind
