"""A load of several others at once: connections of all of them, each asked for its share of a round (see `asking` and `shells`)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from benchmarks.asking import PATIENCE_S, Asked, Asking
from benchmarks.shells import Shells


class Worker(Protocol):
    """Connections that work together."""

    async def open(self) -> None:
        """Connect."""

    async def work(self, cycles: int = 0, seconds: float = 0.0) -> Asked:
        """Run a slice."""


@dataclass(frozen=True, slots=True)
class Together:
    """What to do at once.

    Attributes:
        shares: Jobs, and how many of its cycles each does in a round.
    """

    shares: tuple[tuple[Asking | Shells, int], ...]


class TogetherTeam:
    """The connections of all jobs.

    Args:
        shares: The team of each, and how many cycles it does in a round.
    """

    def __init__(self, shares: Sequence[tuple[Worker, int]]) -> None:
        self._shares = shares

    async def open(self) -> None:
        """Connect.

        Raises:
            AskingError: The server didn't let us.
        """
        for team, _ in self._shares:
            await team.open()

    async def work(self, cycles: int = 0, seconds: float = 0.0) -> Asked:
        """Run so many rounds, all jobs at once, or one after the other for so long; done when the last answer came.

        Raises:
            AskingError: An answer wasn't what it should be.
        """
        asked, began = Asked(), time.monotonic()
        end = began + (seconds or PATIENCE_S)
        while True:
            rounds = cycles or 1
            async with asyncio.TaskGroup() as group:
                for team, share in self._shares:
                    group.create_task(team.work(cycles=rounds * share))
            asked.cycles += rounds
            asked.seconds = time.monotonic() - began
            if cycles or time.monotonic() > end:
                return asked
