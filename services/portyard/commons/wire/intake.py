"""What a way that is held may read all the same: so many octets, or one TLS record at a time. Pure."""

from __future__ import annotations

from collections.abc import Callable

HEADER = 5  # octets of a record's header, the last two of which are its length (RFC 8446 §5.1)


class Intake:
    """Leave to read, for a way that reads nothing of its own accord.

    Attributes:
        wanted: Octets that may be read now.
    """

    __slots__ = ("_header", "_taken", "wanted")

    def __init__(self) -> None:
        self.wanted = 0
        self._header: bytearray | None = None  # of the record that is being read, while it isn't complete
        self._taken: Callable[[], None] | None = None

    def admit(self, octets: int, taken: Callable[[], None] | None = None) -> None:
        """Let so many more pass, and have it told when they were read."""
        self.wanted += octets
        self._taken = taken

    def admit_record(self) -> None:
        """Let the next TLS record pass, unless one is under way; what is no TLS is cut into pieces all the same."""
        if not self.wanted:
            self._header = bytearray()
            self.wanted = HEADER

    def took(self, data: bytes | memoryview) -> None:
        """These were read: no more than were wanted."""
        self.wanted -= len(data)
        if self._header is None:
            return
        self._header += data
        if not self.wanted:
            self.wanted = int.from_bytes(self._header[3:HEADER], "big")
            self._header = None

    def tell(self) -> None:
        """To be called when what was read is under way."""
        if self._taken is not None and not self.wanted:
            taken, self._taken = self._taken, None
            taken()
