"""`portyard serve …` that can be steered from outside: `python benchmarks/steered.py <socket> serve all`.

Over a socket of its own it is told what is the case from now on, one word a line, each answered when it is so. Between two it costs
nothing:

    on, off        sessions that begin have a journal, or none
    ruled, bare    the rules that were set are in force, or there is none
    hold           what is noted waits until it is told to be written
    write          all that was noted is written
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from portyard.commons.journal import writing
from portyard.commons.journal.store import StoredJournal
from portyard.smtp.outlet import Outlets

HELD_S = 3600.0


class Steering:
    """What is steered.

    Args:
        path: Of the socket.

    Attributes:
        off: Whether sessions that begin now have no journal.
        books: Open and shut the rule books.
    """

    def __init__(self, path: str) -> None:
        self.off = False
        self.books: list[Callable[..., None]] = []
        self._path = path
        self._journal: StoredJournal | None = None
        self._outlets: list[Any] = []
        self._pools: dict[tuple[int, bool], Any] = {}
        self._server: asyncio.Task[asyncio.Server] | None = None

    def install(self) -> None:
        """Listen as soon as there is a journal."""
        made, kept = StoredJournal.__init__, Outlets.__init__

        def make(journal: StoredJournal, *args: Any, **named: Any) -> None:  # noqa: ANN401 - as it takes them
            made(journal, *args, **named)
            self._journal = journal
            self._server = asyncio.get_running_loop().create_task(asyncio.start_unix_server(self._obey, self._path))

        def keep(outlets: Outlets, *args: Any, **named: Any) -> None:  # noqa: ANN401
            kept(outlets, *args, **named)
            self._outlets.append(outlets)

        StoredJournal.__init__ = make  # type: ignore[method-assign]
        Outlets.__init__ = keep  # type: ignore[method-assign]

    def is_off(self) -> bool:
        """Whether the journal is off now."""
        return self.off

    async def _obey(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while word := (await reader.readline()).decode().strip():
                await self._do(word)
                writer.write(b"done\n")
        writer.close()

    async def _do(self, word: str) -> None:
        match word:
            case "on" | "off":
                self._turn(off=word == "off")
            case "ruled" | "bare":
                for turn in self.books:
                    turn(opened=word == "ruled")
            case "hold":
                writing.FLUSH_S = writing.LOADED_S = HELD_S  # type: ignore[misc]
            case "write":
                assert self._journal is not None
                await self._journal.flush()

    def _turn(self, *, off: bool) -> None:
        """Connections from hop to hop are kept for the next message: each side has its own, whose sessions are of its kind."""
        if off == self.off:
            return
        for number, outlets in enumerate(self._outlets):
            self._pools[number, self.off] = outlets._pools
            outlets._pools = self._pools.get((number, off), {})
        self.off = off


if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parents[1])  # not this folder, whose names would hide others
    from benchmarks import ruled, unjournalled
    from portyard.__main__ import main

    steering = Steering(sys.argv[1])
    steering.install()
    unjournalled.install(steering.is_off)
    ruled.install(steering.books)
    sys.argv = ["portyard", *sys.argv[2:]]
    sys.exit(main())
