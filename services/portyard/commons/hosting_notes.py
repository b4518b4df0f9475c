"""The heads of an exchange in the journal, and those of a kept connection made only once: mostly the next ones are the same."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from portyard.commons.exchange_notes import SHOWN_CHARACTERS, ToldFields, as_fields, as_json, blanked, shown
from portyard.commons.journal.model import SessionLog
from portyard.commons.journal.pages import FIELDS


class HeadNotes:
    """The last heads of one connection as its journal tells them.

    Args:
        log: The session's pen.

    Attributes:
        tell: Notes fields that are JSON.
        ask: Notes those of a request that is another than the last one.
        begun: What the last request's line is made of but for its target.
        target: That.
        request: It.
        answered: The last response's octets.
        response: It.
        fields: The header fields of the last request, as they came.
        received: The same as they are told, behind its line.
        sent: The last response's.
        behind: How its line ends.
    """

    __slots__ = (
        "answered",
        "ask",
        "begun",
        "behind",
        "fields",
        "received",
        "request",
        "response",
        "sent",
        "target",
        "tell",
    )

    def __init__(self, log: SessionLog) -> None:
        self.tell = log.told
        self.ask = log.noter(FIELDS["command"])
        self.begun: object = None
        self.target: str | None = None
        self.request = b""
        self.answered: bytes | None = None
        self.response = b""
        self.fields: object = None
        self.received = b""
        self.sent = ToldFields()
        self.behind = ""


def note_request(notes: HeadNotes, request: web.BaseRequest, prefix: str, came: object) -> None:
    """Note a request's line, with the prefix that its path was stripped of, and its header fields: others whenever `came` is another."""
    message = request._message
    target, begun = message.path, (message.method, prefix, message.version)
    if came is not notes.fields or begun != notes.begun:
        notes.begun, notes.behind = begun, f" HTTP/{message.version.major}.{message.version.minor}"
        notes.fields, notes.received = came, b',"headers":%b}' % as_json(blanked(request.headers.items()))
    elif target == notes.target:  # once it comes again it is one of those that may come often
        notes.tell("command", notes.request)
        return
    notes.target = target
    if prefix or "=" in target or "@" in target or not target.isascii() or len(target) > SHOWN_CHARACTERS:
        target = shown(prefix + target)  # else it is shown as it is, and isn't looked at by a call more
    line = as_json(f"{message.method} {target}{notes.behind}")
    told = notes.request = b'{"text":' + line + notes.received
    notes.ask(told)


def tell_response(notes: HeadNotes, status_line: str, headers: Mapping[str, str], octets: bytes | None) -> None:
    """Make ready to note a response whose head, which goes out as these octets, is another than the last one's."""
    length = headers.get("Content-Length", "")
    body = int(length) if length.isascii() and length.isdecimal() else None
    notes.response = as_fields(text=status_line, headers=notes.sent.told(headers.items()), octets=body)
    notes.answered = octets
