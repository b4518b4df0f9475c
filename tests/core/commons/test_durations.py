"""Durations as people write them."""

from __future__ import annotations

import math

import pytest

from portyard.commons.durations import parse_duration


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("150ms", 0.15),
        ("2s", 2.0),
        ("1h30m", 5400.0),
        ("1d", 86400.0),
        (" 1 m 5 s ", 65.0),
        (3, 3.0),
        (0.5, 0.5),
        ("0s", 0.0),
    ],
)
def test_what_is_a_duration(written: object, seconds: float) -> None:
    assert parse_duration(written) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "written",
    ["", " ", "2", "s", "2x", "-1s", "1s2", "1e3s", "٣s", None, True, [], math.inf, math.nan, 10**400, "9" * 400 + "s"],
)
def test_what_is_none(written: object) -> None:
    with pytest.raises(ValueError, match="150ms"):
        parse_duration(written)
