"""`portyard serve …` that can be steered from outside: `python benchmarks/steered.py <socket> serve all`.

Over a socket of its own it is told whether sessions that begin from now on have a journal, and to say when everything noted is written: one
word a line, answered by one. It costs nothing between two words.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from portyard.commons.journal.store import StoredJournal
from portyard.smtp.outlet import Outlets


class Steering:
    """What is steered.

    Args:
        path: Of the socket.

    Attributes:
        off: Whether sessions that begin now have no journal.
    """

    def __init__(self, path: str) -> None:
        self.off = False
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
                if word == "settle":
                    assert self._journal is not None
                    await self._journal.flush()
                else:
                    self._turn(off=word == "off")
                writer.write(b"done\n")
        writer.close()

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
    from benchmarks import unjournalled
    from portyard.__main__ import main

    steering = Steering(sys.argv[1])
    steering.install()
    unjournalled.install(steering.is_off)
    sys.argv = ["portyard", *sys.argv[2:]]
    sys.exit(main())
