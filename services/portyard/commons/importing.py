"""One import at a time where several threads import: Python 3.11's compiler fails when two of them parse at once (SystemError)."""

from __future__ import annotations

import importlib
import threading
from types import ModuleType

_turn = threading.Lock()


def imported(module: str) -> ModuleType:
    """The module. May take long where it isn't there yet: not for a loop's thread."""
    with _turn:
        return importlib.import_module(module)
