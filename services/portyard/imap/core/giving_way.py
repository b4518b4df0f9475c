"""Long work gives way, so that one session's search doesn't hold up the others."""

from __future__ import annotations

import types
from collections.abc import Generator


@types.coroutine
def give_way() -> Generator[None, None, None]:
    """Let every other task that is ready run first. A bare yield is the event loop's own word for it; no loop is named here."""
    yield
