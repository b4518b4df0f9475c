"""The tables on the screen, and as files under `benchmarks/results/`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import rich.table
from rich import box
from rich.console import Console

from benchmarks.figures import Outcome, Table

RESULTS = Path(__file__).parent / "results"


def show(outcome: Outcome, screen: Console) -> None:
    """Print an outcome's tables."""
    for table in outcome.tables:
        drawn = rich.table.Table(
            title=table.title, title_justify="left", box=box.SIMPLE_HEAD, caption=table.note, caption_justify="left"
        )
        for number, column in enumerate(table.columns):
            drawn.add_column(column, justify="left" if number == 0 else "right", overflow="fold")
        reasons = []
        for row in table.rows:
            if len(row) == len(table.columns):
                drawn.add_row(*row)
            else:
                reasons.append(row)
        screen.print(drawn)
        for row in reasons:
            screen.print("   " + ": ".join(row), markup=False, highlight=False)


def markdown(facts: Mapping[str, str], outcomes: Mapping[str, Outcome]) -> str:
    """The whole report."""
    lines = ["| | |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in facts.items()), ""]
    for outcome in outcomes.values():
        for table in outcome.tables:
            lines += [f"### {table.title}", "", *_rows(table), ""]
            if table.note:
                lines += [table.note, ""]
    return "\n".join(lines)


def _rows(table: Table) -> list[str]:
    width = len(table.columns)
    heads = [f"| {' | '.join(table.columns)} |", f"| --- |{' ---: |' * (width - 1)}"]
    cells = (row + ("",) * (width - len(row)) for row in table.rows)
    return heads + [f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in cells]


def write(facts: Mapping[str, str], outcomes: Mapping[str, Outcome]) -> Path:
    """Write `latest.md` and `latest.json`; the first one's path."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / "latest.md"
    path.write_text("# Benchmarks\n\n" + markdown(facts, outcomes))
    data: dict[str, Any] = {"facts": facts, **{name: outcome.data for name, outcome in outcomes.items()}}
    (RESULTS / "latest.json").write_text(json.dumps(data, indent=1) + "\n")
    return path
