"""`portyard serve …` with a journal that a file switches off: `python benchmarks/switched.py <file> serve all`.

While the file exists, new sessions have a pen that keeps nothing, and what the rooms do only to fill the journal isn't done: no transcript
of a line, no copy of a reply, no list of header fields. So on and off are the same process on the same state, turn by turn.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from portyard.commons import hosting
from portyard.commons.conversation import Conversation
from portyard.commons.journal.store import StoredJournal
from portyard.commons.journal.unheard import UnheardLog

LOOK_S = 0.01


class Switch:
    """Says whether the journal is off; asks the file a hundred times a second at most.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._off = False
        self._looked = 0.0

    def is_off(self) -> bool:
        """As of `LOOK_S` ago."""
        now = time.monotonic()
        if now - self._looked > LOOK_S:
            self._off, self._looked = self._path.exists(), now
        return self._off


def install(switch: Switch) -> None:
    """Put the switch where sessions are opened and where rooms fill them."""
    opened = StoredJournal.open_session

    def open_session(self: StoredJournal, **known: Any) -> Any:  # noqa: ANN401 - a pen of either kind
        if not switch.is_off():
            return opened(self, **known)
        return UnheardLog(known.get("closed") or _nothing)

    StoredJournal.open_session = open_session  # type: ignore[method-assign]
    made = Conversation.__init__

    def make(self: Conversation, stream: Any, session: Any, *more: Any, **named: Any) -> None:  # noqa: ANN401
        made(self, stream, session, *more, **named)
        if isinstance(self._log, UnheardLog):
            self._remember = _nothing  # type: ignore[method-assign]
            self._write_down = _nothing  # type: ignore[method-assign]
            self._session = _Untold(session)

    Conversation.__init__ = make  # type: ignore[method-assign]
    for name in ("note_request", "note_response"):
        setattr(hosting, name, _unless_unheard(getattr(hosting, name)))


class _Untold:
    """A core that writes no transcript."""

    def __init__(self, session: Any) -> None:  # noqa: ANN401 - any room's
        self._whole = session
        self.receive = session.receive
        self.open = session.open
        self.transcript = _nothing

    @property
    def timeout_s(self) -> float | None:
        """See Session."""
        return self._whole.timeout_s  # type: ignore[no-any-return]


def _unless_unheard(note: Callable[..., None]) -> Callable[..., None]:
    def noted(connection: Any, *more: Any) -> None:  # noqa: ANN401 - as the room gives them
        if not isinstance(connection.log, UnheardLog):
            note(connection, *more)

    return noted


def _nothing(*_: object) -> Any:  # noqa: ANN401 - it stands for several
    return ""


if __name__ == "__main__":
    from portyard.__main__ import main

    install(Switch(Path(sys.argv[1])))
    sys.argv = ["portyard", *sys.argv[2:]]
    sys.exit(main())
