"""Journalled HTTP sessions as an HTTP Archive (HAR 1.2), with the messages of a WebSocket as browsers write them.

The journal keeps heads and the beginnings of bodies, and secrets are blanked in it: that is what the archive holds, too.
"""

from __future__ import annotations

import binascii
import json
import re
import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterator, Sequence
from datetime import datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from portyard import __version__
from portyard.commons.journal.model import JournalEvent, SessionRecord

ROOMS = frozenset({"http", "websocket"})
_UNKNOWN = -1  # HAR's word for a size or time that isn't known
_SHOWN = re.compile(r"^[A-Z]+…? \d+(?: compressed)? ?")  # what stands before a frame's text in the journal's line
_INFLATED = 16 << 20  # octets; a body that would be more stays as it came
_CODINGS = {
    "gzip": (47,),
    "x-gzip": (47,),
    "deflate": (47, -zlib.MAX_WBITS),
}  # zlib's wbits; some send deflate without a head
_OPCODES = {"continuation": 0, "text": 1, "binary": 2, "close": 8, "ping": 9, "pong": 10}


class Archive:
    """An archive in the making: of what was added it holds the text alone.

    Attributes:
        octets: How many the exchanges have so far.
    """

    def __init__(self) -> None:
        self.octets = 0
        self._entries: list[tuple[str, bytes]] = []

    def add(self, session: SessionRecord, events: Sequence[JournalEvent]) -> Iterator[None]:
        """Add a session with all its events, an exchange at each step: between them the caller may think better of it."""
        for entry in _entries(session, events):
            _decode(entry["response"])
            _join(entry.get("_webSocketMessages", []))
            text = json.dumps(entry, ensure_ascii=False, default=str).encode("utf-8", "replace")
            self._entries.append((entry["startedDateTime"], text))
            self.octets += len(text)
            yield

    def whole(self) -> bytes:
        """It as JSON, the exchanges by their time."""
        self._entries.sort(key=lambda entry: entry[0])
        creator = json.dumps({"name": "Portyard", "version": __version__}).encode()
        entries = b", ".join([text for _, text in self._entries])
        return b"".join((b'{"log": {"version": "1.2", "creator": ', creator, b', "entries": [', entries, b"]}}"))


def _entries(session: SessionRecord, events: Sequence[JournalEvent]) -> Iterator[dict[str, Any]]:
    secure = any(event.kind == "tls" and event.fields.get("step") == "established" for event in events)
    entry: dict[str, Any] | None = None
    for event in events:
        if event.kind == "command":
            if entry is not None:
                yield entry
            entry = _entry(session, event, secure=secure)
        elif entry is not None:
            _add(entry, event)
    if entry is not None:
        yield entry


def _add(entry: dict[str, Any], event: JournalEvent) -> None:
    """Put to an exchange what came of it."""
    match event.kind:
        case "reply" if _is_interim(entry["response"]["status"]):
            _answered(entry, event)
        case "data" if "opcode" in event.fields:
            _message(entry, event)
        case "data":
            _body(entry, event)
        case "fault":
            entry["comment"] = f"fault: {json.dumps(event.fields, default=str)}"


def _entry(session: SessionRecord, event: JournalEvent, *, secure: bool) -> dict[str, Any]:
    method, _, rest = str(event.fields.get("text", "")).partition(" ")
    target, _, version = rest.rpartition(" ")
    headers = _headers(event)
    host = next((header["value"] for header in headers if header["name"].lower() == "host"), "unknown")
    scheme = ("wss" if secure else "ws") if session.room == "websocket" else ("https" if secure else "http")
    url = _url(scheme, host, method, target)
    try:
        query = parse_qsl(urlsplit(url).query, keep_blank_values=True)
    except ValueError:
        query = []
    request = {
        "method": method,
        "url": url,
        "httpVersion": version or "unknown",
        "cookies": [],
        "headers": headers,
        "queryString": [{"name": name, "value": value} for name, value in query],
        "headersSize": _UNKNOWN,
        "bodySize": 0,
    }
    return {
        "startedDateTime": event.at.isoformat(),
        "time": 0,
        "request": request,
        "response": _response(0, "", "unknown", [], _UNKNOWN),
        "cache": {},
        "timings": {"send": 0, "wait": 0, "receive": 0},
        "connection": session.id,
    }


def _is_interim(status: int) -> bool:
    """Whether another answer follows (RFC 9110 §15.2), or none has come."""
    return status < 200 and status != HTTPStatus.SWITCHING_PROTOCOLS


def _url(scheme: str, host: str, method: str, target: str) -> str:
    """What is asked for (RFC 9110 §7.1), without the fragment, which HAR leaves out."""
    if method == "CONNECT":
        host, target = target, ""
    url = target if "://" in target else f"{scheme}://{host}{'' if target == '*' else target}"
    return url.partition("#")[0]


def _answered(entry: dict[str, Any], event: JournalEvent) -> None:
    version, _, rest = str(event.fields.get("text", "")).partition(" ")
    status, _, reason = rest.partition(" ")
    octets = event.fields.get("octets")
    size = octets if isinstance(octets, int) else _UNKNOWN
    if entry["request"]["method"] == "HEAD":
        size = 0  # RFC 9110 §9.3.2: its Content-Length is GET's
    number = int(status) if status.isascii() and status.isdecimal() else 0
    if number in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED):
        size = 0  # RFC 9112 §6.3
    entry["response"] = _response(number, reason, version, _headers(event), size)
    entry["time"] = entry["timings"]["wait"] = max(0.0, _ms(entry, event))


def _body(entry: dict[str, Any], event: JournalEvent) -> None:
    """Put a body's beginning to its message."""
    fields = event.fields
    octets = fields.get("octets")
    if not isinstance(octets, int):
        return
    held = {}
    if "base64" in fields:
        held = {"text": str(fields["base64"]), "encoding": "base64"}
    elif "text" in fields:
        held = {"text": str(fields["text"])}
    if held and (left := fields.get("unkept")):
        held["comment"] = f"the journal kept all but the last {left} octets"
    if fields.get("direction") == "in":
        entry["request"]["bodySize"] = octets
        if held:
            entry["request"]["postData"] = _posted(entry["request"]["headers"], held)
    elif fields.get("part") == "body":
        entry["response"]["content"] |= {"size": octets} | held


def _decode(response: dict[str, Any]) -> None:
    """Show a whole body as HAR has it: without its content coding."""
    content = response["content"]
    coding = next((each["value"] for each in response["headers"] if each["name"].lower() == "content-encoding"), "")
    if "comment" in content or content.get("encoding") != "base64":
        return
    for wbits in _CODINGS.get(coding.strip().lower(), ()):
        inflating = zlib.decompressobj(wbits)
        try:
            octets = inflating.decompress(b64decode(content["text"]), _INFLATED)
        except (zlib.error, binascii.Error):
            continue
        if inflating.eof and not inflating.unused_data:
            content |= {"size": len(octets), "compression": len(octets) - response["bodySize"]} | _held(octets)
            if content["encoding"] is None:
                del content["encoding"]
            return


def _held(octets: bytes) -> dict[str, str | None]:
    try:
        return {"text": octets.decode(), "encoding": None}
    except UnicodeDecodeError:
        return {"text": b64encode(octets).decode(), "encoding": "base64"}


def _posted(headers: list[dict[str, str]], held: dict[str, str]) -> dict[str, Any]:
    """A request's body; a form's fields one by one, too."""
    kind = next((header["value"] for header in headers if header["name"].lower() == "content-type"), "")
    posted: dict[str, Any] = {"mimeType": kind or "application/octet-stream", "params": [], **held}
    if "encoding" in posted:
        posted["_encoding"] = posted.pop("encoding")  # HAR has the word for answers alone
    elif kind.partition(";")[0].strip().lower() == "application/x-www-form-urlencoded":
        pairs = parse_qsl(held["text"], keep_blank_values=True)
        posted["params"] = [{"name": name, "value": value} for name, value in pairs]
    return posted


def _message(entry: dict[str, Any], event: JournalEvent) -> None:
    """Put a frame to its connection's messages: binary ones in base64, those that came in several frames as one."""
    fields = event.fields
    opcode = _OPCODES.get(str(fields["opcode"]))
    kind = "send" if fields.get("direction") == "in" else "receive"  # from the client's side, as browsers have it
    entry.setdefault("_resourceType", "websocket")
    messages = entry.setdefault("_webSocketMessages", [])
    content = str(fields.get("base64", "")) if opcode != 1 else _SHOWN.sub("", str(fields.get("text", "")))
    if opcode is not None:
        data = _SHOWN.sub("", str(fields.get("text", ""))) if opcode == 8 else content
        messages.append({"type": kind, "time": event.at.timestamp(), "opcode": opcode, "data": data})
        if fields.get("compressed") and not data:
            messages[-1]["_comment"] = "compressed: what it says isn't kept"


def _join(messages: list[dict[str, Any]]) -> None:
    """Have each message's further frames in its first: when all are there, or it would take longer with each."""
    begun: dict[str, dict[str, Any]] = {}
    for frame in messages:
        if frame["opcode"] in (1, 2):
            begun[frame["type"]] = frame
        elif frame["opcode"] == 0 and frame["type"] in begun:
            begun[frame["type"]].setdefault("more", []).append(b64decode(frame["data"]))
    messages[:] = [frame for frame in messages if frame["opcode"]]
    for message in messages:
        more = b"".join(message.pop("more", ()))
        if more and message["opcode"] == 1:  # a character may stand in two frames (RFC 6455 §5.6)
            message["data"] += more.decode("utf-8", "replace")
        elif more:
            message["data"] = b64encode(b64decode(message["data"]) + more).decode()


def _response(status: int, reason: str, version: str, headers: list[dict[str, str]], size: int) -> dict[str, Any]:
    named = {header["name"].lower(): header["value"] for header in headers}
    return {
        "status": status,
        "statusText": reason,
        "httpVersion": version,
        "cookies": [],
        "headers": headers,
        "content": {"size": max(size, 0), "mimeType": named.get("content-type", "x-unknown")},
        "redirectURL": named.get("location", ""),
        "headersSize": _UNKNOWN,
        "bodySize": size,
    }


def _headers(event: JournalEvent) -> list[dict[str, str]]:
    pairs = event.fields.get("headers")
    listed = pairs if isinstance(pairs, list) else []
    return [
        {"name": str(pair[0]), "value": str(pair[1])} for pair in listed if isinstance(pair, list) and len(pair) == 2
    ]


def _ms(entry: dict[str, Any], event: JournalEvent) -> float:
    return (event.at - datetime.fromisoformat(entry["startedDateTime"])).total_seconds() * 1000
