"""Queries of one UDP port are one session, until it is quiet."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from portyard.commons.journal.unheard import UnheardLog
from portyard.dns import flows
from portyard.dns.flows import Flows
from tests.support.asyncio_tests import run

LIMIT_S = 20.0


class Logs:
    """Hands out pens, and knows which are closed."""

    def __init__(self) -> None:
        self.opened: list[str] = []
        self.closed: list[str] = []
        self.over = asyncio.Event()

    def open(self, key: str) -> UnheardLog:
        self.opened.append(key)
        return UnheardLog(self._closing(key))

    def _closing(self, key: str) -> Callable[[], None]:
        def closed() -> None:
            self.closed.append(key)
            self.over.set()

        return closed


def test_a_flow_ends_when_it_is_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flows, "QUIET_S", 0.05)

    async def go() -> None:
        logs = Logs()
        some: Flows[str] = Flows(logs.open)
        first = some.of("a")
        assert some.of("a") is first
        async with asyncio.timeout(LIMIT_S):
            await logs.over.wait()
        assert logs.closed == ["a"]
        assert some.of("a") is not first
        some.close()
        assert (logs.opened, logs.closed) == (["a", "a"], ["a", "a"])

    run(go())


def test_the_one_that_was_quiet_for_the_longest_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flows, "MOST", 2)

    async def go() -> None:
        logs = Logs()
        some: Flows[str] = Flows(logs.open)
        for key in "abac":
            some.of(key)
        assert (logs.opened, logs.closed) == (["a", "b", "c"], ["b"])
        some.close()
        assert sorted(logs.closed) == ["a", "b", "c"]

    run(go())
