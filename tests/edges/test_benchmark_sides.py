"""The sides that the benchmarks compare are what they are called: without a journal nothing is noted, without rules none is in force."""

from __future__ import annotations

import contextlib
import http.client
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks import sandboxes, unjournalled
from benchmarks.driver import Driver
from benchmarks.estimating import Slice
from benchmarks.loads import LOADS, chosen, fill
from benchmarks.processes import BenchmarkError
from benchmarks.rules import ask
from benchmarks.slicing import Slicer, Steered
from portyard.commons import hosted_protocol
from portyard.testing.control import Control

KEYS = ("lmtp", "smtp", "imap", "pop3", "http", "websocket", "ftp", "dns", "sftp")


@pytest.fixture(scope="module")
def testbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Steered]:
    with contextlib.ExitStack() as running:
        steered = Steered(tmp_path_factory.mktemp("bench"))
        running.callback(steered.stop)
        steered.wait_open()
        fill(steered, 2)
        yield steered


def noted(testbed: Steered, room: str) -> int:
    """A room's events in the journal."""
    testbed.settle()
    testbed.steer("write")
    with contextlib.closing(sqlite3.connect(f"file:{testbed.state / 'journal.db'}?mode=ro", uri=True)) as database:
        ((events,),) = database.execute("SELECT COALESCE(SUM(events), 0) FROM sessions WHERE room = ?", (room,))
        return int(events)


def test_no_part_of_what_notes_bodies_is_missing() -> None:
    ours = unjournalled._NoBodies
    assert [name for name in dir(hosted_protocol.BodyNotes) if name[0] != "_" and not hasattr(ours, name)] == []


def test_every_seam_is_where_it_is_looked_for() -> None:
    assert [name for place, name in unjournalled.seams() if not hasattr(place, name)] == []


@pytest.mark.parametrize("key", KEYS)
def test_sessions_without_a_journal_keep_nothing_and_the_others_do(testbed: Steered, key: str) -> None:
    load = next(load for load in LOADS if load.key == key)
    with Driver() as driver:
        testbed.steer("off")
        before = noted(testbed, load.room)
        driver.open("off", load.make(testbed, 0, 2))
        assert driver.work("off", cycles=10)[0] == 10
        assert noted(testbed, load.room) == before
        testbed.steer("on")
        driver.open("on", load.make(testbed, 2, 2))
        driver.work("on", cycles=10)
        assert noted(testbed, load.room) >= before + 20
        testbed.steer("off")
        after = noted(testbed, load.room)
        driver.work("off", cycles=100)
        assert noted(testbed, load.room) < after + 50  # connections from hop to hop that end tell so
        testbed.steer("on")


def test_a_round_of_every_room_is_one_of_each(testbed: Steered) -> None:
    load = next(load for load in LOADS if load.key == "all")
    rooms = sorted({load.room for load in LOADS} - {""})
    with Driver() as driver:
        driver.open("all", load.make(testbed, 4, 2))
        opened = [noted(testbed, room) for room in rooms]
        assert driver.work("all", cycles=2)[0] == 2
    after = [noted(testbed, room) for room in rooms]
    assert rooms == ["dns", "ftp", "http", "imap", "pop3", "smtp", "ssh", "websocket"]
    asked = [now - then for now, then in zip(after, opened, strict=True)]
    assert min(asked) >= 8, dict(zip(rooms, asked, strict=True))


def test_slices_are_charged_and_come_in_whole_blocks(testbed: Steered) -> None:
    load = next(load for load in LOADS if load.key == "pop3")
    words = {"on": "on", "off": "off"}
    with Driver() as driver:
        for number, side in enumerate(words):
            testbed.steer(words[side])
            driver.open(side, load.make(testbed, number * 2, 2))
        found = Slicer(testbed, driver, {side: side for side in words}, words, ["on"]).run(0.0)
    testbed.steer("on")
    work = [one for one in found if one.units]
    assert {one.block for one in found} == {0}
    assert len([one for one in work if one.side == "on"]) == len([one for one in work if one.side == "off"]) == 8
    assert len({one.units for one in work}) == 1
    assert all(one.cpu_ns > 0 and one.seconds > 0 for one in work)
    (written,) = (one for one in found if not one.units)
    assert written.side == "on"
    assert isinstance(written, Slice)
    assert written.cpu_ns > 0


def test_a_shut_rule_book_has_no_rule_and_an_open_one_has_them_all(testbed: Steered) -> None:
    load = next(load for load in LOADS if load.key == "pop3")
    rule: dict[str, Any] = {"on": "pop3.stat", "then": {"refuse": "-ERR no"}}
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", testbed.port("console"))) as client:
        ask(client, "POST", json.dumps([rule]))
        with Driver() as driver:
            testbed.steer("bare")
            driver.open("all", load.make(testbed, 0, 2))
            assert driver.work("all", cycles=4)[0] == 4
            testbed.steer("ruled")
            with pytest.raises(BenchmarkError, match="-ERR no"):
                driver.work("all", cycles=4)
        ask(client, "DELETE", None)
    testbed.steer("ruled")


def test_a_word_that_chooses_no_room_is_told() -> None:
    assert [load.key for load in chosen(["http", "exec"])] == ["http", "http-varied", "exec"]
    with pytest.raises(BenchmarkError, match="gopher"):
        chosen(["gopher"])


def test_over_http_is_over_http(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connected: list[str] = []
    asked = Control._connected

    def counted(control: Control, method: str, path: str, *more: Any) -> tuple[int, bytes]:
        connected.append(f"{method} {path}")
        return asked(control, method, path, *more)

    monkeypatch.setattr(Control, "_connected", counted)
    monkeypatch.setattr(sandboxes, "WARM", 0)
    lives = 3
    sandboxes.measure(lives, tmp_path, lambda _: None)
    assert connected.count("POST sandboxes") == lives
    assert sum(each.endswith("/reset") for each in connected) == lives
    assert sum(each.startswith("DELETE sandboxes/") for each in connected) == lives
