"""The heads of an exchange in the journal, and those of a kept connection made only once: mostly the next ones are the same."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from portyard.commons.exchange_notes import ToldFields, as_fields, as_json, blanked, shown
from portyard.commons.journal.model import SessionLog


class HeadNotes:
    """The last heads of one connection as its journal tells them.

    Args:
        log: The session's pen.

    Attributes:
        tell: Notes fields that are JSON.
        asked: What the last request's line is made of.
        request: It.
        answered: The last response's octets.
        response: It.
        fields: The header fields of the last request, as they came.
        received: The same as they are told, behind its line.
        sent: The last response's.
        version: The last request's.
        behind: How its line ends.
    """

    __slots__ = ("answered", "asked", "behind", "fields", "received", "request", "response", "sent", "tell", "version")

    def __init__(self, log: SessionLog) -> None:
        self.tell = log.told
        self.asked: object = None
        self.request = b""
        self.answered: bytes | None = None
        self.response = b""
        self.fields: object = None
        self.received = b""
        self.sent = ToldFields()
        self.version: object = None
        self.behind = ""


def note_request(notes: HeadNotes, request: web.BaseRequest, prefix: str, came: object) -> None:
    """Note a request's line, with the prefix that its path was stripped of, and its header fields: others whenever `came` is another."""
    message = request._message
    if came is not notes.fields:
        notes.fields, notes.asked = came, None
        notes.received = b',"headers":%b}' % as_json(blanked(request.headers.items()))
    asked = message.path, prefix, message.method, message.version
    if asked != notes.asked:
        target, prefix, method, version = asked
        if version != notes.version:
            notes.version, notes.behind = version, f" HTTP/{version.major}.{version.minor}"
        line = as_json(f"{method} {shown(prefix + target)}{notes.behind}")
        notes.asked, notes.request = asked, b'{"text":%b%b' % (line, notes.received)
    notes.tell("command", notes.request)


def tell_response(notes: HeadNotes, status_line: str, headers: Mapping[str, str], octets: bytes | None) -> None:
    """Make ready to note a response whose head, which goes out as these octets, is another than the last one's."""
    length = headers.get("Content-Length", "")
    body = int(length) if length.isascii() and length.isdecimal() else None
    notes.response = as_fields(text=status_line, headers=notes.sent.told(headers.items()), octets=body)
    notes.answered = octets
