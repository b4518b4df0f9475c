"""What any filestore promises of its paths: they stay in the account's root, whatever dots, links and names they have."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from portyard.commons.accounts.model import Account
from portyard.commons.filestore.disk import safe_name
from portyard.commons.filestore.model import FileRoot, Filestore
from tests.contracts.files import ALICE, read, refusal, write

BOB = Account(2, "default", "bob", "portyard.test", "x")
pytestmark = pytest.mark.usefixtures("no_descriptor_is_left")


def test_accounts_and_sandboxes_have_roots_of_their_own(store: Filestore) -> None:
    other = Account(3, "t1", "alice", "portyard.test", "x")
    write(store.root(ALICE), "/f")
    assert store.root(BOB).list("/") == []
    assert store.root(other).list("/") == []
    assert store.root(ALICE).list("/") == ["f"]


def test_a_login_in_another_case_is_the_same_root(store: Filestore) -> None:
    write(store.root(ALICE), "/f")
    assert store.root(Account(1, "default", "Alice", "portyard.test", "x")).list("/") == ["f"]


@pytest.mark.parametrize("path", ["/../../f", "../f", "/d/../../../f", "//f", "/./f", "d/../f", "/up/f", "/d/deep/f"])
def test_dots_and_links_stay_in_the_root(root: FileRoot, path: str) -> None:
    root.mkdir("/d")
    root.symlink("../../..", "/up")
    root.symlink("/../up", "/d/deep")
    write(root, path, b"here")
    assert root.list("/") == ["d", "f", "up"]
    assert read(root, "/f") == b"here"


def test_a_link_to_a_real_path_means_that_path_inside_the_root(root: FileRoot, tmp_path: Path) -> None:
    secret = tmp_path / "outside" / "secret"
    root.symlink(str(secret), "/link")
    root.symlink(str(secret.parent), "/folder")
    assert refusal(root.open, "/link") == errno.ENOENT
    assert refusal(root.stat, "/folder/secret") == errno.ENOENT
    assert refusal(root.list, "/folder") == errno.ENOENT
    assert refusal(root.open, "/link", "wb") == errno.ENOENT
    assert root.readlink("/link") == str(secret)
    assert secret.read_bytes() == b"outside"


def test_dangling_link_is_written_through_inside(root: FileRoot) -> None:
    root.symlink("/target", "/link")
    write(root, "/link", b"through")
    assert read(root, "/target") == b"through"
    assert stat.S_ISLNK(root.lstat("/link").st_mode)
    assert root.realpath("/link") == "/target"


@pytest.mark.parametrize("links", [39, 40])
def test_forty_links_are_followed(root: FileRoot, links: int) -> None:
    write(root, "/0", b"end")
    for index in range(links):
        root.symlink(str(index), f"/{index + 1}")
    assert read(root, f"/{links}") == b"end"


def test_loops_end(root: FileRoot) -> None:
    root.symlink("b", "/a")
    root.symlink("a", "/b")
    root.symlink("/self/x", "/self")
    assert refusal(root.stat, "/a") == errno.ELOOP
    assert refusal(root.open, "/self/y") == errno.ELOOP
    assert refusal(root.open, "/a", "wb") == errno.ELOOP


def test_a_files_children_are_refused(root: FileRoot) -> None:
    write(root, "/f")
    assert refusal(root.stat, "/f/x") == errno.ENOTDIR
    assert refusal(root.stat, "/f/../f") == errno.ENOTDIR
    assert refusal(root.open, "/f/") == errno.ENOTDIR
    assert refusal(root.stat, "/missing/../f") == errno.ENOENT


def test_names_are_octets(root: FileRoot) -> None:
    for name in ("ü", "a b", "-rf", "a\nb", os.fsdecode(b"\xff\xfe"), "*", '"'):
        write(root, name, name.encode("utf-8", "surrogateescape"))
    assert os.fsdecode(b"\xff\xfe") in root.list("/")
    assert read(root, os.fsdecode(b"\xff\xfe")) == b"\xff\xfe"


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("a\0b", errno.EINVAL),
        ("\ud800", errno.EILSEQ),
        ("x" * 256, errno.ENAMETOOLONG),
        ("x/" * 2500, errno.ENAMETOOLONG),
    ],
)
def test_names_that_no_system_takes_are_refused(root: FileRoot, path: str, reason: int) -> None:
    assert refusal(root.open, path, "wb") == reason
    assert refusal(root.mkdir, path) == reason
    assert root.list("/") == []


def test_symlink_target_with_nul_is_refused(root: FileRoot) -> None:
    assert refusal(root.symlink, "a\0", "/l") == errno.EINVAL


def test_the_root_stays(root: FileRoot) -> None:
    root.mkdir("/d")
    for path in ("/", "", ".", "/d/..", ".."):
        assert refusal(root.rmdir, path) == errno.EPERM
        assert refusal(root.rename, path, "/x") == errno.EPERM
        assert refusal(root.rename, "/d", path) == errno.EPERM
        assert refusal(root.unlink, path) in (errno.EISDIR, errno.EINVAL, errno.EPERM)
    assert root.list("/") == ["d"]


def test_hard_links_inside(root: FileRoot, tmp_path: Path) -> None:
    write(root, "/a", b"one")
    root.link("/a", "/b")
    assert root.stat("/a").st_ino == root.stat("/b").st_ino
    root.symlink(str(tmp_path / "outside" / "secret"), "/l")
    root.link("/l", "/m")
    assert stat.S_ISLNK(root.lstat("/m").st_mode)


def test_realpath(root: FileRoot) -> None:
    root.mkdir("/d")
    root.symlink("/d", "/l")
    assert root.realpath("/l/../l/new") == "/d/new"
    assert root.realpath("/l") == "/d"
    assert root.realpath("../..") == "/"
    assert refusal(root.realpath, "/missing/x") == errno.ENOENT


@pytest.mark.parametrize("name", [".drafts", "..", ".", "a/b", "ü", "a" * 300, "a\0", "~x", "%2E"])
def test_folder_names_are_safe(name: str) -> None:
    safe = safe_name(name)
    assert safe.isascii()
    assert "/" not in safe
    assert not safe.startswith(".")
    assert len(safe) <= 200


def test_folder_names_are_told_apart() -> None:
    names = ["a", "a/b", "a%2Fb", "a" * 250 + "1", "a" * 250 + "2", "~", "%7E", ".a", "%2Ea"]
    assert len({safe_name(name) for name in names}) == len(names)
