"""Content negotiation (RFC 9110 §12): an Accept field to the best of what is offered."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_WEIGHT = re.compile(r"\s*q\s*=\s*(1(?:\.0{0,3})?|0(?:\.\d{0,3})?)\s*\Z", re.IGNORECASE)  # qvalue (RFC 9110 §12.4.2)


@dataclass(frozen=True, slots=True)
class MediaRange:
    """`type/subtype`, `type/*` or `*/*`, with a weight."""

    type: str
    subtype: str
    weight: float

    @property
    def precision(self) -> int:
        """2 for a named media type, 1 for a whole type, 0 for anything."""
        return (self.type != "*") + (self.subtype != "*")

    def covers(self, media_type: str) -> bool:
        """Whether a media type falls under it."""
        major, _, minor = media_type.partition("/")
        return self.type in ("*", major) and self.subtype in ("*", minor)


def parse_accept(text: str) -> list[MediaRange]:
    """The ranges of an Accept field; malformed ones are passed over."""
    ranges = []
    for item in text.lower().split(","):
        name, *parameters = item.split(";")
        major, slash, minor = name.strip().partition("/")
        if not slash or not major or not minor:
            continue
        weights = [match[1] for parameter in parameters if (match := _WEIGHT.match(parameter))]
        ranges.append(MediaRange(major, minor, float(weights[0]) if weights else 1.0))
    return ranges


def best_of(accept: str | None, offered: Sequence[str], *, otherwise: str) -> str | None:
    """The offered media type that the client likes best.

    Weight decides, then whether the client named the type rather than a wildcard, then our order; among types that only a
    wildcard covers, and without an Accept field, `otherwise` wins. None when the client accepts nothing of it.
    """
    if accept is None or not accept.strip():
        return otherwise
    ranges = parse_accept(accept)
    best: tuple[float, int, int] | None = None
    chosen: str | None = None
    for order, media_type in enumerate(offered):
        rule = max((range_ for range_ in ranges if range_.covers(media_type)), key=lambda r: r.precision, default=None)
        if rule is None or rule.weight == 0:
            continue
        named = rule.precision == 2
        place = -order if named or media_type != otherwise else 1
        rank = (rule.weight, int(named), place)
        if best is None or rank > best:
            best, chosen = rank, media_type
    return chosen
