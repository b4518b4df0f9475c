"""Room by fault of bytes, embedded: each listener misbehaves as a rule says, at `connect` or in the midst, seen from a raw socket."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from portyard.commons.scenario.vocabulary import FAULTS
from portyard.testing import Testbed
from tests.support.matrix.joined import JOINABLE, joined_cells
from tests.support.matrix.midst import MOMENTS, Moment, midst_cells
from tests.support.matrix.octets import SPEECHES, octet_cells
from tests.support.matrix.place import Client, Place, look_at


def place_of(testbed: Testbed) -> Place:
    ports = {str(endpoint["port"]): ("127.0.0.1", endpoint["host_number"]) for endpoint in testbed.endpoints}
    return Place((testbed.control.host, testbed.control.port), ports)


@pytest.fixture(scope="module")
def testbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Testbed]:
    with Testbed.embedded(state=str(tmp_path_factory.mktemp("state"))) as running:
        yield running


@pytest.fixture
def place(testbed: Testbed) -> Iterator[Place]:
    """Before any name is known a connection is `default`'s."""
    testbed.control.delete("sandboxes/default/rules")
    found = place_of(testbed)
    yield found
    found.close()
    testbed.control.delete("sandboxes/default/rules")


@pytest.fixture
def own_place(testbed: Testbed, place: Place) -> Iterator[Place]:
    """The shared listeners, and a sandbox that sessions have to name."""
    with testbed.own_sandbox() as own:
        found = Place(place.console, place.ports, own.name)
        yield found
        found.close()


@pytest.mark.parametrize("room", SPEECHES)
def test_every_fault(place: Place, room: str) -> None:
    cells = list(octet_cells(room, place))
    assert {cell.action for cell in cells} == {f"{fault} {way}" for fault in FAULTS for way in ("down", "up")}
    report = look_at(place, cells)
    assert {name: wrong for name, wrong in report.items() if wrong} == {}


def announced(moment: Moment) -> set[str]:
    return {f"{moment.room}.{moment.verb} {fault} {way}" for fault in FAULTS for way in moment.ways}


@pytest.mark.parametrize("room", MOMENTS)
def test_every_fault_in_the_midst(place: Place, room: str) -> None:
    cells = list(midst_cells(room, place))
    assert {cell.name for cell in cells} == set().union(*map(announced, MOMENTS[room]))
    report = look_at(place, cells)
    assert len(report) == len(cells)
    assert {name: wrong for name, wrong in report.items() if wrong} == {}


@pytest.mark.parametrize("room", MOMENTS)
def test_every_fault_in_the_midst_of_a_sandbox(own_place: Place, room: str) -> None:
    """The same on the listeners that all share, where the session has to name the sandbox first."""
    cells = list(midst_cells(room, own_place))
    assert {cell.name for cell in cells} == set().union(*map(announced, MOMENTS[room]))
    report = look_at(own_place, cells)
    assert {name: wrong for name, wrong in report.items() if wrong} == {}


@pytest.mark.parametrize("room", JOINABLE)
def test_every_means_to_join_a_sandbox(own_place: Place, room: str) -> None:
    cells = list(joined_cells(room, own_place))
    assert cells
    report = look_at(own_place, cells)
    assert len(report) == len(cells)
    assert {name: wrong for name, wrong in report.items() if wrong} == {}


def test_every_room_is_joined() -> None:
    assert set(JOINABLE) == set(MOMENTS)


def test_every_room_has_its_midst() -> None:
    """Either way; DNS alone has none, for a fault of bytes can't be asked for at a query."""
    assert MOMENTS.keys() == SPEECHES.keys() - {"dns"}
    for moments in MOMENTS.values():
        assert {way for moment in moments for way in moment.ways} == {"down", "up"}


def sockets() -> set[str]:
    """The process's sockets, each by a name of its own: those of earlier tests may go at any moment."""
    found = set()
    for descriptor in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # the listing's own
            found.add(os.readlink(f"/proc/self/fd/{descriptor}"))
    return {name for name in found if name.startswith("socket:")}


def costs(place: Place, room: str, kept: contextlib.ExitStack) -> int:
    """The sockets of one connection that is answered, its client's among them; it stays open, for closing takes its time."""
    speech = SPEECHES[room]
    before = sockets()
    client = kept.enter_context(Client(place.connect(speech.port)))
    if not speech.greets:
        client.say(speech.ask)
    client.until(rb"\A.{8}")
    return len(sockets() - before)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="sockets are counted in /proc/self/fd, which isn't here")
@pytest.mark.parametrize("room", SPEECHES)
def test_free_when_unused(room: str, tmp_path: Path) -> None:
    """No relay stands before a room that no rule asks for faults of bytes, whatever else rules ask for."""
    other = next(name for name in SPEECHES if name != room)
    with Testbed.embedded(state=str(tmp_path)) as alone, contextlib.ExitStack() as kept:
        place = place_of(alone)
        costs(place, room, kept)  # what the room's first connection opens for good
        assert costs(place, room, kept) == 2

        def rule(on: str, then: dict[str, object]) -> None:
            alone.control.post("sandboxes/default/rules", {"on": on, "skip": 1000, "then": then})

        rule(f"{room}.connect", {"delay": "1ms"})
        rule(f"{other}.connect", {"latency": "1ms"})
        assert costs(place, room, kept) == 2
        rule(f"{room}.connect", {"latency": "1ms"})
        assert costs(place, room, kept) == 4, "a relay's pair would be counted"


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="sockets are counted in /proc/self/fd, which isn't here")
def test_free_of_what_no_session_can_name(tmp_path: Path) -> None:
    """Other sandboxes' rules put relays before a room only where a session of it may come to mean them."""
    with Testbed.embedded(state=str(tmp_path)) as alone, alone.own_sandbox() as own, contextlib.ExitStack() as kept:
        place = place_of(alone)
        costs(place, "imap", kept)
        own.imap.latency(0.001)  # at `connect`: on listeners of its own
        own.pop3.reset(on="stat")
        assert costs(place, "imap", kept) == 2
        rule = own.imap.reset(on="noop")
        assert costs(place, "imap", kept) == 4
        rule.remove()
        assert costs(place, "imap", kept) == 2
        for magic, sockets_of_it in ((True, 4), (False, 2)):
            place.ask("PATCH", f"sandboxes/{own.name}", {"magic": magic})
            place.close()
            assert costs(place, "imap", kept) == sockets_of_it


def test_the_peer_is_the_clients_own(testbed: Testbed, place: Place) -> None:
    """With a relay between as without."""
    for then in ({"delay": "1ms"}, {"latency": "1ms"}):
        place.rule("pop3.connect", then)
        with Client(place.connect("pop3")) as client:
            client.line(b"+OK")
            (newest,) = testbed.control.get("sandboxes/default/sessions", room="pop3", limit=1)
            assert newest["peer"].endswith(f":{client.sock.getsockname()[1]}")
