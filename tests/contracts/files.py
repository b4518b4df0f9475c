"""The engines of a filestore, by name, and what its contracts do with one's files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from portyard.commons.accounts.model import Account
from portyard.commons.filestore.disk import DiskFilestore
from portyard.commons.filestore.model import FileRoot, Filestore

ALICE = Account(1, "default", "alice", "portyard.test", "x")
FILESTORES: dict[str, Callable[[Path], Filestore]] = {"disk": lambda folder: DiskFilestore(folder / "files")}


def write(root: FileRoot, path: str, data: bytes = b"data") -> None:
    with root.open(path, "wb") as file:
        file.write(data)


def read(root: FileRoot, path: str) -> bytes:
    with root.open(path) as file:
        return file.read()


def refusal(call: Callable[..., object], *arguments: object) -> int | None:
    """The errno of the refusal; fails when there is none."""
    try:
        call(*arguments)
    except OSError as error:
        return error.errno
    pytest.fail("was not refused")
