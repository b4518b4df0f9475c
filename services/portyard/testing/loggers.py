"""The process's loggers, which pytest looks through while an embedded testbed's thread still imports what names more of them."""

from __future__ import annotations

import logging
from collections.abc import ValuesView


class SteadyLoggers(dict[str, "logging.Logger | logging.PlaceHolder"]):
    """A manager's loggers whose `values` are those of that moment.

    At each of a test's phases pytest looks at every logger there is, without logging's lock: one that an import in another thread makes at
    that moment would end the test with "dictionary changed size during iteration".
    """

    def values(self) -> ValuesView[logging.Logger | logging.PlaceHolder]:  # type: ignore[override]
        """The loggers as they are now; those that come later aren't among them."""
        return self.copy().values()


def keep_steady() -> None:
    """Have the loggers of this process looked through as they are at that moment."""
    manager = logging.root.manager
    if not isinstance(manager.loggerDict, SteadyLoggers):
        manager.loggerDict = SteadyLoggers(manager.loggerDict)
