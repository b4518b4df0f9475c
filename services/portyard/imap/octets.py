"""What went over the wire, for captures: literals that the journal cut or counted, from messages that the store still has.

Which message a FETCH response means is taken as known where it tells the UID, or where the mailbox has as many messages with the UIDs that
SELECT announced as it had then: since no UID is ever used twice, they are the same. Those that came later have the UIDs that follow, where
none of them is missing. What the journal shows of a literal has to fit as well. An answer of which the journal has only the beginning and
the end is known where the messages make one that begins and ends so and is as long.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from portyard.commons.journal.export_octets import end_of
from portyard.commons.journal.export_piece import Piece
from portyard.commons.journal.export_stored import Known, Stored
from portyard.commons.journal.model import JournalEvent
from portyard.imap.answers import OLD_NAMES, content, responses
from portyard.imap.core.fetch_grammar import parse_attributes
from portyard.imap.core.lexing import BadSyntax, Cursor, Frame
from portyard.imap.core.model import BodySection, Section

_FROM_STORE: Final = "from the mail store: {} that the journal has not, or not whole"
_SELECT: Final = re.compile(r"\S+ (?:SELECT|EXAMINE|CLOSE|UNSELECT)\b", re.IGNORECASE)
_FETCH: Final = re.compile(r"\S+ (?:UID )?FETCH ", re.IGNORECASE)
_APPEND: Final = re.compile(r"\S+ APPEND .*\{(\d{1,12})\+?\}", re.IGNORECASE | re.DOTALL)
_GOES_ON: Final = re.compile(r"\{\d{1,12}\+?\}\Z")
_LITERAL: Final = re.compile(r"«literal, (\d{1,12}) bytes»")
_UID_VALIDITY: Final = re.compile(r"\[UIDVALIDITY (\d{1,10})\]", re.IGNORECASE)
_UID_NEXT: Final = re.compile(r"\[UIDNEXT (\d{1,10})\]", re.IGNORECASE)
_EXISTS: Final = re.compile(r"^\* (\d{1,10}) EXISTS\r?$", re.IGNORECASE | re.MULTILINE)
_NEWS: Final = re.compile(r"^\* (\d{1,10}) (EXISTS|EXPUNGE)\r?$", re.IGNORECASE | re.MULTILINE)
_APPENDED: Final = re.compile(r"\[APPENDUID (\d{1,10}) (\d{1,10})\]", re.IGNORECASE)
_ANNOUNCED: Final = re.compile(r"\{(\d{1,12})\}\r\n")
_COUNTED: Final = re.compile(r"«(\d{1,12}) bytes»(?:\r\n)?")  # a piece of a literal, and the journal's own line end
_RESPONSE: Final = re.compile(r"(?:^|\r\n)\* (\d{1,10}) FETCH \(", re.IGNORECASE)
_RESPONSE_OCTETS: Final = re.compile(rb"^\* \d{1,10} FETCH \(", re.MULTILINE)
_UID: Final = re.compile(r"(?<=[( ])UID (\d{1,10})(?=[ )])", re.IGNORECASE)
_ITEM: Final = re.compile(r"(BODY\[[^\[\]\r\n]*\]|RFC822(?:\.HEADER|\.TEXT)?)(?:<(\d{1,12})>)? \Z", re.IGNORECASE)
_MOST: Final = 1_000_000  # messages of a mailbox that are reckoned with


async def known(events: Sequence[JournalEvent], stored: Stored) -> Known:
    """The literals of a session's APPENDs and FETCHes that can be known."""
    reader = _Reader(stored)
    for event in events:
        await reader.read(event)
    return reader.found


@dataclass(slots=True)
class _Reader:
    """Reads events with what was said before in mind.

    Attributes:
        found: What is known of events.
        asked: The last command's first line.
        coming: What the client's next event is: a "literal", the "rest" of a line behind one, or a command.
        appended: The literal of an APPEND that isn't answered yet.
        mailbox: The selected one; None where it isn't known.
        uids: Of its first messages, in the order of their sequence numbers, as far as they are known.
        standing: All that are there now.
        following: The UID that the next message got; 0 where it isn't known, or not all of `uids` are.
    """

    stored: Stored
    found: dict[int, list[Piece]] = field(default_factory=dict)
    asked: str = ""
    coming: str = ""
    appended: JournalEvent | None = None
    mailbox: int | None = None
    uids: list[int] = field(default_factory=list)
    standing: set[int] = field(default_factory=set)
    following: int = 0

    async def read(self, event: JournalEvent) -> None:
        """The next event."""
        text = str(event.fields.get("text", ""))
        if event.kind == "command":
            self._command(event, text)
        elif event.kind == "reply" and not text.startswith("+"):
            await self._hear(event, text)
            self.appended, self.coming = None, ""

    def _command(self, event: JournalEvent, text: str) -> None:
        if self.coming == "literal":
            announced, counted = _APPEND.fullmatch(self.asked), _LITERAL.fullmatch(text)
            if announced is not None and counted is not None and announced[1] == counted[1]:
                self.appended = event
            self.coming = "rest"
            return
        if not self.coming:
            self.asked = text
        self.coming = "literal" if _GOES_ON.search(text) else ""

    async def _hear(self, event: JournalEvent, text: str) -> None:
        unkept = event.fields.get("unkept", 0)
        if self.appended is not None:
            await self._append(self.appended, text)
        if _SELECT.match(self.asked):
            await self._select(text)
        elif _FETCH.match(self.asked):
            literal = _ANNOUNCED.search(text)
            self._news(
                text[: literal.start()] if literal is not None else text
            )  # it comes first, and a literal may look like it
            pieces = await _Fetched(self, event, text, int(str(unkept))).pieces()
            if pieces:
                self.found[event.seq] = pieces
        else:
            self._news(text)
            if unkept:  # an EXPUNGE may be in what the journal doesn't have
                self.uids, self.following = [], 0

    def _news(self, text: str) -> None:
        """What came and went (RFC 3501 §7.3.1, §7.4.1)."""
        for told in _NEWS.finditer(text):
            number = int(told[1])
            if told[2].upper() == "EXPUNGE":
                del self.uids[number - 1 : number]
            elif self.following and number > len(self.uids):
                end = self.following + number - len(self.uids)
                came = range(self.following, end)
                self.following = end if number < _MOST and self.standing.issuperset(came) else 0
                self.uids += came if self.following else ()

    async def _select(self, text: str) -> None:
        self.mailbox, self.uids, self.following = None, [], 0
        validity, following, count = _UID_VALIDITY.search(text), _UID_NEXT.search(text), _EXISTS.search(text)
        if validity is None:
            return
        self.mailbox = await self.stored.mailbox(int(validity[1]))
        if self.mailbox is None or following is None or count is None:
            return
        standing = await self.stored.uids(self.mailbox)
        uids = [uid for uid in standing if uid < int(following[1])]
        if len(uids) == int(count[1]):
            self.uids, self.standing, self.following = uids, set(standing), int(following[1])

    async def _append(self, literal: JournalEvent, text: str) -> None:
        appended, counted = _APPENDED.search(text), _LITERAL.fullmatch(str(literal.fields.get("text")))
        if appended is None or counted is None:
            return
        mailbox = await self.stored.mailbox(int(appended[1]))
        octets = await self.stored.message(mailbox, int(appended[2])) if mailbox is not None else None
        if octets is not None and len(octets) == int(counted[1]):
            self.found[literal.seq] = [Piece(literal.at, False, octets, notes=(_FROM_STORE.format("a literal"),))]


class _Fetched:
    """One reply with FETCH responses.

    Args:
        reader: What was said before.
        event: The reply.
        text: What the journal shows of it.
        unkept: Octets that followed.
    """

    def __init__(self, reader: _Reader, event: JournalEvent, text: str, unkept: int) -> None:
        self._reader = reader
        self._event = event
        self._text = text
        self._unkept = unkept
        self._broken = bool(event.fields.get("broken_off"))
        self._whole = not unkept and not self._broken
        self._at = 0  # how much of the text was read
        self._said = b""  # octets that aren't in a piece yet
        self._pieces: list[Piece] = []
        self._filled = 0
        self._message: tuple[int, int | None] = (0, None)  # the sequence number and the UID of the response under way

    async def pieces(self) -> list[Piece]:
        """What went over the wire; nothing where the journal knows it as well, or where stored octets don't fit."""
        while (announced := _ANNOUNCED.search(self._text, self._at)) is not None:
            before = self._text[self._at : announced.start()]
            self._said += _octets(self._text[self._at : announced.end()])
            self._at = announced.end()
            if not self._literal(await self._stored(before, int(announced[1])), int(announced[1])):
                return []
        self._said += _octets(self._text[self._at :]) + (b"\r\n" if self._whole else b"")
        again = await self._again()
        if not self._filled:
            return []
        if again:
            self._said, self._unkept = again, 0
        end = end_of(self._event, self._unkept)
        if self._unkept > len(end):
            self._flush(self._unkept - len(end), "what comes here" if end else "the rest")
        self._said += end
        self._flush(0, "")
        first, *others = self._pieces
        note = _FROM_STORE.format(f"{self._filled} literal{'s' if self._filled > 1 else ''}")
        return [Piece(first.at, True, first.kept, first.more, (note, *first.notes)), *others]

    async def _again(self) -> bytes:
        """The whole answer, made again from the messages; nothing where it was another one, or may have been."""
        reader, first, end = self._reader, _RESPONSE_OCTETS.search(self._said), end_of(self._event, self._unkept)
        if not self._unkept or self._pieces or first is None or not reader.following or reader.mailbox is None:
            return b""
        news, begun = self._said[: first.start()], self._said[first.start() :]
        size, stored, mailbox = len(begun) + self._unkept, reader.stored, reader.mailbox
        made = await responses(reader.asked, reader.uids, lambda uid: stored.message(mailbox, uid), begun, size)
        left = size - len(made or b"")
        if made is None or not 0 < left <= len(end):
            return b""
        whole = made + end[-left:]
        completed = re.fullmatch(
            rb"(?:\* [^\r\n]*\r\n)*%b OK [^\r\n]*\r\n" % re.escape(_tag(reader.asked)), end[-left:]
        )
        if completed is None or not (whole.startswith(begun) and whole.endswith(end)):
            return b""
        self._filled = whole.count(b"}\r\n", len(begun)) + 1
        return news + whole

    def _flush(self, more: int, what: str) -> None:
        """End a piece, and have a gap behind it: by itself, so that what is whole is read as such."""
        if self._said:
            self._pieces.append(Piece(self._event.at, True, self._said))
        if more:
            self._pieces.append(Piece(self._event.at, True, b"", more, (f"{what} wasn't kept: {more} octets",)))
        self._said = b""

    def _literal(self, octets: bytes | None, size: int) -> bool:
        """Step over a literal of this size, which is behind what was read; whether what is known of it fits together."""
        counted = 0
        while counted < size and (piece := _COUNTED.match(self._text, self._at)) is not None:
            counted += int(piece[1])
            self._at = piece.end()
        if counted:
            if (
                self._at == len(self._text) and 0 < size - counted <= self._unkept
            ):  # the journal's room ends in its midst
                self._unkept -= size - counted
                counted = size
            broken = counted < size and self._at == len(self._text) and not self._unkept  # nothing more was sent
            self._whole = self._whole and not broken
            if octets is None:
                self._flush(counted, "a literal")
            else:
                self._said += octets[:counted]
                self._filled += 1
            return counted == size or broken
        shown = self._text[self._at :]
        if octets is None:
            kept = _octets(shown)[:size]
            self._said += kept
            self._at += len(kept.decode("utf-8", "ignore"))
            return True
        if shown.startswith(whole := octets.decode("utf-8", "backslashreplace")):
            self._said += octets
            self._at += len(whole)
            self._filled += not whole.isascii() or "\\" in whole  # else the journal shows them as well
            return True
        return self._cut(octets, shown)

    def _cut(self, octets: bytes, shown: str) -> bool:
        """Step over a literal of which the journal shows a beginning; whether it is that."""
        kept = next(
            (
                count
                for count in range(min(len(shown.encode("utf-8", "backslashreplace")), len(octets)), -1, -1)
                if octets[:count].decode("utf-8", "backslashreplace") == shown
            ),
            None,
        )
        if kept is None or (len(octets) - kept > self._unkept and not self._broken):
            return False
        self._said += octets[:kept] if self._broken else octets
        self._unkept -= 0 if self._broken else len(octets) - kept
        self._at = len(self._text)
        self._filled += 1
        return True

    async def _stored(self, before: str, size: int) -> bytes | None:
        """The octets of the literal behind this text; None where they can't be known."""
        responses = list(_RESPONSE.finditer(before))
        if responses:
            self._message = (int(responses[-1][1]), None)
        told = _UID.search(before, responses[-1].end() - 1 if responses else 0)
        if told is not None:
            self._message = (self._message[0], int(told[1]))
        number, uid = self._message
        reader, item = self._reader, _ITEM.search(before)
        if uid is None and 1 <= number <= len(reader.uids):
            uid = reader.uids[number - 1]
        if uid is None or item is None or reader.mailbox is None:
            return None
        octets = await reader.stored.message(reader.mailbox, uid)
        wanted = _section(item[1])
        found = content(octets, wanted) if octets is not None and wanted is not None else None
        if found is None:
            return None
        start = int(item[2] or 0)
        found = found[start : start + size] if item[2] else found
        return found if len(found) == size else None


def _section(name: str) -> Section | None:
    """The section that a response names."""
    try:
        (attribute,) = parse_attributes(Cursor(Frame(name.encode("utf-8", "backslashreplace"))))
    except BadSyntax:
        return None
    return attribute.section if isinstance(attribute, BodySection) else OLD_NAMES.get(attribute)


def _tag(command: str) -> bytes:
    return _octets(command.partition(" ")[0])


def _octets(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")
