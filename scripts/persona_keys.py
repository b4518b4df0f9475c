"""Writes docs/persona-keys.md: every key that a persona may have, told by the types that read it.

`make diagrams` runs it; tests/law/test_personas.py fails when the page is stale.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

from portyard.commons.scenario.personas import shape_of
from portyard.rooms import cards

PAGE = Path(__file__).parents[1] / "docs" / "persona-keys.md"
_HEAD = """\
# What a persona may say

Written by `make diagrams` from the rooms' `core/quirks.py`. [personas.md](personas.md) tells how to write one. A dot leads into a table.
"""


def page() -> str:
    """The whole page."""
    parts = [f"\n## {card.name}\n\n" + "\n".join(_keys(shape_of(card))) + "\n" for card in cards() if card.quirks]
    return _HEAD + "".join(parts)


def _keys(shape: type[msgspec.Struct], before: str = "") -> Iterator[str]:
    told = _attributes(shape)
    for field in msgspec.structs.fields(shape):
        kind, name = field.type, f"{before}{field.encode_name}"
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            yield from _keys(kind, f"{name}.")
        else:
            yield f"- `{name}`: {told[field.name]}"


def _attributes(shape: type) -> dict[str, str]:
    """What the docstring says of each attribute, in one line each."""
    found: dict[str, str] = {}
    name = ""
    for line in (inspect.getdoc(shape) or "").partition("Attributes:")[2].splitlines():
        if begun := re.match(r"    (\w+): (.+)", line):
            name, found[begun[1]] = begun[1], begun[2]
        elif line.strip():
            found[name] += f" {line.strip()}"
    return found


if __name__ == "__main__":
    PAGE.write_text(page())
