"""The personas that the rooms bring: one TOML file each, in a room's folder `personas`."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path

import portyard
from portyard.console.forms import Persona
from portyard.rooms import ROOMS

_PACKAGE = Path(portyard.__file__).parent


@cache
def personas(package: Path = _PACKAGE) -> tuple[Persona, ...]:
    """Every persona of the rooms in a package, by room and name."""
    files = [(room, path) for room in ROOMS for path in sorted((package / room / "personas").glob("*.toml"))]
    return tuple(_persona(room, path) for room, path in files)


def _persona(room: str, path: Path) -> Persona:
    values = tomllib.loads(path.read_text())
    return Persona(str(values.get("name", path.stem)), room, str(values.get("summary", "")))
