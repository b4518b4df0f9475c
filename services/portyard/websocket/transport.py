"""A connection that became a WebSocket: stricter than its host about frames, each frame noted, and closed so that the last one is read.

aiohttp accepts unmasked frames, lengths that aren't the shortest, RSV1 on control frames, close codes that may not be sent, and a new
message inside an unfinished empty fragment; the scanner here looks at every frame before aiohttp does.
"""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Callable
from functools import partial
from typing import Any, cast

from aiohttp import web
from msgspec import json

from portyard.commons.blanking import masked
from portyard.commons.exchange import House
from portyard.commons.gentle import GentleTransport
from portyard.commons.hosted_protocol import HostedProtocol
from portyard.commons.hosted_requests import hosted
from portyard.commons.hosting_parser import HostingLimits
from portyard.commons.journal.model import SessionLog, Sheet
from portyard.commons.journal.pages import form
from portyard.commons.yard import Connection
from portyard.websocket.core.framing import (
    HEAD_OCTETS,
    HEADER,
    LENGTH,
    LONGER,
    MASKED,
    MASKED_HEADER,
    SHORT,
    WHOLE,
    WHOLE_TEXT,
    FrameScanner,
)
from portyard.websocket.core.model import Frame, Opcode, Violation

LINGER_S = 2.0  # how long a closed connection is read after our Close, so that a reset doesn't overtake it
# What makes aiohttp fail the connection with 1002: every reserved bit and opcode. Fed to it when our scanner found a violation.
_POISON = b"\xff\x80\0\0\0\0"
_NAMES = {opcode: (opcode.name, opcode.name.lower()) for opcode in Opcode}
_encode = json.Encoder().encode


class FrameTransport(GentleTransport):
    """A transport that notes the frames written to it.

    Args:
        below: The real transport.
        linger_s: How long the peer may take to close after us.
        log: Where each frame that goes out is noted.
        shown: Octets of a frame's content that are noted.
    """

    def __init__(self, below: asyncio.Transport, linger_s: float, log: SessionLog, shown: int = HEAD_OCTETS) -> None:
        super().__init__(below, linger_s)
        self.log = log
        self.write: Callable[[bytes], None] = below.write
        self._note_binary = log.noter(_SENT_BINARY)
        self._shown = shown

    def begin(self) -> None:
        """What is written from now on is frames."""
        sheet = self.log.sheet()
        if sheet is not None and self.write is not _nowhere:
            scanner = FrameScanner(from_client=False, extended=True, shown=self._shown)
            self.write = _teller(sheet, scanner, self._below.write, partial(self._look, scanner))

    def hush(self) -> None:
        """What is written goes nowhere."""
        self.write = _nowhere

    def _look(self, scanner: FrameScanner, octets: bytes) -> None:
        """What isn't a short text."""
        if scanner.short(octets) >= 0:
            self._note_binary(octets)
        elif (frame := scanner.deflated(octets)) is not None:
            self.log.told("data", told_frame("out", frame))
        else:
            for frame in scanner.feed(octets).frames:
                self.log.told("data", told_frame("out", frame))

    def writelines(self, pieces: list[bytes]) -> None:
        """As `write`, for several pieces."""
        self.write(b"".join(pieces))


class GatedReader:
    """Stands before aiohttp's frame reader.

    Args:
        reader: aiohttp's.
        extended: Whether permessage-deflate was agreed on.
        log: Where each frame that came in is noted.
        fail: Told of the frame that broke a rule.
        shown: Octets of a frame's content that are noted.
    """

    def __init__(
        self,
        reader: Any,  # noqa: ANN401 - aiohttp's, in C where it was built so
        extended: bool,
        log: SessionLog,
        fail: Callable[[Violation], None],
        shown: int = HEAD_OCTETS,
    ) -> None:
        self._reader = reader
        self._pass_on = reader.feed_data
        sheet = log.sheet()
        self._scanner = FrameScanner(from_client=True, extended=extended, shown=shown, kept=sheet is not None)
        self._log = log
        self._note_binary = log.noter(_CAME_BINARY)
        self._fail = fail
        # Hands on what obeys the rules; (True, …) when the connection has failed.
        self.feed_data = _gate(sheet, self._scanner, self._pass_on, self._other)

    def _other(self, data: bytes) -> tuple[bool, bytes]:
        """What isn't a short text."""
        if self._scanner.short(data) >= 0:
            self._note_binary(data)
        elif (frame := self._scanner.deflated(data)) is not None:
            self._log.told("data", told_frame("in", frame))
        else:
            return self._feed(data)
        result: tuple[bool, bytes] = self._pass_on(data)
        return result

    def _feed(self, data: bytes) -> tuple[bool, bytes]:
        scan = self._scanner.feed(data)
        for frame in scan.frames:
            self._log.told("data", told_frame("in", frame))
        result: tuple[bool, bytes] = self._pass_on(scan.passed) if scan.passed else (False, b"")
        if scan.violation is not None:
            self._fail(scan.violation)
            self._pass_on(_POISON)
        return result

    def feed_eof(self) -> None:
        """The peer sends no more."""
        self._reader.feed_eof()


class FramedProtocol(HostedProtocol):
    """A hosted connection that may become a WebSocket."""

    def __init__(
        self,
        manager: web.Server,
        connection: Connection,
        limits: HostingLimits,
        *,
        journalled: bool,
        app: web.Application,
        house: House | None = None,
    ) -> None:
        super().__init__(manager, connection, limits, journalled=journalled, app=app, house=house)
        self.extended = False
        self._shown = limits.shown
        self._frames: FrameTransport | None = None

    def over(self, transport: asyncio.Transport) -> FrameTransport:
        """Put the transport that knows frames on top."""
        self._frames = FrameTransport(transport, LINGER_S, self.connection.log, self._shown)
        return self._frames

    def eof_received(self) -> bool | None:  # type: ignore[override]  # as HostedProtocol's
        """The peer sends no more, though it said no Close: what came before is dealt with, and then the connection ends."""
        assert self.gentle is not None
        if self._payload_parser is None or self.gentle.lingering or self.hushed:
            return super().eof_received()
        self.gentle.peer_ended = True
        self.reason = "peer closed"
        self._payload_parser.feed_eof()
        return True

    async def hush(self) -> None:
        """Nothing that others send here comes out either; see HostedProtocol."""
        if self._frames is not None:
            self._frames.hush()
        await super().hush()

    def set_parser(self, parser: Any, data_received_cb: Callable[[], None] | None = None) -> None:  # noqa: ANN401
        """The upgrade is done: from here on there are frames in both directions."""
        assert self._frames is not None
        self._frames.begin()
        gate = GatedReader(parser, self.extended, self.connection.log, self._note_violation, self._shown)
        super().set_parser(cast("Any", gate), data_received_cb)

    def _note_violation(self, violation: Violation) -> None:
        self.connection.log.event("error", text=f"1002: {violation.reason}")


_Feed = Callable[[bytes], tuple[bool, bytes]]

# What most frames are, a message in one frame that comes at once, is seen and noted with few calls: in an echo each costs as much as all
# that it does. The frame is noted as it went over the wire, masked where it came so: who reads the journal takes it apart. Of a
# longer one it is asked what FrameScanner.longer asks.


def _teller(
    sheet: Sheet, scanner: FrameScanner, pass_on: Callable[[bytes], None], other: Callable[[bytes], None]
) -> Callable[[bytes], None]:
    """What writes frames and notes them."""
    noted, moment, most = sheet.noted, sheet.moment, scanner.most_short + HEADER
    header, least, longest = HEADER + LENGTH, HEADER + LENGTH + SHORT, HEADER + LENGTH + scanner.shown

    def write(data: bytes) -> None:
        pass_on(data)
        size = len(data)
        if HEADER <= size < most and data[1] == size - HEADER and data[0] == WHOLE_TEXT and scanner.fresh:
            noted.append(moment())
            noted.append(_SENT_TEXT)
            noted.append(data)
        elif (
            size >= least
            and data[1] == LONGER
            and data[2] << 8 | data[3] == size - header
            and data[0] in WHOLE
            and scanner.fresh
        ):
            noted.append(moment())
            noted.append(_SENT_LONGER[data[0] & 1])
            noted.append(data if size <= longest else data[:longest])
        else:
            other(bytes(data))
            return
        if len(noted) >= sheet.due:
            sheet.attend()

    return write


def _gate(sheet: Sheet | None, scanner: FrameScanner, pass_on: _Feed, other: _Feed) -> _Feed:
    """What notes frames that came in and hands them on."""
    if sheet is None:
        return _quiet_gate(scanner, pass_on, other)
    noted, moment, most = sheet.noted, sheet.moment, scanner.most_short + MASKED_HEADER
    header, second = MASKED_HEADER + LENGTH, LONGER | MASKED
    least, longest = header + SHORT, header + scanner.shown

    def feed(data: bytes) -> tuple[bool, bytes]:
        size = len(data)
        if (
            MASKED_HEADER <= size < most
            and data[1] == size - MASKED_HEADER | MASKED
            and data[0] == WHOLE_TEXT
            and scanner.fresh
        ):
            noted.append(moment())
            noted.append(_CAME_TEXT)
            noted.append(data)
        elif (
            size >= least
            and data[1] == second
            and data[2] << 8 | data[3] == size - header
            and data[0] in WHOLE
            and scanner.fresh
        ):
            noted.append(moment())
            noted.append(_CAME_LONGER[data[0] & 1])
            noted.append(data if size <= longest else data[:longest])
        else:
            return other(data)
        if len(noted) >= sheet.due:
            sheet.attend()
        return pass_on(data)

    return feed


def _quiet_gate(scanner: FrameScanner, pass_on: _Feed, other: _Feed) -> _Feed:
    """The same where nothing is kept: what a client may not send is refused still."""
    most = scanner.most_short + MASKED_HEADER

    def feed(data: bytes) -> tuple[bool, bytes]:
        size = len(data)
        if (
            MASKED_HEADER <= size < most
            and data[1] == size - MASKED_HEADER | MASKED
            and data[0] == WHOLE_TEXT
            and scanner.fresh
        ):
            return pass_on(data)
        return pass_on(data) if scanner.longer(data) else other(data)

    return feed


def _nowhere(data: bytes) -> None:
    pass


def framed(request: web.BaseRequest) -> FramedProtocol:
    """The protocol object of a request to this room."""
    protocol = hosted(request)
    assert isinstance(protocol, FramedProtocol)
    return protocol


def told_frame(direction: str, frame: Frame) -> bytes:
    """A frame as the journal shows it: a readable line, and its parts."""
    opcode, fin, length, compressed, head, inflated = frame
    name, word = _NAMES[opcode]
    fields: dict[str, object] = {"direction": direction, "opcode": word, "fin": fin, "octets": length}
    if inflated is not None:  # told as what it says; how long it was on the wire stands beside
        fields["octets"], fields["deflated"] = inflated, length
        length, compressed = inflated, False
    text = f"{name} {length}" if fin else f"{name}… {length}"
    if opcode is Opcode.CLOSE:
        if (code := frame.close_code) is not None:
            reason = head[2:].decode("utf-8", "replace")
            fields["code"], fields["reason"] = code, reason
            text = f"CLOSE {code} {reason}".rstrip()
    elif compressed:
        fields["compressed"] = True
        text += " compressed"
    elif opcode is Opcode.TEXT:
        text = f"{text} {masked(head).decode('utf-8', 'replace')}{'…' if length > len(head) else ''}"
    elif head:
        fields["base64"] = b64encode(masked(head)).decode()
    fields["text"] = text
    return _encode(fields)


def _in_one(direction: str, opcode: Opcode) -> dict[str, object]:
    """What is told of every message in one frame."""
    name, word = _NAMES[opcode]
    return {"direction": direction, "opcode": word, "fin": True, "octets": 0, "text": name}


_CAME_TEXT = form("data", _in_one("in", Opcode.TEXT), skip=2, veiled=True)
_SENT_TEXT = form("data", _in_one("out", Opcode.TEXT), skip=2)
_CAME_BINARY = form("data", _in_one("in", Opcode.BINARY), skip=2, veiled=True, binary=True)
_SENT_BINARY = form("data", _in_one("out", Opcode.BINARY), skip=2, binary=True)
# By the last bit of the opcode: octets, text. With the length in two octets of its own (RFC 6455 §5.2).
_CAME_LONGER = (
    form("data", _in_one("in", Opcode.BINARY), skip=4, length=2, veiled=True, binary=True),
    form("data", _in_one("in", Opcode.TEXT), skip=4, length=2, veiled=True),
)
_SENT_LONGER = (
    form("data", _in_one("out", Opcode.BINARY), skip=4, length=2, binary=True),
    form("data", _in_one("out", Opcode.TEXT), skip=4, length=2),
)
