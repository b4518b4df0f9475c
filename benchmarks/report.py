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

PUBLISHED = Path(__file__).parents[1] / "docs" / "benchmarks.md"
INTRODUCTION = """# Benchmarks

`make bench` measures the testbed beside other servers; `python -m benchmarks --quick` is a coarse version of a few minutes,
`--only smtp,startup,memory,containers,imap,journal,kit,rules` selects, `--publish` writes this page. What follows is one run as it came.
One room's journal or rules: `python -m benchmarks --only journal --rooms websocket --seconds 20`.

How to read it:

- **Ratios first.** All servers of a table run at the same time and have their turns round after round, so that whatever else the
  machine does hits all alike; a ratio is the median of the rounds' own ratios. Absolute figures are this machine's, and that hour's.
- **The journal's and the rules' cost** is the difference of two sides of one process, which work in turn in slices of 25 ms: the same
  connections side by side, in an order by chance, each slice with the processor time (in nanoseconds) of all that it caused. The figure is
  the ratio of the sides' means, so that what happens seldom is in it; the interval holds 95 of 100 such runs (a bootstrap over blocks of
  slices); and each row has a null comparison, of a side with itself, which shows what the measure makes of nothing.
- **One load generator** drives every server: an asyncio client on uvloop in a process of its own, 4 KiB messages with one recipient,
  eight connections, one command at a time (pipelined only where the table says so, and only at servers that announce it). Its own
  share of a processor stands beside its figures.
- **The peers** listen on loopback and do less: aiosmtpd alone, with a handler that drops every message; mail-devel, which keeps
  messages in memory; MailDev 2 (Node), which parses them and writes files; Postfix's smtp-sink (C), which reads and forgets. A peer
  that can't be had is listed with the reason.
- **Ours** is `portyard serve all` on a state directory on disk: one process holds all eleven services. 250 after DATA means committed.
  Behind the MTA and the MSA the chain delivers the same messages on the same processors while the next are accepted; the MSA's also
  ask the DNS room, and go from hop to hop through TLS.

"""
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


def write(facts: Mapping[str, str], outcomes: Mapping[str, Outcome], *, publish: bool = False) -> Path:
    """Write `latest.md` and `latest.json`, and docs/benchmarks.md where it is asked for; the first one's path."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / "latest.md"
    path.write_text("# Benchmarks\n\n" + markdown(facts, outcomes))
    data: dict[str, Any] = {"facts": facts, **{name: outcome.data for name, outcome in outcomes.items()}}
    (RESULTS / "latest.json").write_text(json.dumps(data, indent=1) + "\n")
    if publish:
        PUBLISHED.write_text(INTRODUCTION + markdown(facts, outcomes))
    return path
