"""How a page lies in the database: compressed, since writing an octet costs more than compressing it.

Traffic repeats itself, so that a page shrinks to a fraction, and the journal's bounds hold so much more. LZ4 is made for this: it takes a
few hundred microseconds for a megabyte, and whoever reads a page needs no more of it than that it is a block with its size before it.
"""

from __future__ import annotations

from typing import Final

import lz4.block

PAGE_OCTETS: Final = 1 << 15
"""Of one page, before it is packed: with so many, no more are added to it. They stay in a processor's nearer caches, and no allocator has
to ask the kernel for them."""


def packed(page: bytes) -> bytes:
    """A page as it is written."""
    octets: bytes = lz4.block.compress(page)
    return octets


def unpacked(body: bytes) -> bytes:
    """A page from what was written."""
    octets: bytes = lz4.block.decompress(body)
    return octets
