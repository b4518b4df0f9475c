"""A pen that writes nothing, for connections that are no sessions."""

from __future__ import annotations

from collections.abc import Callable


class UnheardLog:
    """Implements `SessionLog` and keeps nothing.

    Args:
        closed: Called once, when the log is closed.
    """

    id = ""

    def __init__(self, closed: Callable[[], None]) -> None:
        self._on_close: Callable[[], None] | None = closed

    def event(self, kind: str, **fields: object) -> None:
        """See SessionLog."""

    def told(self, kind: str, fields: bytes) -> None:
        """See SessionLog."""

    def noter(self, form: int) -> Callable[[bytes], None]:
        """See SessionLog."""
        return _unheard

    def sheet(self) -> None:
        """See SessionLog."""

    def command(self, text: str | bytes) -> None:
        """See SessionLog."""

    def reply(self, text: str | bytes) -> None:
        """See SessionLog."""

    def part(self) -> None:
        """See SessionLog."""

    def join(self, sandbox: str, *, also: bool = False) -> None:
        """See SessionLog."""

    def authenticated(self, account: str, mechanism: str) -> None:
        """See SessionLog."""

    def close(self, reason: str = "") -> None:
        """See SessionLog."""
        closed, self._on_close = self._on_close, None
        if closed is not None:
            closed()


def _unheard(octets: bytes) -> None:
    pass
