"""Range requests (RFC 9110 §14): the Range field to spans of octets, and the fields that answer it."""

from __future__ import annotations

import re
from dataclasses import dataclass

# ranges-specifier = "bytes" "=" range-set ; int-range = first-pos "-" [ last-pos ] ; suffix-range = "-" suffix-length
_SPEC = re.compile(r"\s*(\d*)\s*-\s*(\d*)\s*\Z", re.ASCII)

MOST_RANGES = 32  # more in one request serve nobody but an attacker (RFC 9110 §17.15)
_MOST_DIGITS = 19


class UnsatisfiableError(ValueError):
    """No range of the set overlaps the representation: 416 (RFC 9110 §15.5.17)."""


@dataclass(frozen=True, slots=True)
class Span:
    """Octets `first` to `last`, both included."""

    first: int
    last: int

    @property
    def length(self) -> int:
        """How many octets."""
        return self.last - self.first + 1

    def content_range(self, size: int) -> str:
        """The Content-Range field's value."""
        return f"bytes {self.first}-{self.last}/{size}"


def parse_range(text: str | None, size: int) -> list[Span] | None:
    """The spans that a Range field asks of a representation of `size` octets, in the order asked.

    None means that there is no range to honour: no field, another unit, or a malformed set, which is ignored (RFC 9110 §14.2).

    Raises:
        UnsatisfiableError: The set is well-formed and none of it can be met, or it is longer than we serve.
    """
    if text is None:
        return None
    unit, equals, range_set = text.partition("=")
    if not equals or unit.strip().lower() != "bytes":
        return None
    specs = [spec for spec in range_set.split(",") if spec.strip()]
    if not specs:
        return None
    if len(specs) > MOST_RANGES:
        raise UnsatisfiableError(f"more than {MOST_RANGES} ranges")
    spans = []
    for spec in specs:
        bounds = _parse_spec(spec)
        if bounds is None:
            return None
        span = _resolve(bounds, size)
        if span is not None:
            spans.append(span)
    if not spans:
        raise UnsatisfiableError(f"no range lies within {size} octets")
    return spans


def unsatisfied(size: int) -> str:
    """Content-Range of a 416."""
    return f"bytes */{size}"


def _parse_spec(spec: str) -> tuple[int | None, int | None] | None:
    match = _SPEC.match(spec)
    if match is None or match.groups() == ("", "") or max(map(len, match.groups())) > _MOST_DIGITS:
        return None
    first = int(match[1]) if match[1] else None
    last = int(match[2]) if match[2] else None
    if first is not None and last is not None and last < first:
        return None  # RFC 9110 §14.1.1: invalid, so the whole set is
    return first, last


def _resolve(bounds: tuple[int | None, int | None], size: int) -> Span | None:
    first, last = bounds
    if first is None:
        assert last is not None
        return Span(max(0, size - last), size - 1) if last and size else None  # the last `last` octets
    if first >= size:
        return None
    return Span(first, size - 1 if last is None else min(last, size - 1))
