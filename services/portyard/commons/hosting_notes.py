"""The heads of an exchange in the journal, and those of a kept connection made only once: mostly the next ones are the same."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from portyard.commons.exchange_notes import ToldFields, as_fields, as_json, blanked, shown
from portyard.commons.yard import Connection


class HeadNotes:
    """The last heads of one connection as its journal tells them.

    Attributes:
        asked: What the last request's line is made of.
        request: It.
        answered: The last response's octets.
        response: It.
        fields: The header fields of the last request, as they came.
        received: The same as they are told, behind its line.
        sent: The last response's.
    """

    __slots__ = ("answered", "asked", "fields", "received", "request", "response", "sent")

    def __init__(self) -> None:
        self.asked: object = None
        self.request = b""
        self.answered: bytes | None = None
        self.response = b""
        self.fields: object = None
        self.received = b""
        self.sent = ToldFields()


def note_request(connection: Connection, notes: HeadNotes, request: web.BaseRequest, prefix: str) -> None:
    """Note a request's line, with the prefix that its path was stripped of, and its header fields."""
    message = request._message
    if message.raw_headers != notes.fields:
        notes.fields, notes.asked = message.raw_headers, None
        notes.received = b',"headers":%b}' % as_json(blanked(request.headers.items()))
    asked = message.path, prefix, message.method, message.version
    if asked != notes.asked:
        version = message.version
        text = f"{message.method} {shown(prefix + message.path)} HTTP/{version.major}.{version.minor}"
        notes.asked, notes.request = asked, b'{"text":' + as_json(text) + notes.received
    connection.log.told("command", notes.request)


def note_response(
    connection: Connection,
    notes: HeadNotes,
    status_line: str,
    headers: Mapping[str, str],
    octets: bytes | None,
) -> bool:
    """Note a response whose head goes out as these octets; whether it is another than the last one's."""
    differs = octets is None or octets != notes.answered
    if differs:
        length = headers.get("Content-Length", "")
        body = int(length) if length.isascii() and length.isdecimal() else None
        notes.response = as_fields(text=status_line, headers=notes.sent.told(headers.items()), octets=body)
        notes.answered = octets
    connection.log.told("reply", notes.response)
    return differs
