"""The testbed's time: what stamps messages, retries and tokens. Waits and I/O limits run on monotonic time instead."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Where the testbed's time comes from."""

    def now(self) -> datetime:
        """The testbed's time, aware, in UTC."""


class SystemClock:
    """The machine's own time."""

    def now(self) -> datetime:
        """The machine's time, aware, in UTC."""
        return datetime.fromtimestamp(time.time(), UTC)
