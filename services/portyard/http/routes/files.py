"""`/files/<local part>/…`: an account's files, the same that its other protocols see. Folders that a PUT needs are made."""

from __future__ import annotations

import mimetypes
import os
from collections.abc import AsyncIterator
from stat import S_ISDIR, S_ISREG
from typing import BinaryIO

from aiohttp import HttpVersion11, web

from portyard.commons.accounts.model import Account
from portyard.commons.exchange import uploaded
from portyard.commons.filestore.model import FileRoot
from portyard.commons.hosted_requests import SINCE, connection_of, hosted
from portyard.http.core.conditions import Validators, Verdict, evaluate, format_date, range_applies
from portyard.http.core.credentials import parse_basic
from portyard.http.core.filepath import (
    PREFIX,
    BadPathError,
    Entry,
    FilePath,
    entry_of,
    listing_html,
    listing_json,
    parents_of,
    parse_target,
    status_of,
    validators_of,
)
from portyard.http.core.negotiation import best_of
from portyard.http.core.ranges import Span, UnsatisfiableError, parse_range, unsatisfied
from portyard.http.routes.common import (
    ROOM,
    Group,
    Route,
    bad_request,
    json_answer,
    moved_folder,
    stream_from,
    text_answer,
)

_PIECE = 256 * 1024  # octets read from a file at a time
_CODINGS = "gzip, deflate, br"
_BOUNDARY = "portyard-byteranges"
_COMPRESSED = {"gzip": "application/gzip", "bzip2": "application/x-bzip2", "xz": "application/x-xz"}


class _Refused(Exception):
    """Carries the response that ends a request early."""

    def __init__(self, response: web.Response) -> None:
        super().__init__(response.status)
        self.response = response


async def serve(request: web.Request) -> web.StreamResponse:
    """Any method on a file or a folder."""
    try:
        place, root = await _authorise(request)
        return await _METHODS[request.method](request, place, root)
    except _Refused as refusal:
        return refusal.response
    except BadPathError as error:
        raise bad_request(str(error)) from None
    except OSError as error:
        if isinstance(error, ConnectionError):
            raise
        status = status_of(error, writing=request.method in ("PUT", "DELETE"))
        if status == 500:
            raise
        return _refusal(status, error.strerror or type(error).__name__)


async def before_body(request: web.Request) -> web.StreamResponse | None:
    """Answer `Expect: 100-continue`: a request that will be refused anyway needn't send its body (RFC 9110 §10.1.1)."""
    if request.headers["Expect"].strip().lower() != "100-continue":
        raise web.HTTPExpectationFailed
    try:
        place, root = await _authorise(request)
        if request.method == "PUT":
            _check_put(request, place, root)
    except _Refused as refusal:
        return refusal.response
    except BadPathError as error:
        raise bad_request(str(error)) from None
    except OSError as error:
        return _refusal(status_of(error, writing=True), error.strerror or "")
    if request.version >= HttpVersion11:  # RFC 9110 §10.1.1: an HTTP/1.0 client didn't mean it
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # it isn't the response yet
    return None


async def _authorise(request: web.Request) -> tuple[FilePath, FileRoot]:
    """The place that the target names, once its owner proved to be the one who asks."""
    yard = request.app[ROOM].yard
    given = parse_basic(request.headers.get("Authorization"))
    accounts = yard.accounts.at(connection_of(request).home)
    account = await accounts.verify(*given) if given else None
    if account is None or account.sandbox != hosted(request).sandbox:  # another sandbox's is unknown in this one
        refusal = _refusal(401, "the account's name and password, please")
        refusal.headers["WWW-Authenticate"] = 'Basic realm="Portyard files", charset="UTF-8"'
        raise _Refused(refusal)
    if request.get(SINCE, account.generation) != account.generation:
        raise _Refused(_refusal(404, "the sandbox was reset while this request waited"))
    hosted(request).authenticated(account.address, "Basic")
    place = parse_target(request.raw_path.partition("#")[0].partition("?")[0])
    if not _owns(account, place.owner):
        raise _Refused(_refusal(403, "these files are another account's"))
    return place, yard.files.root(account)


def _owns(account: Account, name: str) -> bool:
    return name.lower() in (account.local_part.lower(), account.address.lower())


# ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def _get(request: web.Request, place: FilePath, root: FileRoot) -> web.StreamResponse:
    status = root.stat(place.path)
    if S_ISDIR(status.st_mode):
        return _folder(request, place, root)
    if place.as_folder:
        return _refusal(404, "not a folder")
    if not S_ISREG(status.st_mode):
        return _refusal(403, "not a regular file")
    file = root.open(place.path)
    try:
        return await _file(request, place, file)
    finally:
        file.close()


async def _file(request: web.Request, place: FilePath, file: BinaryIO) -> web.StreamResponse:
    status = os.fstat(file.fileno())  # of what will be read, which may have been replaced since
    current = validators_of(status)
    media_type = _media_type_of(place.path)
    fields = _validator_fields(current) | {"Content-Type": media_type, "Accept-Ranges": "bytes"}
    verdict = evaluate(request.method, request.headers, current)
    if verdict is not Verdict.PROCEED:
        return web.Response(status=verdict.value, headers=_validator_fields(current))
    spans = None
    if request.method == "GET" and range_applies(request.headers.get("If-Range"), current):
        try:
            spans = parse_range(request.headers.get("Range"), status.st_size)
        except UnsatisfiableError:
            return web.Response(status=416, headers={"Content-Range": unsatisfied(status.st_size)})
    parts, code, more = _parts(spans, status.st_size, media_type)
    length = sum(len(part) if isinstance(part, bytes) else part.length for part in parts)
    response = web.StreamResponse(status=code, headers=fields | more | {"Content-Length": str(length)})
    answer = await stream_from(request, response, _read(file, parts))
    log = connection_of(request).log
    log.event("transfer", direction="out", path=place.path, octets=0 if request.method == "HEAD" else length)
    return answer


def _media_type_of(path: str) -> str:
    media_type, coding = mimetypes.guess_type(path)
    if coding is not None:  # a compressed file is what is asked for, not what is in it
        return _COMPRESSED.get(coding, "application/octet-stream")
    return media_type or "application/octet-stream"


def _parts(spans: list[Span] | None, size: int, media_type: str) -> tuple[list[Span | bytes], int, dict[str, str]]:
    """What to send, with which status, and header fields: the whole, one span, or several in a multipart."""
    if not spans:
        return ([Span(0, size - 1)] if size else []), 200, {}
    if len(spans) == 1:
        return [spans[0]], 206, {"Content-Range": spans[0].content_range(size)}
    parts: list[Span | bytes] = []
    for span in spans:  # RFC 9110 §14.6
        head = f"\r\n--{_BOUNDARY}\r\nContent-Type: {media_type}\r\nContent-Range: {span.content_range(size)}\r\n\r\n"
        parts += [head.encode(), span]
    parts.append(f"\r\n--{_BOUNDARY}--\r\n".encode())
    return parts, 206, {"Content-Type": f"multipart/byteranges; boundary={_BOUNDARY}"}


async def _read(file: BinaryIO, parts: list[Span | bytes]) -> AsyncIterator[bytes]:
    for part in parts:
        if isinstance(part, bytes):
            yield part
            continue
        file.seek(part.first)
        left = part.length
        while left:
            piece = file.read(min(left, _PIECE))
            if not piece:  # it was cut short behind our back; the client sees that octets are missing
                raise ConnectionResetError("the file shrank while it was read")
            left -= len(piece)
            yield piece


def _folder(request: web.Request, place: FilePath, root: FileRoot) -> web.Response:
    if not place.as_folder:
        return moved_folder(place.target + "/")
    entries = [_entry(root, place.path, name) for name in root.list(place.path)]
    known = [entry for entry in entries if entry is not None]
    chosen = best_of(request.headers.get("Accept"), ("text/html", "application/json"), otherwise="text/html")
    if chosen is None:
        return _refusal(406, "a listing is text/html or application/json")
    as_json = chosen == "application/json"
    response = json_answer(listing_json(known)) if as_json else text_answer(listing_html(place, known), "text/html")
    response.headers["Vary"] = "Accept"
    return response


def _entry(root: FileRoot, folder: str, name: str) -> Entry | None:
    path = f"{folder.rstrip('/')}/{name}"
    try:
        return entry_of(name, root.stat(path))
    except OSError:
        pass
    try:
        return entry_of(name, root.lstat(path))  # a link to nowhere, or out of the root, is still a name
    except OSError:
        return None  # gone since it was listed


# ── writing ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def _put(request: web.Request, place: FilePath, root: FileRoot) -> web.StreamResponse:
    before = _check_put(request, place, root)
    for folder in parents_of(place.path):
        _make_folder(root, folder)
    received = await _receive(request, place, root)
    current = validators_of(root.stat(place.path))
    connection_of(request).log.event("transfer", direction="in", path=place.path, octets=received)
    fields = _validator_fields(current)
    if before.exists:
        return web.Response(status=204, headers=fields)
    return web.Response(status=201, headers=fields | {"Location": place.target})  # RFC 9110 §9.3.4


def _check_put(request: web.Request, place: FilePath, root: FileRoot) -> Validators:
    """What was there before; everything that can be refused before the body is."""
    if "Content-Range" in request.headers:
        raise _Refused(_refusal(400, "a part of a file can't be PUT"))  # RFC 9110 §14.5
    coding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if coding not in ("identity", "gzip", "deflate", "br"):
        refusal = _refusal(415, f"the coding {coding} isn't known")
        refusal.headers["Accept-Encoding"] = _CODINGS  # RFC 9110 §15.5.16
        raise _Refused(refusal)
    if (request.content_length or 0) > request.app[ROOM].yard.settings.limits.upload:
        raise _Refused(_too_large(request))
    before = _validators_at(root, place.path)
    if place.as_folder or (before.exists and S_ISDIR(root.stat(place.path).st_mode)):
        raise _Refused(_refusal(409, "that is a folder's name"))
    if evaluate("PUT", request.headers, before) is not Verdict.PROCEED:
        raise _Refused(web.Response(status=412, headers=_validator_fields(before)))
    return before


async def _receive(request: web.Request, place: FilePath, root: FileRoot) -> int:
    """The body into a draft that takes the file's place at the end; when anything goes wrong the old file stays."""
    received = 0
    limit = request.app[ROOM].yard.settings.limits.upload
    with root.replace(place.path) as draft:
        async for piece in request.content.iter_any():
            received += len(piece)
            if received > limit:
                raise _Refused(_too_large(request))
            await uploaded(request, received)
            draft.write(piece)
    return received


def _too_large(request: web.Request) -> web.Response:
    return _refusal(413, f"a file has at most {request.app[ROOM].yard.settings.limits.upload} octets")


def _make_folder(root: FileRoot, folder: str) -> None:
    try:
        if S_ISDIR(root.stat(folder).st_mode):
            return
    except FileNotFoundError:
        root.mkdir(folder)
        return
    raise NotADirectoryError(20, "a file is where a folder is needed")


async def _delete(request: web.Request, place: FilePath, root: FileRoot) -> web.StreamResponse:
    if place.path == "/":
        return _refusal(403, "the root stays")
    status = root.lstat(place.path)
    if evaluate("DELETE", request.headers, _validators_at(root, place.path)) is not Verdict.PROCEED:
        return _refusal(412, "its validators differ")
    if S_ISDIR(status.st_mode):
        root.rmdir(place.path)
    elif place.as_folder:
        return _refusal(404, "not a folder")
    else:
        root.unlink(place.path)
    return web.Response(status=204)


def _validators_at(root: FileRoot, path: str) -> Validators:
    try:
        return validators_of(root.stat(path))
    except (FileNotFoundError, NotADirectoryError):
        return Validators(None)


def _validator_fields(current: Validators) -> dict[str, str]:
    if current.tag is None or current.modified is None:
        return {}
    return {"ETag": str(current.tag), "Last-Modified": format_date(current.modified)}


def _refusal(status: int, reason: str) -> web.Response:
    return text_answer(f"{status}: {reason}\n", status=status)


_METHODS = {"GET": _get, "HEAD": _get, "PUT": _put, "DELETE": _delete}
_SUMMARY = "A file or a folder's listing; PUT makes the folders it needs. Basic auth."
GROUPS = (
    Group(
        "An account's files",
        (Route(("GET", "PUT", "DELETE"), PREFIX + "{path:.*}", serve, _SUMMARY, expect=before_body),),
    ),
)
