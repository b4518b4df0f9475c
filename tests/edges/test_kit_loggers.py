"""pytest looks through every logger at each phase of a test, while an embedded testbed's rooms are still imported and name more of them."""

from __future__ import annotations

import logging
import uuid

from portyard.testing.loggers import keep_steady


def test_a_logger_that_comes_meanwhile_does_no_harm() -> None:
    name = f"harbour.{uuid.uuid4().hex}"
    seen = []
    for number, logger in enumerate(logging.root.manager.loggerDict.values()):
        logging.getLogger(f"{name}.{number}")
        seen.append(logger)
    assert not any(isinstance(each, logging.Logger) and each.name.startswith(name) for each in seen)
    assert f"{name}.0" in logging.root.manager.loggerDict


def test_those_that_stand_are_kept() -> None:
    before = logging.root.manager.loggerDict
    keep_steady()
    assert logging.root.manager.loggerDict is before
    assert logging.getLogger("portyard") is before["portyard"]
