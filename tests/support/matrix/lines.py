"""The rooms that speak in lines: how a client comes to each verb, and what it hears there of each action."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial

from tests.support.matrix.handshakes import handshake_cells
from tests.support.matrix.place import DELAY_S, LEAST_S, Cell, Client, Place

Steps = tuple[tuple[bytes, bytes], ...]
"""What a client says, and how the line begins that it waits for then."""
Act = Callable[[Place, Client], None]
MIDST = ("silence", "delay", "hang_up", "bytes")
ALL = ("refuse", "say", "script", *MIDST)


@dataclass(frozen=True)
class Scene:
    """A verb's moment.

    Attributes:
        act: What the client says, or does, to make the event happen.
        truth: A pattern of the true answer.
        lead: How it comes there.
        before: A pattern of what is heard between the act and the event, whatever the rule asks for.
        only: The act when no answer will come, where `act` says more than is read then.
        port: Another port than the room's first.
        actions: What the vocabulary announces here.
        goes_on: The session goes on after a refusal.
        lies_on: And after a lie.
        refuse: The rule's text where the room's usual one won't do.
        say: The same.
        where: What else the rule says.
        special: Actions that are seen in another way.
    """

    act: bytes | Act
    truth: bytes
    lead: Steps = ()
    before: bytes = b""
    only: bytes | Act | None = None
    port: str = ""
    actions: tuple[str, ...] = ALL
    goes_on: bool = True
    lies_on: bool = True
    refuse: str = ""
    say: str = ""
    where: Mapping[str, object] = field(default_factory=dict)
    special: Mapping[str, tuple[object, Callable[[Place], None]]] = field(default_factory=dict)


@dataclass(frozen=True)
class Dialect:
    """How a room speaks.

    Attributes:
        room: Its name.
        port: Its first port.
        secure: Its port that begins with TLS.
        greeting: How its greeting's last line begins.
        refuse: A failure, as rules have it.
        say: A lie.
        wire: A rule's text as it is heard.
        again: What is asked afterwards to see that the session goes on, and how its answer begins.
    """

    room: str
    port: str
    secure: str
    greeting: bytes
    refuse: str
    say: str
    wire: Callable[[str], bytes]
    again: tuple[bytes, bytes]


def cells(dialect: Dialect, scenes: Mapping[str, Scene]) -> Iterator[Cell]:
    """Every cell of a room; `connect` and `greeting` are there already, and `tls` where there is a port for it."""
    yield from _early(dialect)
    if dialect.secure:
        yield from handshake_cells(dialect.room, dialect.secure)
    for verb, scene in scenes.items():
        for action in scene.actions:
            then, see = _views(dialect, scene)[action]
            yield Cell(dialect.room, verb, action, {"reset" if action == "bytes" else action: then}, see, scene.where)
        for action, (then, see) in scene.special.items():
            yield Cell(dialect.room, verb, action, {"reset" if action == "bytes" else action: then}, see, scene.where)


View = tuple[object, Callable[[Place], None]]


def _views(dialect: Dialect, scene: Scene) -> dict[str, View]:
    refuse, say = scene.refuse or dialect.refuse, scene.say or dialect.say
    steps = [{"say": say}, {"delay": "1ms"}, {"say": say}]
    heard = dialect.wire(say) * 2
    return {
        "refuse": (refuse, partial(_says, dialect, scene, dialect.wire(refuse), scene.goes_on)),
        "say": (say, partial(_says, dialect, scene, dialect.wire(say), scene.lies_on)),
        "script": (steps, partial(_says, dialect, scene, heard, scene.lies_on)),
        "silence": (True, partial(_is_silent, dialect, scene)),
        "delay": (DELAY_S, partial(_is_late, dialect, scene)),
        "hang_up": (True, partial(_hangs_up, dialect, scene)),
        "bytes": (True, partial(_resets, dialect, scene)),
    }


def led(dialect: Dialect, scene: Scene, place: Place) -> Client:
    """A client at the moment before the event."""
    client = Client(place.connect(scene.port or dialect.port))
    client.greeting = client.line(dialect.greeting)
    for say, beginning in scene.lead:
        client.say(say)
        client.line(beginning)
    return client


def act(place: Place, client: Client, what: bytes | Act) -> None:
    if isinstance(what, bytes):
        client.say(what)
    else:
        what(place, client)


def _says(dialect: Dialect, scene: Scene, words: bytes, goes_on: bool, place: Place) -> None:
    with led(dialect, scene, place) as client:
        act(place, client, scene.act)
        heard = client.until(re.escape(words))
        assert re.fullmatch(scene.before + re.escape(words), heard, re.DOTALL), heard
        if goes_on:
            client.say(dialect.again[0])
            client.line(dialect.again[1])


def _is_silent(dialect: Dialect, scene: Scene, place: Place) -> None:
    with led(dialect, scene, place) as client:
        act(place, client, scene.act if scene.only is None else scene.only)
        place.acted()  # a half-close that comes before it could end it all
        client.say(dialect.again[0])
        heard = client.ended()
        assert re.fullmatch(scene.before, heard, re.DOTALL), heard


def _is_late(dialect: Dialect, scene: Scene, place: Place) -> None:
    with led(dialect, scene, place) as client:
        begun = time.monotonic()
        act(place, client, scene.act)
        heard = client.until(scene.truth)
        took = time.monotonic() - begun
        assert took >= LEAST_S, f"{heard!r} after {took:.3f} s"


def _hangs_up(dialect: Dialect, scene: Scene, place: Place) -> None:
    with led(dialect, scene, place) as client:
        act(place, client, scene.act if scene.only is None else scene.only)
        heard = client.rest()
        assert re.fullmatch(scene.before, heard, re.DOTALL), heard


def _resets(dialect: Dialect, scene: Scene, place: Place) -> None:
    with led(dialect, scene, place) as client:
        act(place, client, scene.act if scene.only is None else scene.only)
        client.is_reset()


# Before anything is said


def _early(dialect: Dialect) -> Iterator[Cell]:
    room = dialect.room
    refuse, say = _GREETINGS[dialect.room]
    for action, text in (("refuse", refuse), ("say", say)):
        see = partial(_greets, dialect, text.encode() + b"\r\n", action == "say")
        yield Cell(room, "greeting", action, {action: text}, see)
    steps = [{"say": say}, {"delay": "1ms"}, {"say": say}]
    see = partial(_greets, dialect, (say.encode() + b"\r\n") * 2, True)
    yield Cell(room, "greeting", "script", {"script": steps}, see)
    # The RST at `connect` comes last: the room greets a client that is gone, which would spend a rule that is set next.
    for verb in ("greeting", "connect"):
        yield Cell(room, verb, "delay", {"delay": DELAY_S}, partial(_greets_late, dialect))
        yield Cell(room, verb, "hang_up", {"hang_up": True}, partial(_greets_never, dialect, ends=True))
        yield Cell(room, verb, "silence", {"silence": True}, partial(_greets_never, dialect, ends=False))
        yield Cell(room, verb, "bytes", {"reset": True}, partial(_greets_with_a_reset, dialect))


_GREETINGS = {
    "smtp": ("421 4.3.2 come back tomorrow", "220 relay.test ESMTP somebody else"),
    "pop3": ("-ERR come back tomorrow", "+OK somebody else"),
    "imap": ("* BYE come back tomorrow", "* OK somebody else"),
    "ftp": ("421 come back tomorrow", "220 somebody else"),
}


def _greets_late(dialect: Dialect, place: Place) -> None:
    begun = time.monotonic()
    with Client(place.connect(dialect.port)) as client:
        client.line(dialect.greeting)
        took = time.monotonic() - begun
        assert took >= LEAST_S, f"after {took:.3f} s"


def _greets_never(dialect: Dialect, place: Place, *, ends: bool) -> None:
    with Client(place.connect(dialect.port)) as client:
        place.acted()
        assert (client.rest() if ends else client.ended()) == b""


def _greets_with_a_reset(dialect: Dialect, place: Place) -> None:
    with Client(place.connect(dialect.port)) as client:
        client.is_reset()


def _greets(dialect: Dialect, words: bytes, goes_on: bool, place: Place) -> None:
    with Client(place.connect(dialect.port)) as client:
        if goes_on:
            assert client.until(re.escape(words)) == words
            client.say(dialect.again[0])
            client.line(dialect.again[1])
        else:
            assert client.rest() == words
