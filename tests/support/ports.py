"""Ports that a test has to know before somebody listens on them."""

from __future__ import annotations

import random
import socket

NUMBERS = range(18_300, 19_900)
"""Below what the kernel gives to clients and to who asks for any port, and beside what the containers and benchmarks of the tests have."""


def unused(count: int = 1) -> range:
    """Numbers in a row that nobody has on loopback, at a place that two workers hardly choose both."""
    chance = random.SystemRandom()
    for _ in range(200):
        first = chance.randrange(NUMBERS.start, NUMBERS.stop - count)
        if all(_is_free(number) for number in range(first, first + count)):
            return range(first, first + count)
    raise AssertionError(f"no {count} free ports in a row in {NUMBERS}")


def _is_free(number: int) -> bool:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(type=kind) as probe:
            try:
                probe.bind(("127.0.0.1", number))
            except OSError:
                return False
    return True
