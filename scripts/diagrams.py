"""Draws the rooms' state tables as Mermaid, lists which RFC sections the code cites where, and what rules may ask of whom.

`make diagrams` writes the files; tests/law/test_drawings.py fails when they are stale.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path

from portyard.commons.scenario.actions import ACTIONS, Kind
from portyard.commons.scenario.vocabulary import FAULTS as BYTES
from portyard.commons.scenario.vocabulary import Field, FieldKind, Vocabulary
from portyard.console.core.unseen import HIDDEN, PEER
from portyard.rooms import cards

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "services" / "portyard"
STATES = ROOT / "docs" / "states"
FAULTS = ROOT / "docs" / "faults.md"
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


FAULTS_HEAD = """\
# What rules may ask of whom

Written by `make diagrams` from the rooms' vocabularies; what a room can't honour is refused when the rule is set, with the reason.

A rule is asked before the state moves. `refuse`: client and server agree that it failed. `say`: the state moves and the answer lies.
`silence`: nothing more is said. `delay`, `hang_up`, `script`. `respond`: a stub's whole answer. `tls`: the certificate or demand, by name.
The faults of bytes (`latency`, `bandwidth`, `slice`, `stall`, `cut_after`, `reset`, `half_close`, `corrupt`) do what TCP can do, `up` from
the client, `down` to it; a rule at `connect` arms them at once, at another verb from that moment on, whichever sandbox the session joined
by then. Every verb also has the fields `role`, `peer`, `account` and `port`; what its own are stands below each table.

Faults of bytes need a relay before the room, which is put in when a connection is accepted, and only while some rule asks the room for such
faults (or a sandbox has magic on): without one they cost nothing. A connection that was accepted before any such rule stood, say of a
client's pool or an open IDLE, can only be reset at once. For all else it stays as it is: the rule fires and counts a hit, and behind its
`fault` the journal has an `error` event whose `undone` names the faults that nothing came of. A new connection meets them.

"""
ENGINES = """\
## What is seen where

A client of an embedded testbed sees all of it as it is, and so does one inside the containers' network: another service of the compose
project, `docker compose run`, or `docker run --network`. A client on the host comes by Docker's published ports, where a proxy stands
between: it opens a connection of its own to the service, and carries octets and the end of each direction.

✓ it is seen on either engine, through published ports too · ◐ on either engine, in containers only from inside the network · – no verb of
the room has it, for the reason that the refusal tells

"""
BYTES_HEAD = """
## Where faults of bytes are looked at

The tests look at all eight of them, from a client that knows nothing of rules, at these verbs: ↓ on what comes to the client from the event
on, ↑ on what it says from then on. Embedded and from inside the containers' network all of it; through published ports `connect` alone. All
but `connect` once more for a sandbox that the session joins on the shared listeners, and a RST by every means that a room has to name one.
SSH's octets are encrypted: from `exec` on an SSH client tells what became of them. FTP's `data_connect` and `transfer` are the data
connection's, its other verbs the control connection's.

"""
PUBLISHED = """
What published ports don't carry; a rule that asks for it answers with the same words as its `warnings`, which `portyard rules` and the kit
show:

"""
MOST_VALUES = 8  # of a field: more aren't listed
PEER_HIDDEN = 'who connects (`where.peer`, `per = "peer"`, a session\'s `peer`)'


def faults() -> str:
    """The rooms' vocabularies as tables."""
    out = [FAULTS_HEAD, ENGINES + engines() + BYTES_HEAD + looked_at()]
    for card in cards():
        if card.vocabulary is None:
            continue
        out += [f"## {card.name}", "", "| verb | when | fields | actions |", "| --- | --- | --- | --- |"]
        for name, verb in card.vocabulary.verbs.items():
            fields = ", ".join(f"`{field}`" for field in verb.fields)
            actions = ", ".join(sorted(verb.actions - BYTES)) + (" · bytes" if verb.actions >= BYTES else "")
            out.append(f"| `{name}` | {verb.summary} | {fields} | {actions} |")
        out += ["", *meanings(card.vocabulary), ""]
    return "\n".join(out)


def meanings(room: Vocabulary) -> list[str]:
    """What each field of a room's events is; where verbs mean different things by it, each with its own."""
    found: dict[str, dict[str, list[str]]] = {}
    for name, verb in room.verbs.items():
        for field, declared in verb.fields.items():
            found.setdefault(field, {}).setdefault(_meaning(declared), []).append(name)
    lines = []
    for field, told in found.items():
        alone = len(told) == 1
        parts = (meaning if alone else f"{meaning} ({', '.join(verbs)})" for meaning, verbs in told.items())
        lines.append(f"- `{field}`: {' · '.join(parts)}")
    return lines


def _meaning(field: Field) -> str:
    kind = {FieldKind.NUMBER: "number", FieldKind.FLAG: "flag"}.get(field.kind, "")
    values = f"one of {', '.join(field.values)}" if field.values and len(field.values) < MOST_VALUES else ""
    told = ", ".join(word for word in (kind, values) if word)
    summary = field.summary.rstrip(".")
    return f"{summary} [{told}]" if told and summary else summary or told


def engines() -> str:
    """Room by fault: how it can be observed on which engine."""
    rooms = [card.vocabulary for card in cards() if card.vocabulary is not None]
    words = [name for name, spec in ACTIONS.items() if spec.kind is not Kind.STEP]
    out = [f"| | {' | '.join(room.room for room in rooms)} |", f"| --- |{' :-: |' * len(rooms)}"]
    for word in words:
        marks = []
        for room in rooms:
            has = any(word in verb.actions for verb in room.verbs.values())
            marks.append("–" if not has else "◐" if word in HIDDEN else "✓")
        out.append(f"| `{word}` | {' | '.join(marks)} |")
    hidden = [f"- `{word}`: {warning}" for word, warning in HIDDEN.items()]
    return "\n".join(out) + "\n" + PUBLISHED + "\n".join([*hidden, f"- {PEER_HIDDEN}: {PEER}"]) + "\n"


def looked_at() -> str:
    """Room by direction: the verbs at which the fault matrix has every fault of bytes."""
    sys.path.insert(0, str(ROOT))
    from tests.support.matrix.midst import MOMENTS
    from tests.support.matrix.octets import SPEECHES

    out = ["| | ↓ | ↑ |", "| --- | --- | --- |"]
    for room in SPEECHES:
        moments = MOMENTS.get(room, ())
        ways = ([moment.verb for moment in moments if way in moment.ways] for way in ("down", "up"))
        cells = (", ".join(f"`{verb}`" for verb in dict.fromkeys(["connect", *verbs])) for verbs in ways)
        out.append(f"| {room} | {' | '.join(cells)} |")
    return "\n".join(out) + "\n"


def _by_number(section: str) -> tuple[int, ...]:
    return tuple(int(part) for part in section.split(".") if part.isdigit())


def pages() -> dict[Path, str]:
    """Every page that is drawn, by its path."""
    drawn = {STATES / f"{room}.md": drawing(room) for room in spoken_rooms()}
    return drawn | {CITATIONS: citations(), FAULTS: faults()}


def main() -> None:
    """Write them all."""
    for path, text in pages().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        print(f"drawn: {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
