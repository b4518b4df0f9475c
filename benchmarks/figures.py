"""Numbers and how they are shown: medians, ratios, tables."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.estimating import Estimate


@dataclass(frozen=True, slots=True)
class Table:
    """One table of the report.

    Attributes:
        title: Its headline.
        columns: Headlines of the columns; the first names the row.
        rows: As many cells each as there are columns; a row of two cells says why there are no figures.
        note: What one has to know to read it.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a measurement found.

    Attributes:
        tables: For people.
        data: For programs.
    """

    tables: tuple[Table, ...]
    data: Mapping[str, Any] = field(default_factory=dict)


def median(values: Sequence[float]) -> float:
    """The middle one; NaN of nothing."""
    return statistics.median(values) if values else math.nan


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which that share of all lies; NaN of nothing."""
    if not values:
        return math.nan
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)]


def median_ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median of the rounds' ratios: both sides of each were measured one after the other, so drift hits both."""
    return median([one / other for one, other in zip(ours, theirs, strict=False) if other])


def shown(value: float, digits: int = 0) -> str:
    """A number with separated thousands; a dash for NaN."""
    return "–" if math.isnan(value) else f"{value:,.{digits}f}"


def spread(values: Sequence[float], digits: int = 0) -> str:
    """The lowest and the highest."""
    if len(values) < 2:
        return "–"
    return f"{shown(min(values), digits)} … {shown(max(values), digits)}"


def verdict(value: float, limit: float) -> str:
    """Whether a value is within what is wanted."""
    return "–" if math.isnan(value) else "yes" if value < limit else "NO"


def percent(share: float) -> str:
    """A share in per cent."""
    return f"{shown(share * 100, 1)} %"


def between(estimate: Estimate) -> str:
    """Where an estimate's interval begins and ends, in per cent."""
    return f"{shown(estimate.low * 100, 1)} … {shown(estimate.high * 100, 1)}"
