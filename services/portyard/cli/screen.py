"""What the commands write with: the two screens, plain tables, refusals in one line."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import NoReturn

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

GAP = 2  # columns between two of a table's
LEAST = 12  # columns that are left to the one that gives way
WIDE = 140  # columns of a table that goes to a file or a pipe
sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115 - whoever started us may have closed it, for good
sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115 - as above


class Screen(Console):
    """A console that is quiet, and no failure, once whoever read it has gone."""

    def on_broken_pipe(self) -> NoReturn:
        """See Console."""
        fall_silent()


def fall_silent() -> NoReturn:
    """Whoever read our output has gone: say nothing more, not at exit either."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    raise typer.Exit(0)


screen = Screen(width=None if sys.stdout.isatty() else WIDE)
errors = Console(stderr=True, width=None if sys.stderr.isatty() else WIDE)


def fail(error: Exception | str, status: int = 1) -> NoReturn:
    """Say in one line why it can't be done, and end."""
    errors.print(Text(f"portyard: {printable(' '.join(str(error).split()))}", style="red"), soft_wrap=True)
    raise typer.Exit(status)


def say(text: str) -> None:
    """A line as it stands: no markup, no wrapping."""
    screen.print(Text(text), soft_wrap=True)


def printable(text: str) -> str:
    """Text that can't steer a terminal: what a peer sent may hold escape sequences."""
    return "".join(c if c.isprintable() or c in "\t\n" else c.encode("unicode_escape").decode() for c in text)


def table(
    titles: Sequence[str], rows: Iterable[Sequence[object]], *, giving: str = "", right: Sequence[str] = ()
) -> None:
    """A table of plain text; the column `giving` is cut where the screen is narrow, the others are folded between words.

    Where it is narrower still, no word is broken: the lines are longer than the screen, which goes on below.

    Args:
        titles: The columns' titles.
        rows: Their cells.
        giving: The column that gives way.
        right: The columns that hold numbers.
    """
    cells = [[Text(printable(str(cell)).replace("\n", " ")) for cell in row] for row in rows]
    widths = [max([len(title), *(row[column].cell_len for row in cells)]) for column, title in enumerate(titles)]
    console = _wide_enough(titles, cells, widths, giving)
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for title in titles:
        whole = title in (giving, titles[0])  # a name or id in two pieces could be neither read nor copied
        shown.add_column(title, no_wrap=whole, overflow="fold", justify="right" if title in right else "left")
    if giving:  # Rich would rather fold the others
        column = titles.index(giving)
        left = console.width - GAP * (len(titles) - 1) - sum(widths) + widths[column]
        for row in cells:
            row[column].truncate(max(left, LEAST), overflow="ellipsis")
    for row in cells:
        shown.add_row(*row)
    console.print(shown)


def _wide_enough(titles: Sequence[str], cells: list[list[Text]], widths: list[int], giving: str) -> Console:
    """The screen, or where even folded columns would break words one that is wide enough, of whole lines of the screen."""
    gaps, least, whole = GAP * (len(titles) - 1), 0, 0
    for column, title in enumerate(titles):
        words = [Text(word).cell_len for row in cells for word in row[column].plain.split()]
        folded = widths[column] if column == 0 else max([len(title), *words])
        least += min(widths[column], LEAST) if title == giving else folded
        whole += min(widths[column], LEAST) if title == giving else widths[column]
    if gaps + least <= screen.width:
        return screen
    return Screen(file=screen.file, width=-(-(gaps + whole) // screen.width) * screen.width)


def write_json(found: object) -> None:
    """What the API answered, for scripts."""
    sys.stdout.write(json.dumps(found, indent=2, ensure_ascii=False) + "\n")


def moment(text: str) -> str:
    """A moment as a list shows it, in the time of this machine's place."""
    return datetime.fromisoformat(text).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def deliver(octets: bytes, output: Path | None, *, binary: bool) -> None:
    """Octets to a file or to standard output; a terminal gets no binary ones."""
    if output is not None and str(output) != "-":
        try:
            output.write_bytes(octets)
        except OSError as error:
            fail(f"{output}: {error.strerror}; choose another file with --output")
        errors.print(Text(f"{output}: {len(octets)} octets"), soft_wrap=True)
        return
    if binary and output is None and sys.stdout.isatty():
        fail("this would write binary octets to the terminal; give a file with --output, or pipe it on")
    sys.stdout.buffer.write(octets)
    sys.stdout.buffer.flush()
