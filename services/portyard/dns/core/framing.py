"""DNS over TCP: two octets of length before each message (RFC 1035 §4.2.2). Knows nothing of what a message holds."""

from __future__ import annotations

from portyard.commons.events import Event, Literal

PREFIX = 2
MESSAGE_LIMIT = 65535  # what sixteen bits can announce


class LengthFraming:
    """Octets to whole messages; one message is at most 64 KiB, so the buffer is bounded by what the edge feeds at once."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        """Take octets as they came, in any cut (RFC 7766 §8 warns of a length that arrives alone)."""
        self._buffer += data

    def next_event(self) -> Event | None:
        """The next whole message as a `Literal`, or None while more octets are needed."""
        if len(self._buffer) < PREFIX:
            return None
        end = PREFIX + int.from_bytes(self._buffer[:PREFIX], "big")
        if len(self._buffer) < end:
            return None
        message = bytes(self._buffer[PREFIX:end])
        del self._buffer[:end]
        return Literal(message)

    def expect(self, mode: object) -> None:
        """Nothing to switch: every message is framed alike."""

    def clear(self) -> None:
        """Drop what was fed but not yet cut."""
        self._buffer.clear()


def framed(message: bytes) -> bytes:
    """A message with its length before it.

    Raises:
        ValueError: It has more than 65,535 octets.
    """
    if len(message) > MESSAGE_LIMIT:
        raise ValueError(f"a message of {len(message)} octets doesn't fit a length of sixteen bits")
    return len(message).to_bytes(PREFIX, "big") + message
