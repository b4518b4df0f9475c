"""Listings and times."""

from __future__ import annotations

import os
import stat
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portyard.ftp.core.listing import (
    FACTS,
    BadTimeError,
    choose_facts,
    facts_line,
    features_facts,
    list_line,
    matches,
    one_line,
    parse_time_value,
    split_pattern,
    strip_options,
    time_value,
)

NOW = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)


def found(mode: int = stat.S_IFREG | 0o644, size: int = 5, modified: datetime = NOW) -> os.stat_result:
    seconds = modified.timestamp()
    return os.stat_result((mode, 0x2A, 0x1F, 1, 1000, 1000, size, seconds, seconds, seconds))


def test_a_recent_file_shows_the_time_of_day() -> None:
    line = list_line("f", found(modified=NOW - timedelta(days=30)), "alice", NOW)
    assert line.split() == ["-rw-r--r--", "1", "alice", "users", "5", "Jun", "1", "12:00", "f"]


@pytest.mark.parametrize("modified", [NOW - timedelta(days=200), NOW + timedelta(days=30)])
def test_an_old_or_future_file_shows_the_year(modified: datetime) -> None:
    assert list_line("f", found(modified=modified), "alice", NOW).split()[7] == "2026" if modified > NOW else "2025"


def test_a_link_shows_its_target() -> None:
    line = list_line("l", found(stat.S_IFLNK | 0o777), "alice@long-domain", NOW, "/d/f")
    assert line.startswith("lrwxrwxrwx")
    assert line.endswith(" l -> /d/f")


def test_a_name_never_ends_the_line() -> None:
    assert "\n" not in list_line("a\r\n-rw b", found(), "alice", NOW)
    assert one_line("a\r\nb\0") == "a??b?"
    assert "\n" not in facts_line("a\nb", found(), FACTS)


def test_facts_of_a_file() -> None:
    line = facts_line("a b", found(), ("type", "size", "modify", "perm", "unix.mode", "unique"))
    assert line == "type=file;size=5;modify=20260701120000;perm=adfrw;unix.mode=0644;unique=1fg2a; a b"


def test_facts_of_a_directory_have_no_size() -> None:
    assert facts_line("d", found(stat.S_IFDIR | 0o755), ("type", "size", "perm")) == "type=dir;perm=cdeflmp; d"


def test_facts_are_chosen() -> None:
    assert choose_facts("Size;bogus;TYPE;") == ("type", "size")
    assert choose_facts("") == ()
    assert features_facts(["type"]).startswith("type*;perm;size;")
    assert facts_line("f", found(), ()) == " f"


@given(st.integers(0, 4_000_000_000))
def test_times_are_read_back(seconds: int) -> None:
    assert parse_time_value(time_value(seconds)) == seconds


def test_time_with_a_fraction() -> None:
    assert parse_time_value("19700101000001.5") == 1.5


@pytest.mark.parametrize(
    "text", ["", "2020", "20201301000000", "20200101000000.x", "x0200101000000", "202001010000001"]
)
def test_bad_times(text: str) -> None:
    with pytest.raises(BadTimeError):
        parse_time_value(text)


def test_times_that_no_calendar_has() -> None:
    assert time_value(1e18) == "19700101000000"


@pytest.mark.parametrize(
    ("argument", "path"),
    [("", ""), ("-la", ""), ("-l -a /d", "/d"), ("-la  a b", "a b"), ("/d", "/d"), ("-- -f", "-f"), ("a -l", "a -l")],
)
def test_ls_options_are_passed_over(argument: str, path: str) -> None:
    assert strip_options(argument) == path


def test_patterns() -> None:
    assert split_pattern("/d/*.txt") == ("/d", "*.txt")
    assert split_pattern("/d*/x") is None
    assert matches("a.txt", "*.txt")
    assert not matches(".a.txt", "*.txt")
    assert matches(".a.txt", ".*")
    assert not matches("A.txt", "a*")
