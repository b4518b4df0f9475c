"""What a program reads from its standard input, there before it starts: one that leaves early breaks no pipe."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from typing import IO


@contextlib.contextmanager
def holding(octets: bytes) -> Iterator[IO[bytes]]:
    """A file to start a program on, with these octets and nothing behind them."""
    with tempfile.TemporaryFile() as file:
        file.write(octets)
        file.seek(0)
        yield file
