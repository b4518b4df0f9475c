"""How a path becomes a place inside a root: one component at a time, by descriptors, never leaving.

Knows descriptors and links. Knows no account and no operation on files. Every directory on the way is opened relative to the one before
it and without following links, and ".." walks again from the root instead of asking the kernel, so no rename or link that is swapped in
meanwhile can lead outside (POSIX.1-2017 `openat`, `O_NOFOLLOW`).
"""

from __future__ import annotations

import errno
import os
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

LINK_LIMIT = 40  # what Linux allows in one lookup (path_resolution(7))
PATH_LIMIT = 4096  # octets, Linux's PATH_MAX: bounds the work of one lookup
# O_PATH asks for no right to read the directory, only to pass through it; systems without it open for reading.
_PASS = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Place:
    """A name in an open directory; the name itself may be missing.

    Attributes:
        directory: Descriptor of the directory that holds it.
        name: One component, never ".."; "." for the root itself.
        canonical: The absolute path inside the root, free of links, save the last component where links weren't followed.
    """

    directory: int
    name: str
    canonical: str

    @property
    def is_root(self) -> bool:
        """Whether this is the root itself."""
        return self.name == "."


@contextmanager
def find(root: Path, path: str, *, follow: bool) -> Iterator[Place]:
    """Where `path` leads inside `root`.

    Args:
        root: The real directory that "/" means.
        path: POSIX path; taken from the root whether it begins with "/" or not.
        follow: Whether a link as the last component is followed. A trailing "/" follows it in any case.

    Raises:
        OSError: The operating system's own; ELOOP after 40 links, EINVAL for NUL, EILSEQ for a name that no octets stand for.
    """
    parts = _split(path)
    walk = _Walk(root)
    try:
        trailing = path.endswith(("/", "/."))
        place = walk.run(parts, follow=follow or trailing)
        if trailing and not place.is_root:
            _demand_directory(place, path)
        yield place
    finally:
        walk.close()


class _Walk:
    """One lookup: where it stands (`names`, an open descriptor) and what is left to go."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._names: list[str] = []
        self._links = 0
        self._fd = os.open(root, _PASS & ~os.O_NOFOLLOW)

    def close(self) -> None:
        os.close(self._fd)

    def run(self, parts: list[str], *, follow: bool) -> Place:
        pending = deque(parts)
        while pending:
            part = pending.popleft()
            if part == "..":
                self._rise()
                continue
            last = not pending
            target = self._link(part) if follow or not last else None
            if target is not None:
                pending.extendleft(reversed(self._turn(target)))
            elif last:
                return self._place(part)
            else:
                self._enter(part)
        # The path ended on a directory that was walked into ("..", a link to "/"): name it from its parent.
        if not self._names:
            return Place(self._fd, ".", "/")
        name = self._names[-1]
        self._rise()
        return self._place(name)

    def _place(self, name: str) -> Place:
        return Place(self._fd, name, "/" + "/".join([*self._names, name]))

    def _link(self, name: str) -> str | None:
        """A link's target; None when the name is no link or is missing (the caller's own call then says so)."""
        try:
            return os.readlink(name, dir_fd=self._fd)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno == errno.EINVAL:  # not a link
                return None
            raise

    def _turn(self, target: str) -> list[str]:
        """Go where a link points from: the root for an absolute target. Returns the components to walk."""
        self._links += 1
        if self._links > LINK_LIMIT:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), target)
        if target.startswith("/"):
            self._restart([])
        return _split(target)

    def _enter(self, name: str) -> None:
        below = os.open(name, _PASS, dir_fd=self._fd)
        os.close(self._fd)
        self._fd = below
        self._names.append(name)

    def _rise(self) -> None:
        """Up one, by walking down again: the root has no parent here, as in a chroot."""
        self._restart(self._names[:-1])

    def _restart(self, names: list[str]) -> None:
        fresh = os.open(self._root, _PASS & ~os.O_NOFOLLOW)
        os.close(self._fd)
        self._fd = fresh
        self._names = []
        for name in names:
            self._enter(name)


def _split(path: str) -> list[str]:
    if "\0" in path:
        raise OSError(errno.EINVAL, "a name can't hold NUL")
    try:
        octets = os.fsencode(path)
    except UnicodeEncodeError:
        raise OSError(errno.EILSEQ, os.strerror(errno.EILSEQ)) from None
    if len(octets) > PATH_LIMIT:
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
    return [part for part in path.split("/") if part not in ("", ".")]


def _demand_directory(place: Place, path: str) -> None:
    """A trailing "/" means a directory; a missing name is for the operation to judge (`mkdir a/` is fine)."""
    try:
        found = os.stat(place.name, dir_fd=place.directory, follow_symlinks=False)
    except FileNotFoundError:
        return
    if found.st_mode & 0o170000 != 0o040000:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
