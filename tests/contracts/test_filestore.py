"""What any filestore promises of its files: opened, listed, moved, and replaced whole or not at all."""

from __future__ import annotations

import errno
import gc
import os
import stat
from pathlib import Path

import pytest

from portyard.commons.filestore.disk import DiskFilestore
from portyard.commons.filestore.model import FileRoot, accessed_at
from tests.contracts.files import ALICE, read, refusal, write

pytestmark = pytest.mark.usefixtures("no_descriptor_is_left")


def test_every_mode_of_open_does_what_it_says(root: FileRoot) -> None:
    with root.open("/f", "xb") as file:
        file.write(b"one")
    assert refusal(root.open, "/f", "xb") == errno.EEXIST
    with root.open("/f", "ab") as file:
        file.write(b"two")
    with root.open("/f", "r+b") as file:
        file.seek(1)
        file.write(b"N")
        assert file.read() == b"etwo"
    assert read(root, "/f") == b"oNetwo"
    write(root, "/f", b"")
    assert read(root, "f") == b""
    assert refusal(root.open, "/missing") == errno.ENOENT
    assert refusal(root.open, "/missing", "r+b") == errno.ENOENT


def test_nothing_is_dated_by_being_read(root: FileRoot) -> None:
    """The kernel would do it by the machine's clock, which may not be the sandbox's."""
    root.mkdir("/d")
    write(root, "/d/f")
    for path in ("/d/f", "/d"):
        root.utime(path, 1, 2)
    read(root, "/d/f")
    assert root.list("/d") == ["f"]
    assert [name for name, _ in root.scan("/d")] == ["f"]
    for path in ("/d/f", "/d"):
        found = root.stat(path)
        assert (accessed_at(found), found.st_mtime) == (1, 2)
    root.symlink("f", "/d/link")
    made = root.lstat("/d/link").st_mtime
    read(root, "/d/link")
    assert accessed_at(root.lstat("/d/link")) == made


def test_somebody_elses_file_is_read_as_well(root: FileRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    write(root, "/f")
    really = os.open

    def stranger(path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if flags & os.O_NOATIME:  # open(2): EPERM, the caller isn't the owner
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), path)
        return really(path, flags, mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", stranger)
    assert read(root, "/f") == b"data"
    assert root.list("/") == ["f"]


def test_an_unknown_mode_is_refused(root: FileRoot) -> None:
    with pytest.raises(ValueError, match="rb, wb, ab"):
        root.open("/f", "w")


def test_directories(root: FileRoot) -> None:
    root.mkdir("/d", 0o700)
    root.mkdir("/d/e/")
    write(root, "/d/f")
    assert root.list("/d") == ["e", "f"]
    assert [(name, stat.S_ISDIR(found.st_mode)) for name, found in root.scan("/d")] == [("e", True), ("f", False)]
    assert refusal(root.rmdir, "/d") == errno.ENOTEMPTY
    assert refusal(root.mkdir, "/d") == errno.EEXIST
    assert refusal(root.open, "/d", "wb") == errno.EISDIR
    assert refusal(root.open, "/d") == errno.EISDIR
    assert refusal(root.replace, "/d") == errno.EISDIR
    assert refusal(root.list, "/d/f") == errno.ENOTDIR
    root.unlink("/d/f")
    root.rmdir("/d/e")
    root.rmdir("/d")
    assert root.list("/") == []


def test_rename_replaces_and_moves(root: FileRoot) -> None:
    root.mkdir("/d")
    write(root, "/a", b"a")
    write(root, "/d/b", b"b")
    root.rename("/a", "/d/b")
    assert read(root, "/d/b") == b"a"
    root.rename("/d", "/e")
    assert root.list("/") == ["e"]
    assert refusal(root.rename, "/missing", "/x") == errno.ENOENT
    assert refusal(root.rename, "/e", "/e/below") == errno.EINVAL


def test_special_files_are_refused(root: FileRoot, tmp_path: Path) -> None:
    folder = tmp_path / "files" / "default" / "alice@portyard.test"
    os.mkfifo(folder / "fifo")
    for mode in ("rb", "wb", "ab", "r+b"):
        assert refusal(root.open, "/fifo", mode) == errno.EACCES
    assert refusal(root.replace, "/fifo") == errno.EACCES
    assert refusal(root.truncate, "/fifo", 0) == errno.EACCES
    root.unlink("/fifo")


def test_permission_bits_without_set_id(root: FileRoot) -> None:
    write(root, "/f")
    root.chmod("/f", 0o7751)
    assert stat.S_IMODE(root.stat("/f").st_mode) == 0o751
    root.chmod("/f", 0)
    root.chmod("/f", 0o600)  # also when it may not be read
    root.mkdir("/d", 0o7755)
    assert not root.stat("/d").st_mode & 0o7000
    os.close(root.open_fd("/g", os.O_WRONLY | os.O_CREAT, 0o6777))
    assert not root.stat("/g").st_mode & 0o7000
    root.symlink("f", "/l")
    root.chmod("/l", 0o640)
    assert stat.S_IMODE(root.stat("/f").st_mode) == 0o640


def test_open_fd_takes_no_flag_that_gets_around_the_checks(root: FileRoot) -> None:
    write(root, "/f")
    root.mkdir("/d")
    assert refusal(root.open_fd, "/d", os.O_RDONLY | os.O_DIRECTORY) == errno.EISDIR
    assert refusal(root.open_fd, "/d", os.O_RDWR | os.O_TMPFILE) == errno.EISDIR
    descriptor = root.open_fd("/f", os.O_PATH)
    try:
        assert os.read(descriptor, 4) == b"data"
        assert not os.get_inheritable(descriptor)
    finally:
        os.close(descriptor)


def test_times_and_length(root: FileRoot) -> None:
    write(root, "/f", b"12345")
    root.utime("/f", 1_000.0, 2_000.5)
    assert (root.stat("/f").st_atime, root.stat("/f").st_mtime) == (1_000.0, 2_000.5)
    root.truncate("/f", 2)
    assert read(root, "/f") == b"12"
    root.truncate("/f", 4)
    assert read(root, "/f") == b"12\0\0"


# Replacing


def test_readers_see_the_old_file_until_the_new_one_is_whole(root: FileRoot) -> None:
    write(root, "/f", b"old")
    root.chmod("/f", 0o640)
    with root.replace("/f") as draft:
        draft.write(b"new")
        draft.flush()
        assert read(root, "/f") == b"old"
        assert root.list("/") == ["f"]
    assert read(root, "/f") == b"new"
    assert stat.S_IMODE(root.stat("/f").st_mode) == 0o640


def test_a_new_file_appears_whole(root: FileRoot) -> None:
    draft = root.replace("/f")
    draft.write(b"x" * 1_000_000)
    assert root.list("/") == []
    draft.close()
    draft.close()
    assert len(read(root, "/f")) == 1_000_000


def drafts(folder: Path) -> list[str]:
    return [name for _, _, names in os.walk(folder / "files" / ".drafts") for name in names]


def test_a_failed_upload_leaves_the_old_file(root: FileRoot, tmp_path: Path) -> None:
    write(root, "/f", b"old")

    def fail() -> None:
        with root.replace("/f") as draft:
            draft.write(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert read(root, "/f") == b"old"
    assert drafts(tmp_path) == []


def test_a_forgotten_draft_is_never_published(root: FileRoot, tmp_path: Path) -> None:
    draft = root.replace("/f")
    draft.write(b"half")
    del draft
    gc.collect()
    assert root.list("/") == []
    assert drafts(tmp_path) == []


def test_a_target_that_became_a_directory_fails_and_leaves_no_draft(root: FileRoot, tmp_path: Path) -> None:
    draft = root.replace("/f")
    draft.write(b"new")
    root.mkdir("/f")
    assert refusal(draft.close) == errno.EISDIR
    assert drafts(tmp_path) == []
    draft.close()


def test_a_full_disk_leaves_the_old_file(root: FileRoot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(root, "/f", b"old")
    draft = root.replace("/f")
    draft.write(b"new")

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as patch:
        patch.setattr("portyard.commons.filestore.draft.os.rename", full)
        assert refusal(draft.close) == errno.ENOSPC
    assert read(root, "/f") == b"old"
    assert drafts(tmp_path) == []


def test_drafts_that_killed_processes_left_are_swept_and_those_of_running_ones_stay(tmp_path: Path) -> None:
    root = DiskFilestore(tmp_path / "files").root(ALICE)
    folder = tmp_path / "files" / ".drafts"
    with root.replace("/f") as held:
        (old, young) = (folder / "old", folder / "young")
        for path in (old, young):
            path.write_bytes(b"half")
        for path in (old, *(path for path in folder.iterdir() if path != young)):
            os.utime(path, (0, 0))
        DiskFilestore(tmp_path / "files")
        assert not old.exists()
        assert young.exists()
        assert len(drafts(tmp_path)) == 2
        held.write(b"new")
    assert read(root, "/f") == b"new"


def test_a_link_is_replaced_where_it_leads(root: FileRoot) -> None:
    root.mkdir("/d")
    root.symlink("d/f", "/l")
    with root.replace("/l") as draft:
        draft.write(b"new")
    assert read(root, "/d/f") == b"new"
    assert stat.S_ISLNK(root.lstat("/l").st_mode)
