"""What waits to be sent to one member of a room: bounded, so that who doesn't read costs the others nothing."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

Message = str | bytes

MOST_MESSAGES = 1024
MOST_OCTETS = 8 * 1024 * 1024


@dataclass(slots=True)
class Outbox:
    """First in, first out.

    Attributes:
        most_messages: Messages that may wait.
        most_octets: Octets that may wait; a single message may be longer when nothing else waits.
    """

    most_messages: int = MOST_MESSAGES
    most_octets: int = MOST_OCTETS
    _waiting: deque[Message] = field(default_factory=deque)
    _octets: int = 0

    def put(self, message: Message) -> bool:
        """Add a message; False when there is no room for it."""
        size = len(message)
        if self._waiting and (len(self._waiting) >= self.most_messages or self._octets + size > self.most_octets):
            return False
        self._waiting.append(message)
        self._octets += size
        return True

    def take(self) -> Message | None:
        """The message that waits longest, or None."""
        if not self._waiting:
            return None
        message = self._waiting.popleft()
        self._octets -= len(message)
        return message

    def __len__(self) -> int:
        return len(self._waiting)
