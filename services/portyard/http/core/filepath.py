"""`/files/<local part>/…`: a request target to an owner and a path inside the owner's root, and what a store's error means."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from os import stat_result
from stat import S_ISDIR
from urllib.parse import quote, unquote_to_bytes

from portyard.http.core.conditions import EntityTag, Validators

PREFIX = "/files/"


class BadPathError(ValueError):
    """The target names no path; the message says why."""


@dataclass(frozen=True, slots=True)
class FilePath:
    """What a target names.

    Attributes:
        owner: A local part, as written.
        path: Absolute inside the owner's root, ".." resolved.
        as_folder: Whether it was written with a slash at its end.
    """

    owner: str
    path: str
    as_folder: bool

    @property
    def target(self) -> str:
        """The path of its URL."""
        slash = "/" if self.as_folder and self.path != "/" else ""
        return PREFIX + quote(self.owner, safe="@") + quote(self.path, errors="surrogateescape") + slash


def parse_target(raw_path: str) -> FilePath:
    """A request target's path, still percent-encoded, to what it names.

    `..` climbs no higher than the owner's root, however it is encoded. Octets that aren't UTF-8 are kept, as file names are octets.

    Raises:
        BadPathError: A segment holds an encoded slash or a NUL.
    """
    segments = [_decode(segment) for segment in raw_path.removeprefix(PREFIX).split("/")]
    owner, *names = segments
    kept: list[str] = []
    for name in names:
        if name == "..":
            kept = kept[:-1]
        elif name not in ("", "."):
            kept.append(name)
    as_folder = not names or names[-1] in ("", ".", "..")
    return FilePath(owner, "/" + "/".join(kept), as_folder)


def _decode(segment: str) -> str:
    name = unquote_to_bytes(segment.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")
    if "/" in name or "\0" in name:
        raise BadPathError(f"{segment!r} can't be a file's name")
    return name


def parents_of(path: str) -> list[str]:
    """The folders above a path, outermost first, the root left out."""
    names = path.strip("/").split("/")[:-1]
    return ["/" + "/".join(names[: depth + 1]) for depth in range(len(names))]


def validators_of(status: stat_result) -> Validators:
    """A file's validators: any write changes its time in nanoseconds, a replacement its inode."""
    tag = EntityTag(f"{status.st_mtime_ns:x}-{status.st_size:x}-{status.st_ino:x}")
    return Validators(tag, datetime.fromtimestamp(status.st_mtime, UTC))


# What a store's error means to a reader and to a writer.
_READING = {
    errno.ENOENT: 404,
    errno.ENOTDIR: 404,
    errno.ENAMETOOLONG: 404,
    errno.EINVAL: 404,
    errno.ELOOP: 404,
    errno.EACCES: 403,
    errno.EPERM: 403,
}
_WRITING = {
    errno.ENOENT: 409,
    errno.ENOTDIR: 409,
    errno.EISDIR: 409,
    errno.EEXIST: 409,
    errno.ENOTEMPTY: 409,
    errno.EBUSY: 409,
    errno.ELOOP: 409,
    errno.EINVAL: 400,
    errno.ENAMETOOLONG: 400,
    errno.EACCES: 403,
    errno.EPERM: 403,
    errno.EROFS: 403,
    errno.ENOSPC: 507,
    errno.EDQUOT: 507,
    errno.EFBIG: 413,
}


def status_of(error: OSError, *, writing: bool) -> int:
    """The status code for a store's error; 500 for one that only we can explain."""
    if isinstance(error, PermissionError):
        return 403
    return (_WRITING if writing else _READING).get(error.errno or 0, 500)


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a folder's listing.

    Attributes:
        name: Its name.
        is_folder: Whether it is a folder.
        size: Octets; 0 for a folder.
        modified: Its time.
    """

    name: str
    is_folder: bool
    size: int
    modified: datetime


def entry_of(name: str, status: stat_result) -> Entry:
    """A listing's line from what the store says."""
    is_folder = S_ISDIR(status.st_mode)
    modified = datetime.fromtimestamp(int(status.st_mtime), UTC)
    return Entry(name, is_folder, 0 if is_folder else status.st_size, modified)


def listing_json(entries: list[Entry]) -> list[dict[str, object]]:
    """A listing as JSON: name, type ("file" or "folder"), size in octets, modified in RFC 3339."""
    return [
        {
            "name": shown(entry.name),
            "type": "folder" if entry.is_folder else "file",
            "size": entry.size,
            "modified": entry.modified.isoformat().replace("+00:00", "Z"),
        }
        for entry in entries
    ]


def listing_html(place: FilePath, entries: list[Entry]) -> str:
    """A listing as a page of relative links."""
    title = escape(shown(f"/{place.owner}{place.path}"))
    up = '<tr><td><a href="../">../</a></td><td></td><td></td></tr>\n' if place.path != "/" else ""
    rows = "".join(_row(entry) for entry in entries)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title></head>\n'
        f"<body><h1>{title}</h1>\n<table><tr><th>name</th><th>octets</th><th>modified</th></tr>\n{up}{rows}</table></body></html>\n"
    )


def _row(entry: Entry) -> str:
    slash = "/" if entry.is_folder else ""
    link = "./" + quote(entry.name, errors="surrogateescape") + slash  # "./": a name with a colon isn't a scheme
    return (
        f'<tr><td><a href="{link}">{escape(shown(entry.name))}{slash}</a></td>'
        f"<td>{'' if entry.is_folder else entry.size}</td><td>{entry.modified:%Y-%m-%d %H:%M:%S}Z</td></tr>\n"
    )


def shown(name: str) -> str:
    """A file name as text; octets that aren't UTF-8 become the replacement character."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
