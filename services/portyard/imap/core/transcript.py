"""Events as the journal shows them, with every secret blanked (RFC 3501's are LOGIN's arguments and what AUTHENTICATE carries)."""

from __future__ import annotations

import re

from portyard.commons.events import Event, Line, Literal, TooLong
from portyard.imap.core.framing import literal_at_end

LITERAL_SHOWN = 512  # octets; a larger literal (a message) is counted, not shown

# Generous on purpose: a line that only resembles a login is blanked too.
_LOGIN = re.compile(rb"\s*(?:\S+\s+)?(LOGIN|AUTHENTICATE)(?=\s|\Z)", re.IGNORECASE)  # people at a telnet forget the tag
_ASTRING = re.compile(rb'\s+([^\s"{]+|"(?:[^"\\]|\\.)*")')


def shown(event: Event, before: tuple[bytes, ...]) -> str:
    """An event of the command whose earlier lines are `before`."""
    if not before and type(event) is Line:
        return _line(event.data)
    secret = _LOGIN.match(before[0]) is not None if before else False
    match event:
        case Line(data):
            return blank(data) if secret else _line(data)
        case Literal(data):
            return blank(data) if secret else _literal(data)
        case TooLong(limit, head):
            return f"{_line(head) if not before else blank(head)} … «longer than {limit} bytes»"
    return type(event).__name__


def dialogue_line(line: Line, *, secret: bool) -> str:
    """A line that continues a command; the cancelling "*" is no secret."""
    return blank(line.data) if secret and line.data != b"*" else text(line.data)


def blank(data: bytes) -> str:
    """A secret's place; an announced literal stays in sight."""
    need = literal_at_end(data)
    if need is None:
        return f"«secret, {len(data)} bytes»"
    announced = data[data.rindex(b"{") :].decode()
    head = data[: -len(announced)].strip()
    return f"«secret, {len(head)} bytes» {announced}" if head else announced


def text(data: bytes) -> str:
    """Octets as text that is one line."""
    return data.decode("utf-8", "backslashreplace")


def _line(data: bytes) -> str:
    loud = data.upper()
    if b"LOGIN" not in loud and b"AUTHENTICATE" not in loud:
        return text(data)
    login = _LOGIN.match(data)
    if login is None:
        return text(data)
    first = _ASTRING.match(data, login.end())  # the user or the mechanism may be seen
    if first is None or literal_at_end(data[: first.end()]) is not None:
        rest = data[login.end() :].strip()
        return text(data[: login.end()]) + (f" {blank(rest)}" if rest else "")
    rest = data[first.end() :].strip()
    return text(data[: first.end()]) + (f" {blank(rest)}" if rest else "")


def _literal(data: bytes) -> str:
    return text(data) if len(data) <= LITERAL_SHOWN else f"«literal, {len(data)} bytes»"
