"""Text as a line of a log or an error may show it."""

from __future__ import annotations


def printable(text: str) -> str:
    """The text with what would end or garble a line shown by escapes: controls, and octets that aren't UTF-8."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escape(char) for char in text)


def _escape(char: str) -> str:
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:  # an octet that surrogateescape let through
        return f"\\x{code - 0xDC00:02x}"
    return char.encode("unicode_escape").decode("ascii")
