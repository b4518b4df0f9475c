"""Looks at cells from wherever it runs, and prints what was wrong as JSON: `python -m tests.support.matrix.probe '<place as JSON>'`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial

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


def _at_once(place: Place, rooms: Mapping[str, Callable[[Place], Iterator[Cell]]]) -> Report:
    """All rooms at once, but first what each of them prepares: it may meet another one's rules."""
    prepared = []
    for make in rooms.values():
        own = Place(place.console, place.ports)
        prepared.append((own, list(make(own))))
        own.close()
    with ThreadPoolExecutor(len(rooms)) as pool:
        return dict(zip(rooms, pool.map(lambda each: look_at(*each), prepared), strict=True))


def main() -> None:
    """Look at all of them."""
    told = json.loads(sys.argv[1])
    place = Place(tuple(told["console"]), {name: tuple(where) for name, where in told["ports"].items()})
    json.dump(
        {"octets": octets(place), "midst": midst(place), "meanings": meanings(place), "peer": place.own_address()},
        sys.stdout,
    )


if __name__ == "__main__":
    main()
