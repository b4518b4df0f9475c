"""What can be done to a connection without a relay, and what is told of the rest."""

from __future__ import annotations

from typing import Any, cast

import pytest

from portyard.commons.journal.model import SessionLog
from portyard.commons.scenario.actions import CutAfter, Latency, Reset
from portyard.commons.unready import UNREADY, Unready


class Log:
    """A pen that remembers."""

    def __init__(self) -> None:
        self.told: list[tuple[str, dict[str, object]]] = []

    def event(self, kind: str, **fields: object) -> None:
        self.told.append((kind, fields))


def armed(*asked: object, ready: bool = True) -> tuple[list[tuple[str, dict[str, object]]], list[str]]:
    """What the journal is told, and what was done."""
    log, done = Log(), list[str]()
    unready = Unready(cast(SessionLog, log))
    if ready:
        unready.reset = lambda: done.append("reset")
    unready.arm(asked)
    return log.told, done


def test_a_reset_at_once_is_done() -> None:
    assert armed(Reset()) == ([("fault", {"does": ["reset"], "octets": 0})], ["reset"])


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        ((Reset(after_octets=1),), ["reset"]),
        ((CutAfter(0),), ["cut_after"]),
        ((Latency(1), Reset()), ["latency", "reset"]),
    ],
)
def test_nothing_comes_of_all_else(asked: tuple[Any, ...], names: list[str]) -> None:
    assert armed(*asked) == ([("error", {"text": f"{', '.join(names)}: {UNREADY}", "undone": names})], [])


def test_nobody_has_the_socket_yet() -> None:
    told, done = armed(Reset(), ready=False)
    assert [kind for kind, _ in told] == ["error"]
    assert done == []


def test_nothing_is_told_of_nothing() -> None:
    assert armed() == ([], [])
