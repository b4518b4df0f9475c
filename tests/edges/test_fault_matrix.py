"""Room by verb by action, embedded: every cell that the vocabularies announce, observed by a client that knows nothing of rules.

The same cells are looked at in containers, from inside their network: tests/containers/test_fault_matrix.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from portyard.commons.scenario.vocabulary import FAULTS
from portyard.rooms import cards
from portyard.testing import Testbed
from tests.support.matrix.place import Place, look_at
from tests.support.matrix.rooms import ROOMS

VOCABULARIES = {card.vocabulary.room: card.vocabulary for card in cards() if card.vocabulary is not None}
ELSEWHERE = {"persona"}  # a whole character, which its own tests know


def place_of(testbed: Testbed) -> Place:
    ports = {str(endpoint["port"]): ("127.0.0.1", endpoint["host_number"]) for endpoint in testbed.endpoints}
    return Place((testbed.control.host, testbed.control.port), ports)


def announced(room: str) -> set[tuple[str, str]]:
    """Every verb with its actions; the faults of bytes as one, for each of them is seen at `connect` (test_wire_rules.py)."""
    found = set()
    for name, verb in VOCABULARIES[room].verbs.items():
        found |= {(name, action) for action in verb.actions - FAULTS - ELSEWHERE}
        found |= {(name, "bytes")} if verb.actions >= FAULTS else set()
    return found


def test_every_room_is_there() -> None:
    assert ROOMS.keys() == VOCABULARIES.keys()


@pytest.mark.parametrize("room", ROOMS)
def test_every_cell(room: str, tmp_path: Path) -> None:
    with Testbed.embedded(state=str(tmp_path)) as testbed:
        place = place_of(testbed)
        cells = list(ROOMS[room](place))
        assert {(cell.verb, cell.action) for cell in cells} == announced(room)
        assert len(cells) == len(announced(room))
        report = look_at(place, cells)
    assert {name: wrong for name, wrong in report.items() if wrong} == {}


def test_a_cell_tells_what_it_misses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is seen of a rule that does nothing: every cell must be able to fail."""
    monkeypatch.setattr("tests.support.matrix.place.PATIENCE_S", 0.3)

    class Idle(Place):
        def rule(self, on: str, then: Mapping[str, object], **more: object) -> str:
            return super().rule(on, then, **more, skip=1000)

    with Testbed.embedded(state=str(tmp_path)) as testbed:
        place = place_of(testbed)
        report = look_at(Idle(place.console, place.ports), list(ROOMS["dns"](place)))
        place.close()
    assert all(report.values()), report
