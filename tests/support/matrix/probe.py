"""Looks at cells from wherever it runs, and prints what was wrong as JSON: `python -m tests.support.matrix.probe '<place as JSON>'`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from tests.support.matrix.joined import JOINABLE, joined_cells
from tests.support.matrix.midst import MOMENTS, midst_cells
from tests.support.matrix.octets import SPEECHES, octet_cells
from tests.support.matrix.place import Cell, Place, look_at
from tests.support.matrix.rooms import ROOMS

Report = dict[str, dict[str, str]]
"""By room, by cell: what was wrong, or nothing."""


def meanings(place: Place) -> Report:
    """Every verb and action of every room."""
    return _at_once(place, ROOMS)


def octets(place: Place) -> Report:
    """Every fault of bytes in every room."""
    return _at_once(place, {room: partial(octet_cells, room) for room in SPEECHES})


def midst(place: Place) -> Report:
    """Every fault of bytes that is armed later on."""
    return _at_once(place, {room: partial(midst_cells, room) for room in MOMENTS})


def joined(place: Place) -> Report:
    """A RST in a sandbox, by every means to join it."""
    return _at_once(place, {room: partial(joined_cells, room) for room in JOINABLE})


def _at_once(place: Place, rooms: Mapping[str, Callable[[Place], Iterator[Cell]]]) -> Report:
    """All rooms at once, but first what each of them prepares: it may meet another one's rules."""
    prepared = []
    for make in rooms.values():
        own = Place(place.console, place.ports, place.sandbox)
        prepared.append((own, list(make(own))))
        own.close()
    with ThreadPoolExecutor(len(rooms)) as pool:
        return dict(zip(rooms, pool.map(lambda each: look_at(*each), prepared), strict=True))


def main() -> None:
    """Look at all of them."""
    told = json.loads(sys.argv[1])
    console, ports = tuple(told["console"]), {name: tuple(where) for name, where in told["ports"].items()}
    place, own = Place(console, ports), Place(console, ports, told["sandbox"])
    seen = {
        "octets": octets(place),
        "midst": midst(place),
        "own": midst(own),
        "joined": joined(own),
        "meanings": meanings(place),
        "peer": place.own_address(),
    }
    json.dump(seen, sys.stdout)


if __name__ == "__main__":
    main()
