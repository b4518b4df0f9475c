"""What compressed messages of one direction say (RFC 7692 §7), for who only looks on: where that can't be told it is silent."""

from __future__ import annotations

import zlib
from typing import NamedTuple

from portyard.websocket.core.model import MESSAGE_LIMIT

_TAIL = b"\0\0\xff\xff"  # what the sender took off (RFC 7692 §7.2.1)
_PIECE = 1 << 20  # octets that are inflated at once
_MOST_ENDS = 64  # final blocks in one message, each of which makes an inflater anew (RFC 7692 §7.2.3.4)


class Piece(NamedTuple):
    """What a piece of a message says.

    Attributes:
        head: The first octets of it.
        size: How many there are.
    """

    head: bytes
    size: int


class Inflater:
    """Follows the messages of one direction. What was said before is needed for what comes (RFC 7692 §7.1.1), so it has to see them all."""

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(-zlib.MAX_WBITS)
        self._size = self._ends = 0  # of the message at hand
        self._failed = False

    def take(self, octets: bytes, *, last: bool, most: int) -> Piece | None:
        """Inflate the next octets.

        Args:
            octets: Of a message's payload, unmasked.
            last: Whether these are its last.
            most: How many octets of what they say are wanted.

        Returns:
            What they say; None from where on that isn't known: what isn't deflate, and what is longer than the room takes.
        """
        if self._failed:
            return None
        try:
            found = self._inflate(octets + _TAIL if last else octets, most)  # RFC 7692 §7.2.2
        except zlib.error:
            found = None
        self._failed = found is None
        if last:
            self._size = self._ends = 0
        return found

    def _inflate(self, octets: bytes, most: int) -> Piece | None:
        piece = self._zlib.decompress(octets, _PIECE)
        if len(piece) < _PIECE and not self._zlib.eof:  # mostly that is all
            self._size += len(piece)
            return Piece(piece[:most], len(piece)) if self._size <= MESSAGE_LIMIT else None
        head, size = bytearray(), 0
        while True:
            size += len(piece)
            if len(head) < most:
                head += piece[: most - len(head)]
            more, octets = len(piece) == _PIECE, self._zlib.unconsumed_tail
            if self._zlib.eof:
                more, octets = False, self._zlib.unused_data
                self._zlib = zlib.decompressobj(-zlib.MAX_WBITS)
                self._ends += 1
            if self._size + size > MESSAGE_LIMIT or self._ends > _MOST_ENDS:
                return None
            if not (more or octets):
                self._size += size
                return Piece(bytes(head), size)
            piece = self._zlib.decompress(octets, _PIECE)
