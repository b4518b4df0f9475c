"""How the processes log: one human or JSON line an event, a level for all and one per room."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime

from portyard.commons.settings import Logging

_ROOM_LOGGER = "portyard.{}"


def of_room(room: str) -> logging.Logger:
    """The logger of a room's lines, whoever writes them; its level can be set apart."""
    return logging.getLogger(_ROOM_LOGGER.format(room))


class _JsonLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "text": record.getMessage(),
        }
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return json.dumps(fields)


class _HumanLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created).strftime("%H:%M:%S")
        line = f"{at} {record.levelname.lower():7} {record.name.removeprefix('portyard.')}: {record.getMessage()}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def set_up(settings: Logging) -> None:
    """Send every logger's lines to standard error as the settings say."""
    handler = logging.StreamHandler()
    handler.setFormatter(_JsonLine() if settings.format == "json" else _HumanLine())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("portyard").setLevel(settings.level.upper())
    for room, level in settings.rooms.items():
        of_room(room).setLevel(level.upper())
