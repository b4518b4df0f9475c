"""A sandbox's journal, as a test looks at it: what clients did, as events."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from portyard.testing.control import Control
from portyard.testing.mail import CUT_SHORT, DEFAULT_S, NothingCameError

PAGE = 10_000  # events that are asked for at once


class Events:
    """A sandbox's events, each a dict.

    An event has `room`, `service`, `session`, `sandbox`, `peer` ("127.0.0.1:54321"), `kind` ("auth", "command", "fault" …), `at`, `id`,
    `seq` (its place in the session) and its own `fields`.

    Filters are `room`, `kind`, `session`, `text` and `since`; a text is a part, a glob, or `/a regular expression/`, and a moment is a
    datetime that knows its zone, or text (RFC 3339).

    Args:
        control: The API.
        sandbox: The sandbox's path in it.
    """

    def __init__(self, control: Control, sandbox: str) -> None:
        self._control = control
        self._path = f"{sandbox}/events"

    def wait(self, count: int = 1, *, timeout: float = DEFAULT_S, **filters: str | datetime) -> list[dict[str, Any]]:
        """At least so many events that fit, oldest first, and it may be more that are there by then; the server does the waiting.

        Args:
            count: How many at least.
            timeout: Seconds.
            **filters: e.g. `room="imap", kind="auth"`.

        Raises:
            NothingCameError: They didn't come in time; it lists the near misses.
        """
        __tracebackhide__ = True  # the test's own line tells more
        answer = self._wait(count, timeout, filters)
        if not answer["satisfied"]:
            given = ", ".join(f"{name}={value!r}" for name, value in filters.items())
            wanted = f"{count} event(s) with {given or 'anything'}"
            raise NothingCameError(
                wanted, answer["events"], answer["near_misses"], timeout, answer.get("complete", True)
            )
        return list(answer["events"])

    def none(self, *, timeout: float = 1.0, **filters: str | datetime) -> None:
        """Assert that nothing that fits happens for so long.

        Raises:
            AssertionError: Something did.
        """
        __tracebackhide__ = True  # the test's own line tells more
        answer = self._wait(0, timeout, filters)
        if not answer["satisfied"]:
            raise AssertionError(f"it happened: {answer['events']}" if answer["events"] else CUT_SHORT)

    def all(self, **filters: str | datetime) -> list[dict[str, Any]]:
        """Every event that fits, oldest first."""
        return list(self._control.listed(self._path, limit=PAGE, **_asked(filters)))

    def _wait(self, count: int, timeout: float, filters: dict[str, str | datetime]) -> dict[str, Any]:
        asked = {**_asked(filters), "count": count, "timeout": timeout}
        return dict(self._control.get(f"{self._path}/wait", timeout_s=timeout or 0.0, **asked))


def _asked(filters: dict[str, str | datetime]) -> dict[str, str]:
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in filters.items()}
