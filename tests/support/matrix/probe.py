"""Looks at cells from wherever it runs, and prints what was wrong as JSON: `python -m tests.support.matrix.probe '<place as JSON>'`."""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor

from tests.support.matrix.octets import SPEECHES, octet_cells
from tests.support.matrix.place import Place, look_at
from tests.support.matrix.rooms import ROOMS

Report = dict[str, dict[str, str]]
"""By room, by cell: what was wrong, or nothing."""


def meanings(place: Place) -> Report:
    """Every verb and action of every room, the rooms at once."""
    with ThreadPoolExecutor(len(ROOMS)) as pool:
        reports = pool.map(lambda room: look_at(place, ROOMS[room](place)), ROOMS)
        return dict(zip(ROOMS, reports, strict=True))


def octets(place: Place) -> Report:
    """Every fault of bytes in every room, the rooms at once."""
    with ThreadPoolExecutor(len(SPEECHES)) as pool:
        reports = pool.map(lambda room: look_at(place, octet_cells(room, place)), SPEECHES)
        return dict(zip(SPEECHES, reports, strict=True))


def main() -> None:
    """Look at all of them."""
    told = json.loads(sys.argv[1])
    place = Place(tuple(told["console"]), {name: tuple(where) for name, where in told["ports"].items()})
    json.dump({"octets": octets(place), "meanings": meanings(place), "peer": place.own_address()}, sys.stdout)


if __name__ == "__main__":
    main()
