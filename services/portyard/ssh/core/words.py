"""Text as a line of a log, an error or a listing may show it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_RECENT = timedelta(days=182)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def printable(text: str) -> str:
    """The text with what would end or garble a line shown by escapes: controls, and octets that aren't UTF-8."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escape(char) for char in text)


def moment(seconds: float) -> datetime:
    """A file's time, in UTC; one that no calendar has is shown as the epoch."""
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        return datetime.fromtimestamp(0, UTC)


def one_line(name: str) -> str:
    """A name in a listing: controls, which would end or garble its line, as "?"; all else as it is."""
    return "".join("?" if char < " " or char == "\x7f" else char for char in name)


def _escape(char: str) -> str:
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:  # an octet that surrogateescape let through
        return f"\\x{code - 0xDC00:02x}"
    return char.encode("unicode_escape").decode("ascii")


def listed_time(seconds: float, now: datetime) -> str:
    """A time of modification as `ls -l` shows it, in UTC: within half a year the time of day, else the year."""
    at = moment(seconds)
    recent = -timedelta(days=1) <= now - at < _RECENT
    rest = f"{at:%H:%M}" if recent else f" {at.year:04d}"
    return f"{_MONTHS[at.month - 1]} {at.day:>2} {rest}"
