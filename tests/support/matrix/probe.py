"""Looks at cells from wherever it runs, and prints a report as JSON: `python -m tests.support.matrix.probe <place as JSON>`."""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor

from tests.support.matrix.place import Place, look_at
from tests.support.matrix.rooms import ROOMS


def look(place: Place, room: str) -> dict[str, str]:
    """A room's report."""
    return look_at(place, ROOMS[room](place))


def main() -> None:
    """Look at every room at once."""
    told = json.loads(sys.argv[1])
    place = Place(tuple(told["console"]), told["ports"])
    with ThreadPoolExecutor(len(ROOMS)) as pool:
        reports = dict(zip(ROOMS, pool.map(lambda room: look(place, room), ROOMS), strict=True))
    json.dump(reports, sys.stdout)


if __name__ == "__main__":
    main()
