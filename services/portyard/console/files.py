"""Operations on an account's files: the same that its other doors show."""

from __future__ import annotations

import asyncio
import errno
import functools
import os
import stat
from collections.abc import Callable
from datetime import UTC, datetime
from http import HTTPStatus
from typing import BinaryIO, TypeVar
from urllib.parse import quote, unquote

from aiohttp import web

from portyard.commons.filestore.model import FileRoot
from portyard.console import forms
from portyard.console.calls import JSON, Call, Route
from portyard.console.problems import ProblemError
from portyard.console.readable import encoded
from portyard.console.streams import ask_for_body, begin

T = TypeVar("T")

BINARY = "application/octet-stream"
PIECE = 256 * 1024  # octets of one read or write
_STATUS = {
    errno.ENOENT: HTTPStatus.NOT_FOUND,
    errno.EACCES: HTTPStatus.FORBIDDEN,
    errno.EPERM: HTTPStatus.FORBIDDEN,
    errno.ENOTDIR: HTTPStatus.CONFLICT,
    errno.EISDIR: HTTPStatus.CONFLICT,
    errno.EEXIST: HTTPStatus.CONFLICT,
    errno.ENOTEMPTY: HTTPStatus.CONFLICT,
    errno.ENOSPC: HTTPStatus.INSUFFICIENT_STORAGE,
    errno.EDQUOT: HTTPStatus.INSUFFICIENT_STORAGE,
}
_REFUSALS = (403, 409)


async def get_file(call: Call) -> web.StreamResponse | list[forms.File]:
    """A directory's list, or a file's octets."""
    root, path = await _place(call)
    found = await _done(path, root.stat, path)
    if stat.S_ISDIR(found.st_mode):
        listed = await _done(path, lambda: list(root.scan(path)))
        return [_shown(name, status) for name, status in listed]
    file = await _done(path, root.open, path)
    try:
        return await _send(call, file, path)
    finally:
        file.close()


async def put_file(call: Call) -> web.StreamResponse:
    """Write a file, the directories above it made; a path that ends with a slash makes a directory."""
    root, path = await _place(call)
    names = [name for name in path.split("/") if name]
    if not names:
        raise ProblemError(
            HTTPStatus.CONFLICT, "the root is a directory", key="path", value=path, allowed="a name in it"
        )
    folder = path.endswith("/")
    await _done(path, _make_folders, root, names if folder else names[:-1])
    if folder:
        return await _written(call, root, path.rstrip("/"), HTTPStatus.CREATED)
    existed = await _done(path, _exists, root, path)
    draft = await _done(path, root.replace, path)
    await _receive(call, draft, path)
    return await _written(call, root, path, HTTPStatus.OK if existed else HTTPStatus.CREATED)


async def delete_file(call: Call) -> None:
    """Remove a file, or a directory with all that is in it."""
    root, path = await _place(call)
    if not path.strip("/"):
        for name in await _done(path, root.list, "/"):
            await _done(path, _remove, root, f"/{name}")
        return
    await _done(path, root.lstat, path.rstrip("/"))
    await _done(path, _remove, root, path.rstrip("/"))


async def _place(call: Call) -> tuple[FileRoot, str]:
    sandbox = await call.desk.sandbox(call.path["sandbox"])
    account = await call.desk.account(sandbox, call.path["account"])
    root = await asyncio.to_thread(call.desk.yard.files.root, account)
    target = call.target.partition("#")[0].partition("?")[0]
    segments = target.split("/")[len(_ROOT.split("/")) + 2 :]  # below /api/v1
    return root, "/" + unquote("/".join(segments), errors="surrogateescape")  # a name may hold any octets but NUL


async def _done(path: str, work: Callable[..., T], *arguments: object) -> T:
    """What a call of the store comes to, off the loop; its errors are the peer's to read.

    Raises:
        ProblemError: The operating system's word on it.
    """
    try:
        return await asyncio.to_thread(functools.partial(work, *arguments))
    except OSError as error:
        status = _STATUS.get(error.errno or 0, HTTPStatus.UNPROCESSABLE_ENTITY)
        reason = (error.strerror or str(error)).lower()
        allowed = "a path that the directory shows" if status == HTTPStatus.NOT_FOUND else "another path"
        raise ProblemError(status, f"{path}: {reason}", key="path", value=path, allowed=allowed) from None


async def _send(call: Call, file: BinaryIO, path: str) -> web.StreamResponse:
    name = quote(path.rstrip("/").rpartition("/")[2], safe="", errors="surrogateescape")
    headers = {
        "Content-Type": BINARY,
        "Content-Disposition": f"attachment; filename*=UTF-8''{name}",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
    }
    response = web.StreamResponse(headers=headers)
    left = os.fstat(file.fileno()).st_size
    response.content_length = left
    if not await begin(call.request, response):
        return response
    while left:
        piece = await asyncio.to_thread(file.read, min(PIECE, left))
        if not piece:  # it was cut short meanwhile: the length was promised, so the connection must tell
            raise ConnectionResetError("the file became shorter")
        left -= len(piece)
        await response.write(piece)
    await response.write_eof()
    return response


async def _receive(call: Call, draft: BinaryIO, path: str) -> None:
    """Take the body into the draft; the old file stays unless all of it came."""
    limit, size = call.desk.yard.settings.limits.upload, 0
    try:
        announced = call.request.content_length or 0
        if announced > limit:
            raise web.HTTPRequestEntityTooLarge(max_size=limit, actual_size=announced)
        await ask_for_body(call.request)
        async for piece in call.request.content.iter_chunked(PIECE):
            size += len(piece)
            if size > limit:
                raise web.HTTPRequestEntityTooLarge(max_size=limit, actual_size=size)
            await _done(path, draft.write, piece)
    except BaseException as error:
        draft.__exit__(type(error), error, error.__traceback__)
        raise
    await _done(path, draft.close)


def _exists(root: FileRoot, path: str) -> bool:
    try:
        root.lstat(path)
    except FileNotFoundError:
        return False
    return True


def _make_folders(root: FileRoot, names: list[str]) -> None:
    for end in range(1, len(names) + 1):
        folder = "/" + "/".join(names[:end])
        try:
            root.mkdir(folder)
        except FileExistsError:
            if not stat.S_ISDIR(root.stat(folder).st_mode):
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), folder) from None


def _remove(root: FileRoot, path: str) -> None:
    if not stat.S_ISDIR(root.lstat(path).st_mode):
        root.unlink(path)
        return
    for name in root.list(path):
        _remove(root, f"{path}/{name}")
    root.rmdir(path)


def _shown(name: str, status: os.stat_result) -> forms.File:
    modified = datetime.fromtimestamp(status.st_mtime, UTC)
    if stat.S_ISDIR(status.st_mode):
        return forms.File(name, "directory", 0, modified)
    if stat.S_ISLNK(status.st_mode):
        return forms.File(name, "link", status.st_size, modified)
    return forms.File(name, "file" if stat.S_ISREG(status.st_mode) else "other", status.st_size, modified)


async def _written(call: Call, root: FileRoot, path: str, status: HTTPStatus) -> web.Response:
    found = _shown(path.rpartition("/")[2], await _done(path, root.stat, path))
    headers = {"Location": call.request.rel_url.raw_path, "Cache-Control": "no-store"}
    return web.Response(status=status, body=encoded(found), content_type=JSON, headers=headers)


_ROOT = "/sandboxes/{sandbox}/files/{account}"
_FILE = f"{_ROOT}/{{path}}"
_SHOWN = (JSON, BINARY)
_READS = {BINARY: bytes}

ROUTES = (
    Route("GET", _ROOT, get_file, "What an account's root holds", list[forms.File], refusals=_REFUSALS, streams=True),
    Route("DELETE", _ROOT, delete_file, "Remove all of an account's files", None, status=HTTPStatus.NO_CONTENT),
    Route("GET", _FILE, get_file, "A directory's list, or a file's octets", _SHOWN, refusals=_REFUSALS, streams=True),
    Route(
        "PUT",
        _FILE,
        put_file,
        "Write a file; a slash at the end makes a directory",
        forms.File,
        reads=_READS,
        status=HTTPStatus.CREATED,
        refusals=(*_REFUSALS, 507),
        also=(200,),
        streams=True,
    ),
    Route(
        "DELETE",
        _FILE,
        delete_file,
        "Remove a file or a directory",
        None,
        status=HTTPStatus.NO_CONTENT,
        refusals=_REFUSALS,
    ),
)
