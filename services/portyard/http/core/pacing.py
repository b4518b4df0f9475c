"""How octets are spread over time and made up: plans that the edge walks with its own clock and chance."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Protocol

TICK_S = 0.01  # pauses shorter than this aren't kept by any loop; several octets share one
MOST_OCTETS_A_PIECE = 64 * 1024


class Chance(Protocol):
    """What a generator of chance can do; `random.Random` does."""

    def getrandbits(self, k: int, /) -> int:
        """An integer of k chance bits."""


def drip(octets: int, duration_s: float) -> Iterator[tuple[int, float]]:
    """Pieces (octets, pause after them in seconds) that spread a body evenly over a duration."""
    per_piece = 1
    if octets and duration_s / octets < TICK_S:
        pieces = max(1, math.floor(duration_s / TICK_S))
        per_piece = min(math.ceil(octets / pieces), MOST_OCTETS_A_PIECE)
    return in_chunks(octets, per_piece, duration_s)


def in_chunks(octets: int, chunk_size: int, duration_s: float = 0.0) -> Iterator[tuple[int, float]]:
    """Pieces of `chunk_size` octets, each with its share of the duration as the pause after it."""
    left = octets
    while left > 0:
        piece = min(chunk_size, left)
        yield piece, duration_s * piece / octets
        left -= piece


def seeded_bytes(octets: int, chance: Chance) -> bytes:
    """Octets of a seeded generator, one at a time as `randint(0, 255)` draws them: the same bytes that httpbin makes of a seed."""
    made = bytearray()
    while len(made) < octets:
        drawn = chance.getrandbits(9)  # randint draws bit_length(256) bits and rejects what is beyond
        if drawn < 256:
            made.append(drawn)
    return bytes(made)


def alphabet(first: int, length: int) -> bytes:
    """Octets `first` and on of the endless a-z, so that any range of it is known beforehand."""
    start = first % 26
    return (_ALPHABET * (length // 26 + 2))[start : start + length]


_ALPHABET = b"abcdefghijklmnopqrstuvwxyz"
