"""Listings: LIST's lines as `ls -l` prints them, MLSx facts, and the options and patterns that clients put into LIST and NLST."""

from __future__ import annotations

import fnmatch
import os
import posixpath
import re
import stat
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

FACTS = ("type", "perm", "size", "modify", "unique", "unix.mode", "unix.uid", "unix.gid")
DEFAULT_FACTS = FACTS[:5]
_RECENT = timedelta(days=182)  # ls shows the time of day within half a year, else the year
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
# What this account may do with a file or a directory (RFC 3659 §7.5.5).
_FILE_PERM, _DIRECTORY_PERM = "adfrw", "cdeflmp"


# RFC 3659 §2.3: time-val = 14DIGIT [ "." 1*DIGIT ]
_TIME_VALUE = re.compile(r"(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(?:\.(\d+))?", re.ASCII)


class BadTimeError(ValueError):
    """A time that can't be read; the reply is 501."""


def list_line(name: str, found: os.stat_result, owner: str, now: datetime, target: str | None = None) -> str:
    """One line of LIST, in the form of `ls -l` that clients parse; no ending.

    Args:
        name: The entry's name.
        found: Its attributes.
        owner: Whose files these are.
        now: The testbed's time, aware.
        target: Where it points, for a link.
    """
    modified = _moment(found.st_mtime)
    recent = timedelta(0) - timedelta(days=1) <= now - modified < _RECENT
    clock = f"{modified:%H:%M}" if recent else f" {modified.year:04d}"
    arrow = "" if target is None else f" -> {target}"
    return (
        f"{stat.filemode(found.st_mode)} {found.st_nlink:>3} {owner[:8]:<8} users    {found.st_size:>12} "
        f"{_MONTHS[modified.month - 1]} {modified.day:>2} {clock} {one_line(name + arrow)}"
    )


def numeric_line(name: str, found: os.stat_result, owner: int, now: datetime, target: str | None = None) -> str:
    """As `list_line`, with a number for owner and group, narrower columns and a day of two digits.

    Args:
        name: The entry's name.
        found: Its attributes.
        owner: The number.
        now: The testbed's time, aware.
        target: Where it points, for a link.
    """
    modified = _moment(found.st_mtime)
    recent = timedelta(0) <= now - modified < _RECENT
    clock = f"{modified:%H:%M}" if recent else f" {modified.year:04d}"
    arrow = "" if target is None else f" -> {target}"
    return (
        f"{stat.filemode(found.st_mode)} {found.st_nlink:>4} {owner:<8} {owner:<8} {found.st_size:>8} "
        f"{_MONTHS[modified.month - 1]} {modified.day:02d} {clock} {one_line(name + arrow)}"
    )


def facts_line(name: str, found: os.stat_result, facts: Iterable[str]) -> str:
    """One entry of MLSD or MLST (RFC 3659 §7.2): facts in the order asked, a space, the name; no ending."""
    directory = stat.S_ISDIR(found.st_mode)
    values = {
        "type": "dir" if directory else "file",
        "perm": _DIRECTORY_PERM if directory else _FILE_PERM,
        "size": str(found.st_size),
        "modify": time_value(found.st_mtime),
        "unique": f"{found.st_dev:x}g{found.st_ino:x}",
        "unix.mode": f"0{stat.S_IMODE(found.st_mode):03o}",
        "unix.uid": str(found.st_uid),
        "unix.gid": str(found.st_gid),
    }
    if directory:
        del values["size"]  # a directory's octets mean nothing to a client
    shown = "".join(f"{fact}={values[fact]};" for fact in facts if fact in values)
    return f"{shown} {one_line(name)}"


def features_facts(chosen: Iterable[str]) -> str:
    """The facts as FEAT shows them: `*` marks those in use (RFC 3659 §7.8)."""
    in_use = set(chosen)
    return "".join(f"{fact}{'*' if fact in in_use else ''};" for fact in FACTS)


def choose_facts(argument: str) -> tuple[str, ...]:
    """The known ones of `OPTS MLST`'s argument (RFC 3659 §7.9); unknown ones are passed over as it says."""
    wanted = {fact.strip().lower() for fact in argument.split(";")}
    return tuple(fact for fact in FACTS if fact in wanted)


def time_value(seconds: float) -> str:
    """Seconds since the epoch as `YYYYMMDDHHMMSS` in UTC (RFC 3659 §2.3)."""
    moment = _moment(seconds)
    return f"{moment.year:04d}{moment:%m%d%H%M%S}"


def parse_time_value(text: str) -> float:
    """Seconds since the epoch of `YYYYMMDDHHMMSS[.sss]` (RFC 3659 §2.3).

    Raises:
        BadTimeError: It has another form or names no moment.
    """
    match = _TIME_VALUE.fullmatch(text)
    if match is None:
        raise BadTimeError(text)
    year, month, day, hour, minute, second, fraction = match.groups()
    try:
        moment = datetime(int(year), int(month), int(day), int(hour), int(minute), int(second), tzinfo=UTC)
    except ValueError:
        raise BadTimeError(text) from None
    return moment.timestamp() + (float(f"0.{fraction}") if fraction else 0.0)


def strip_options(argument: str) -> str:
    """A LIST or NLST argument without the `ls` options that clients put before the path (`-la`, `-l -R`)."""
    return split_options(argument)[1]


def split_options(argument: str) -> tuple[str, str]:
    """The letters of a LIST or NLST argument's `ls` options, and the path behind them."""
    options, rest = "", argument.strip(" ")
    while rest.startswith("-"):
        option, _, rest = rest.partition(" ")
        if option == "--":
            break
        options += option[1:]
        rest = rest.lstrip(" ")
    return options, rest


def split_pattern(path: str) -> tuple[str, str] | None:
    """Directory and pattern of a path whose last component has one of `*?[`; None when it has none.

    Patterns are what an old client's `mget *.txt` sends with NLST.
    """
    folder, pattern = posixpath.split(path)
    if not any(mark in pattern for mark in "*?["):
        return None
    return folder, pattern


def matches(name: str, pattern: str) -> bool:
    """Whether a shell would expand the pattern to this name: a leading dot is matched by a dot only."""
    return fnmatch.fnmatchcase(name, pattern) and (not name.startswith(".") or pattern.startswith("."))


def one_line(text: str) -> str:
    """A name as a reply or listing can show it: what would end the line is shown as `?`, as `ls` does."""
    return text.translate(_LINE_BREAKS)


_LINE_BREAKS = {ord(mark): "?" for mark in "\r\n\0"}


def _moment(seconds: float) -> datetime:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        return datetime.fromtimestamp(0, UTC)  # a time that no calendar has
