"""The words that commands are made of: tags, atoms, strings, numbers, mailbox names, sequence sets, dates; read and printed.

Knows the terminals of RFC 3501 §9; knows no command.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from typing import TypeVar

from portyard.commons.mailstore.model import INBOX, SYSTEM_FLAGS
from portyard.imap.core.framing import literal_at_end
from portyard.imap.core.model import STAR, SequenceSet
from portyard.imap.core.names import decode_name, encode_name

T = TypeVar("T")

# ATOM-CHAR = <any CHAR except atom-specials>; atom-specials = "(" / ")" / "{" / SP / CTL / list-wildcards / quoted-specials / "]"
_ATOM = re.compile(rb'[^\x00-\x20\x7f-\xff(){%*"\\\]]+')
# ASTRING-CHAR = ATOM-CHAR / resp-specials
_ASTRING = re.compile(rb'[^\x00-\x20\x7f-\xff(){%*"\\]+')
# tag = 1*<any ASTRING-CHAR except "+">
_TAG = re.compile(rb'[^\x00-\x20\x7f-\xff(){%*"\\+]+')
# list-char = ATOM-CHAR / list-wildcards / resp-specials
_LIST_CHARS = re.compile(rb'[^\x00-\x20\x7f-\xff(){"\\]+')
# quoted = DQUOTE *QUOTED-CHAR DQUOTE; 8-bit octets pass, as real clients send UTF-8 in search strings
_QUOTED = re.compile(rb'"((?:[^"\\\r\n\x00]|\\["\\])*)"')
_NUMBER = re.compile(rb"[0-9]{1,20}")
_SPACE = re.compile(rb" ")
_LITERAL = re.compile(rb"\{[0-9]+\+?\}\r\n")
# seq-range / seq-number: nz-number or "*"
_RANGE = re.compile(rb"(\*|[1-9][0-9]{0,9})(?::(\*|[1-9][0-9]{0,9}))?")
# date-text = date-day "-" date-month "-" date-year
_DATE = re.compile(rb'("?)([0-9]{1,2})-([A-Za-z]{3})-([0-9]{4})\1(?=[ )\r]|\Z)')
# date-time = DQUOTE date-day-fixed "-" date-month "-" date-year SP time SP zone DQUOTE
_DATE_TIME = re.compile(
    rb'"([ 0-9][0-9])-([A-Za-z]{3})-([0-9]{4}) ([0-9]{2}):([0-9]{2}):([0-9]{2}) ([+-])([0-9]{2})([0-9]{2})"'
)
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_SYSTEM_FLAGS = {flag.lower(): flag for flag in SYSTEM_FLAGS}
PATTERN_LIMIT = 4096  # characters of LIST's pattern; no mailbox has a name as long
NUMBER_LIMIT = 2**32 - 1  # number is unsigned 32-bit (RFC 3501 §9)
OCTETS_LIMIT = 2**63 - 1  # sizes and offsets may be larger (RFC 9051 number64)


class BadSyntax(ValueError):
    """A command that isn't one; the message is for the client.

    Attributes:
        tag: The command's tag when it could be read, else None.
        status: "BAD", or "NO" where the words are fine but name what can't be.
        code: A response code for the answer, or None.
        name: See `replies.Tagged.name`.
    """

    def __init__(self, message: str, *, status: str = "BAD", code: str | None = None, name: str = "") -> None:
        super().__init__(message)
        self.name = name
        self.tag: str | None = None
        self.status = status
        self.code = code


@dataclass(frozen=True, slots=True)
class Frame:
    """One whole command as it was framed.

    Attributes:
        text: Its lines joined by CRLF, the last line ending cut off; each line but the last announces a literal.
        literals: The literals in order.
    """

    text: bytes
    literals: tuple[bytes, ...] = ()


class Cursor:
    """Reads a frame from left to right."""

    def __init__(self, frame: Frame) -> None:
        self._text = frame.text
        self._literals = list(reversed(frame.literals))
        self._at = 0

    @property
    def done(self) -> bool:
        """Whether nothing is left."""
        return self._at == len(self._text)

    def peek(self, text: bytes) -> bool:
        """Whether this comes next."""
        return self._text.startswith(text, self._at)

    def take(self, text: bytes) -> bool:
        """Step over this when it comes next."""
        if self.peek(text):
            self._at += len(text)
            return True
        return False

    def need(self, text: bytes) -> None:
        """Step over this; BadSyntax when something else comes."""
        if not self.take(text):
            raise BadSyntax(f"Expected {text.decode()!r}")

    def end(self) -> None:
        """BadSyntax unless nothing is left."""
        if not self.done:
            raise BadSyntax("Unexpected characters at the end of the command")

    def match(self, pattern: re.Pattern[bytes], wanted: str) -> re.Match[bytes]:
        """Step over what the pattern means; BadSyntax naming what was wanted."""
        found = pattern.match(self._text, self._at)
        if found is None:
            raise BadSyntax(f"Expected {wanted}")
        self._at = found.end()
        return found

    def optional(self, pattern: re.Pattern[bytes]) -> bool:
        """Step over what the pattern means when it comes next."""
        found = pattern.match(self._text, self._at)
        self._at = found.end() if found else self._at
        return found is not None

    def space(self) -> None:
        """SP, exactly one."""
        self.match(_SPACE, "one space")

    def tag(self) -> str:
        """The command's tag."""
        return self.match(_TAG, "a tag")[0].decode()

    def atom(self, wanted: str = "an atom") -> str:
        """An atom."""
        return self.match(_ATOM, wanted)[0].decode()

    def word(self, wanted: str) -> str:
        """An atom that is a keyword of the grammar, in capitals."""
        return self.atom(wanted).upper()

    def number(self, limit: int = NUMBER_LIMIT) -> int:
        """A number."""
        value = int(self.match(_NUMBER, "a number")[0])
        if value > limit:
            raise BadSyntax("Number too large")
        return value

    def literal(self) -> bytes:
        """A literal's octets."""
        announced = self.match(_LITERAL, "a literal")[0]
        if not self._literals:
            raise BadSyntax("Expected a literal")
        data = self._literals.pop()
        need = literal_at_end(announced.removesuffix(b"\r\n"))
        if need is None or need.size != len(data):
            raise BadSyntax("The literal isn't as long as announced")
        return data

    def string(self) -> bytes:
        """String = quoted / literal."""
        if self.peek(b"{"):
            data = self.literal()
            if b"\0" in data:
                raise BadSyntax("NUL in a string")  # RFC 3501 §9: CHAR8 = %x01-ff
            return data
        quoted = self.match(_QUOTED, "a string")[1]
        return re.sub(rb'\\(["\\])', rb"\1", quoted)

    def nstring(self) -> bytes | None:
        """Nstring = string / nil."""
        if self._text[self._at : self._at + 3].upper() == b"NIL":
            self._at += 3
            return None
        return self.string()

    def astring(self) -> bytes:
        """Astring = 1*ASTRING-CHAR / string."""
        found = _ASTRING.match(self._text, self._at)
        if found is None:
            return self.string()
        self._at = found.end()
        return found[0]

    def mailbox(self) -> str:
        """A mailbox name, decoded; INBOX in capitals whatever its case."""
        wire = self.astring()
        if wire.upper() == INBOX.encode():
            return INBOX  # RFC 3501 §5.1
        return _decode_mailbox(wire)

    def list_mailbox(self) -> str:
        """A pattern as on the wire: list-mailbox = 1*list-char / string."""
        found = _LIST_CHARS.match(self._text, self._at)
        self._at = found.end() if found else self._at
        pattern = found[0].decode() if found else _decode_ascii(self.string(), "A pattern must be modified UTF-7")
        if len(pattern) > PATTERN_LIMIT:
            raise BadSyntax("Pattern too long")
        return pattern

    def sequence_set(self) -> SequenceSet:
        """sequence-set = (seq-number / seq-range) *("," sequence-set)."""
        ranges = [self._range()]
        while self.take(b","):
            ranges.append(self._range())
        return SequenceSet(tuple(ranges))

    def _range(self) -> tuple[int, int]:
        first, last = self.match(_RANGE, "a sequence set").groups()
        low = _sequence_number(first)
        return (low, low if last is None else _sequence_number(last))

    def flag(self) -> str:
        r"""A flag that may be stored: a system flag in its usual case, or a keyword; \\Recent can't be (RFC 3501 §2.3.2)."""
        if not self.take(b"\\"):
            return self.atom("a flag")
        name = "\\" + self.atom("a flag")
        known = _SYSTEM_FLAGS.get(name.lower())
        if known is None:
            raise BadSyntax(f"No client may set the flag {name}")
        return known

    def flag_list(self) -> tuple[str, ...]:
        """flag-list = "(" [flag *(SP flag)] ")"."""
        return self.parenthesized(Cursor.flag, empty=True)

    def parenthesized(self, item: Callable[[Cursor], T], *, empty: bool = False) -> tuple[T, ...]:
        """One or more items with single spaces between: "(" item *(SP item) ")", also "()" when `empty`."""
        self.need(b"(")
        if empty and self.take(b")"):
            return ()
        items = [item(self)]
        while self.take(b" "):
            items.append(item(self))
        self.need(b")")
        return tuple(items)

    def date(self) -> date:
        """Date = date-text / DQUOTE date-text DQUOTE."""
        _, day, month, year = self.match(_DATE, "a date").groups()
        return _valid(lambda: date(int(year), _month(month), int(day)))

    def date_time(self) -> datetime:
        """A date-time with its zone."""
        day, month, year, hour, minute, second, sign, zone_h, zone_m = self.match(_DATE_TIME, "a date-time").groups()
        offset = timedelta(hours=int(zone_h), minutes=int(zone_m))
        if int(zone_m) > 59:
            raise BadSyntax("No such date")
        zone = -offset if sign == b"-" else offset
        clock = (int(hour), int(minute), int(second))
        moment = _valid(lambda: datetime(int(year), _month(month), int(day), *clock, tzinfo=timezone(zone)))
        _valid(lambda: moment.astimezone(UTC))  # the first and last days of the calendar exist in some zones only
        return moment


def _decode_ascii(octets: bytes, complaint: str) -> str:
    if not octets.isascii() or b"\r" in octets or b"\n" in octets:
        raise BadSyntax(complaint, status="NO", code="CANNOT")
    return octets.decode()


def _decode_mailbox(wire: bytes) -> str:
    complaint = "A mailbox name must be modified UTF-7"
    try:
        return decode_name(_decode_ascii(wire, complaint))
    except ValueError as error:
        if isinstance(error, BadSyntax):
            raise
        raise BadSyntax(complaint, status="NO", code="CANNOT") from None


def _sequence_number(text: bytes) -> int:
    if text == b"*":
        return STAR
    value = int(text)
    if value > NUMBER_LIMIT:
        raise BadSyntax("Number too large")
    return value


def _month(name: bytes) -> int:
    return MONTHS.index(name.decode().capitalize()) + 1


def _valid(make: Callable[[], T]) -> T:
    try:
        return make()
    except (ValueError, OverflowError):
        raise BadSyntax("No such date") from None


# Printing. What fits no quoted string goes as a literal, in place of which text carries its announcement.


def print_astring(value: bytes) -> list[bytes]:
    """An astring as pieces: text, or text and the literal after it."""
    if _ASTRING.fullmatch(value):
        return [value]
    return print_string(value)


def print_string(value: bytes) -> list[bytes]:
    """A string as pieces: `[quoted]`, or `[b"{n}", octets, b""]`."""
    if len(value) <= 1000 and not re.search(rb"[\r\n\x00\x80-\xff]", value):
        return [b'"' + re.sub(rb'(["\\])', rb"\\\1", value) + b'"']
    return [b"{%d}" % len(value), value, b""]


def print_mailbox(name: str) -> list[bytes]:
    """A decoded name as an astring."""
    return print_astring(encode_name(name).encode())


def print_sequence_set(numbers: SequenceSet) -> bytes:
    """A sequence set."""
    shown = [
        _print_number(low) if low == high else f"{_print_number(low)}:{_print_number(high)}"
        for low, high in numbers.ranges
    ]
    return ",".join(shown).encode()


def _print_number(number: int) -> str:
    return "*" if number == STAR else str(number)


def print_date(day: date) -> bytes:
    """A date."""
    return b"%d-%s-%04d" % (day.day, MONTHS[day.month - 1].encode(), day.year)


def print_date_time(moment: datetime) -> bytes:
    """A date-time, quoted, with its zone."""
    offset = moment.utcoffset() or timedelta()
    minutes = abs(offset) // timedelta(minutes=1)
    zone = f"{'-' if offset < timedelta() else '+'}{minutes // 60:02}{minutes % 60:02}"
    shown = f"{moment.day:2}-{MONTHS[moment.month - 1]}-{moment.year:04} {moment:%H:%M:%S} {zone}"
    return f'"{shown}"'.encode()
