"""Draws each room's state table as Mermaid into docs/states/, and lists which RFC sections the code cites where.

`make diagrams` writes the files; tests/law/test_drawings.py fails when they are stale.
"""

from __future__ import annotations

import importlib
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "services" / "portyard"
STATES = ROOT / "docs" / "states"
CITATIONS = ROOT / "docs" / "rfc" / "citations.md"
# "RFC 5321 §4.4", and "RFC 1939 §4, §6" for several sections of one.
_CITATION = re.compile(r"RFC (\d{3,5})((?:,? §[\d.]+\d)*)")


def spoken_rooms() -> list[str]:
    """The rooms whose states are a table."""
    return sorted(path.parents[1].name for path in PACKAGE.glob("*/core/state.py"))


def drawing(room: str) -> str:
    """A room's table as a Markdown page with a Mermaid diagram."""
    rules = importlib.import_module(f"portyard.{room}.core.state").RULES
    edges: dict[tuple[str, str], list[str]] = defaultdict(list)
    for phase, row in rules.items():
        for command, after in row.items():
            for label, target in _moves(command, phase, after):
                edges[phase.name, target.name].append(label)
    out = [f"# The states of {room}", "", "```mermaid", "stateDiagram-v2"]
    out += [f"    [*] --> {next(iter(rules)).name}"]
    for (source, target), labels in edges.items():
        out.append(f"    {source} --> {target}: {', '.join(labels)}")
    return "\n".join([*out, "```", ""])


def _moves(command: type, phase: Enum, after: object) -> Iterator[tuple[str, Enum]]:
    name = command.__name__.upper()
    if isinstance(after, Enum):
        yield name, after
    elif isinstance(after, Mapping):
        if not after:
            yield name, phase
        for outcome, target in after.items():
            yield (name if outcome.name == "OK" else f"{name} {outcome.name}"), target


def citations() -> str:
    """Which sections of which RFC are cited in which files."""
    found: dict[int, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for path in sorted(PACKAGE.rglob("*.py")):
        place = str(path.relative_to(PACKAGE))
        for number, sections in _CITATION.findall(path.read_text()):
            for section in re.findall(r"§([\d.]*\d)", sections) or ["whole"]:
                found[int(number)][section].add(place)
    out = ["# Which RFC is obeyed where", "", "Written by `make diagrams` from the comments that cite a section.", ""]
    for number in sorted(found):
        out += [f"## RFC {number}", ""]
        for section in sorted(found[number], key=_by_number):
            out.append(
                f"- {'§' + section if section != 'whole' else section}: {', '.join(sorted(found[number][section]))}"
            )
        out.append("")
    return "\n".join(out)


def _by_number(section: str) -> tuple[int, ...]:
    return tuple(int(part) for part in section.split(".") if part.isdigit())


def pages() -> dict[Path, str]:
    """Every page that is drawn, by its path."""
    drawn = {STATES / f"{room}.md": drawing(room) for room in spoken_rooms()}
    return drawn | {CITATIONS: citations()}


def main() -> None:
    """Write them all."""
    for path, text in pages().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        print(f"drawn: {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
