"""The testbed's time: what stamps messages, retries and tokens. Waits and I/O limits run on monotonic time instead."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

LEAST = datetime(1970, 1, 2, tzinfo=UTC)
MOST = datetime(9990, 1, 1, tzinfo=UTC)


class Clock(Protocol):
    """Where the testbed's time comes from."""

    def now(self) -> datetime:
        """The testbed's time, aware, in UTC."""


class Clocks(Protocol):
    """Every sandbox's time."""

    def now(self, sandbox: str) -> datetime:
        """A sandbox's time, aware, in UTC."""


class SystemClock:
    """The machine's own time."""

    def now(self) -> datetime:
        """The machine's time, aware, in UTC."""
        return datetime.fromtimestamp(time.time(), UTC)


class ClockError(ValueError):
    """A clock can't be set so. The message names key, value and what is allowed."""

    def __init__(self, key: str, value: object, allowed: str, reason: str) -> None:
        super().__init__(f"{key} = {value!r}: {reason}; allowed: {allowed}")
        self.key = key
        self.value = value
        self.allowed = allowed
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Setting:
    """How a clock stands to the machine's.

    Attributes:
        frozen: The moment at which it stands; None while it runs.
        ahead: How far it runs ahead of the machine's.
    """

    frozen: datetime | None = None
    ahead: timedelta = timedelta()

    def at(self, real: datetime) -> datetime:
        """The testbed's time when the machine's is `real`."""
        return self.frozen if self.frozen is not None else real + self.ahead

    def freeze(self, instant: datetime) -> Setting:
        """Stand still at a moment.

        Raises:
            ClockError: It has no time zone, or lies too far away.
        """
        if instant.tzinfo is None:
            raise ClockError("freeze", instant.isoformat(), "such as 2030-01-02T03:04:05Z", "the time zone is missing")
        return Setting(_inside("freeze", instant, instant), self.ahead)

    def advance(self, by: timedelta, real: datetime) -> Setting:
        """Go on by so much: the moment when it stands, the distance when it runs.

        Raises:
            ClockError: Backwards, or too far.
        """
        if by < timedelta():
            raise ClockError(
                "advance", str(by), "a duration such as 2h", "time doesn't go backwards; freeze sets a moment"
            )
        try:
            there = self.at(real) + by
        except OverflowError:
            there = datetime.max.replace(tzinfo=UTC)
        there = _inside("advance", there, by)
        return Setting(there, self.ahead) if self.frozen is not None else Setting(None, there - real)


def _inside(key: str, instant: datetime, given: object) -> datetime:
    try:
        moment = instant.astimezone(UTC)
    except OverflowError:
        moment = datetime.max.replace(tzinfo=UTC)
    if not LEAST <= moment <= MOST:
        raise ClockError(key, str(given), f"moments from {LEAST.year} to {MOST.year}", "too far away")
    return moment
