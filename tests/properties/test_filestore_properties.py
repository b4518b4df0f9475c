"""Nothing an account does leads out of its root, whatever is swapped under it meanwhile."""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from portyard.commons.accounts.model import Account
from portyard.commons.filestore.disk import DiskFilestore, DiskRoot, safe_name

ALICE = Account(1, "default", "alice", "portyard.test", "x")
PART = st.sampled_from(["a", "b", "c", "..", ".", "", "outside", "secret"])
PATH = st.lists(PART, min_size=1, max_size=6).map("/".join) | st.lists(PART, max_size=4).map(
    lambda parts: "/" + "/".join(parts)
)
STEP = st.one_of(
    st.tuples(st.just("mkdir"), PATH),
    st.tuples(st.just("write"), PATH),
    st.tuples(st.just("replace"), PATH),
    st.tuples(st.just("unlink"), PATH),
    st.tuples(st.just("rmdir"), PATH),
    st.tuples(st.just("chmod"), PATH),
    st.tuples(st.just("symlink"), PATH, PATH),
    st.tuples(st.just("link"), PATH, PATH),
    st.tuples(st.just("rename"), PATH, PATH),
)


def take(root: DiskRoot, step: tuple[str, ...]) -> None:
    match step:
        case ("write", path):
            with root.open(path, "wb") as file:
                file.write(b"inside")
        case ("replace", path):
            with root.replace(path) as file:
                file.write(b"inside")
        case ("chmod", path):
            root.chmod(path, 0o700)
        case (name, *arguments):
            getattr(root, name)(*arguments)


@settings(max_examples=150, deadline=None)
@given(st.lists(STEP, max_size=25), st.lists(PATH, max_size=10))
def test_no_sequence_of_steps_touches_what_is_outside(steps: list[tuple[str, ...]], looks: list[str]) -> None:
    with tempfile.TemporaryDirectory() as name:
        outside = Path(name) / "outside"
        outside.mkdir()
        (outside / "secret").write_bytes(b"outside")
        root = DiskFilestore(Path(name) / "files").root(ALICE)
        root.symlink(str(outside), "/b")
        before = {path: path.lstat().st_ctime_ns for path in (outside, outside / "secret")}
        for step in steps:
            with contextlib.suppress(OSError):
                take(root, step)
        for path in looks:
            with contextlib.suppress(OSError):
                where = root.realpath(path)
                assert where.startswith("/")
                assert ".." not in where.split("/")
                with root.open(path) as file:
                    assert file.read() in (b"", b"inside")
        assert {path: path.lstat().st_ctime_ns for path in before} == before
        assert sorted(os.listdir(name)) == ["files", "outside"]


@settings(max_examples=200, deadline=None)
@given(PATH)
def test_realpath_is_its_own_realpath(path: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        root = DiskFilestore(Path(name)).root(ALICE)
        root.mkdir("/a")
        root.symlink("/a", "/b")
        root.symlink("../b/..", "/a/c")
        with contextlib.suppress(OSError):
            once = root.realpath(path)
            assert root.realpath(once) == once


@given(st.text(max_size=300), st.text(max_size=300))
def test_folders_are_shared_by_no_two_names(one: str, other: str) -> None:
    with contextlib.suppress(UnicodeEncodeError):
        assert (safe_name(one) == safe_name(other)) == (one == other)


def test_a_directory_swapped_for_a_link_never_leads_out() -> None:
    """Somebody with a shell on the machine exchanges `/d` for a link to a real directory outside, as fast as it goes."""
    with tempfile.TemporaryDirectory() as name:
        outside = Path(name) / "outside"
        outside.mkdir()
        (outside / "f").write_bytes(b"outside")
        root = DiskFilestore(Path(name) / "files").root(ALICE)
        folder = Path(name) / "files" / "default" / "alice@portyard.test"
        root.mkdir("/d")
        with root.open("/d/f", "wb") as file:
            file.write(b"inside")
        os.symlink(outside, folder / "link")
        stop = threading.Event()

        def swap() -> None:
            while not stop.is_set():
                os.rename(folder / "d", folder / "real")
                os.rename(folder / "link", folder / "d")
                os.rename(folder / "d", folder / "link")
                os.rename(folder / "real", folder / "d")

        swapper = threading.Thread(target=swap)
        swapper.start()
        inside = 0
        try:
            for _ in range(4000):
                with contextlib.suppress(OSError), root.open("/d/f") as file:
                    assert file.read() == b"inside"
                    inside += 1
                with contextlib.suppress(OSError), root.open("/d/g", "wb"):
                    pass
                with contextlib.suppress(OSError):
                    root.unlink("/d/g")
        finally:
            stop.set()
            swapper.join()
        assert inside, "the race never let a read through, so it shows nothing"
        assert os.listdir(outside) == ["f"]
