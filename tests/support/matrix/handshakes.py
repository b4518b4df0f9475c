"""The verb `tls`, and the certificate that a rule at `connect` chooses: as Python's ssl sees them at a port that begins with TLS."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from functools import partial

from tests.support.matrix.place import DELAY_S, Cell, Client, Delayed, Place

NAME = "localhost"


ACTIONS = ("tls", "refuse", "delay", "silence", "hang_up")


def handshake_cells(room: str, port: str) -> Iterator[Cell]:
    """A room's cells at `tls`, and `connect` with a certificate."""
    views = {
        "tls": ("expired", is_expired),
        "refuse": ("access_denied", is_denied),
        "delay": (DELAY_S, is_late),
        "silence": (True, is_silent),
        "hang_up": (True, is_hung_up),
    }
    yield Cell(room, "connect", "tls", {"tls": "expired"}, partial(is_expired, port))
    for action in ACTIONS:
        then, see = views[action]
        yield Cell(room, "tls", action, {action: then}, partial(see, port))


def shake(port: str, place: Place) -> None:
    with place.connect(port) as raw, place.trusting().wrap_socket(raw, server_hostname=NAME) as secure:
        assert secure.version() == "TLSv1.3"


def fails(port: str, place: Place, words: str) -> None:
    """The handshake fails in these words."""
    told = ""
    try:
        shake(port, place)
    except ssl.SSLError as error:
        told = str(error)
    assert words in told.lower(), told or "the handshake was done"


def is_expired(port: str, place: Place) -> None:
    fails(port, place, "certificate has expired")


def is_denied(port: str, place: Place) -> None:
    fails(port, place, "access denied")


def is_late(port: str, place: Place) -> None:
    place.trusting()
    with Delayed():
        shake(port, place)


def hello() -> bytes:
    """A ClientHello."""
    context = ssl.create_default_context()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    connection = context.wrap_bio(incoming, outgoing, server_hostname=NAME)
    try:
        connection.do_handshake()
    except ssl.SSLWantReadError:
        return outgoing.read()
    raise AssertionError("a handshake without a server")


def is_silent(port: str, place: Place) -> None:
    with Client(place.connect(port)) as client:
        client.say(hello())
        place.acted()
        client.is_quiet()  # a half-close would end the handshake before the rule is asked


def is_hung_up(port: str, place: Place) -> None:
    with Client(place.connect(port)) as client:
        client.say(hello())
        assert client.rest() == b"", "an alert came, or more"
