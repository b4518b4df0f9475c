"""Durations as people write them: "150ms", "2s", "1h30m", or a number of seconds. Pure."""

from __future__ import annotations

import math
import re

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)\s*", re.ASCII)
ALLOWED = 'a number of seconds, or text such as "150ms", "2s", "1h30m"'


def parse_duration(value: object) -> float:
    """Seconds.

    Args:
        value: A number of seconds, or text of numbers with units (ms, s, m, h, d).

    Raises:
        ValueError: It is neither, or not finite.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            seconds = float(value)
        except OverflowError:  # a whole number beyond what a float holds
            seconds = math.inf
        if not math.isfinite(seconds):
            raise ValueError(f"expected {ALLOWED}")
        return seconds
    if not isinstance(value, str):
        raise ValueError(f"expected {ALLOWED}")
    text, at, seconds = value.strip(), 0, 0.0
    while at < len(text):
        part = _PART.match(text, at)
        if part is None:
            break
        seconds += float(part[1]) * _UNITS[part[2]]
        at = part.end()
    if not text or at < len(text) or not math.isfinite(seconds):
        raise ValueError(f"expected {ALLOWED}")
    return seconds
