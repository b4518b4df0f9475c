"""Conditional requests (RFC 9110 §13): entity tags, dates, and what a request's conditions make of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from enum import Enum

# entity-tag = [ weak ] opaque-tag ; weak = %s"W/" ; opaque-tag = DQUOTE *etagc DQUOTE (RFC 9110 §8.8.3);
# a tag without its quotes is read too, as many clients send it.
_TAG = re.compile(r'\s*(W/)?(?:"([^\x00- "\x7f]*)"|([^\s",]+))\s*(?:,|$)')


class Verdict(Enum):
    """What the conditions say: go on, "you have it already", or "not on this state"."""

    PROCEED = 200
    NOT_MODIFIED = 304
    FAILED = 412


@dataclass(frozen=True, slots=True)
class EntityTag:
    """A validator. `value` is without quotes."""

    value: str
    weak: bool = False

    def __str__(self) -> str:
        return f'{"W/" if self.weak else ""}"{self.value}"'

    def matches_strongly(self, other: EntityTag) -> bool:
        """RFC 9110 §8.8.3.2: equal and neither weak."""
        return self.value == other.value and not self.weak and not other.weak

    def matches_weakly(self, other: EntityTag) -> bool:
        """RFC 9110 §8.8.3.2: equal."""
        return self.value == other.value


@dataclass(frozen=True, slots=True)
class Validators:
    """The selected representation's state. `tag` and `modified` are None when there is no representation."""

    tag: EntityTag | None
    modified: datetime | None = None

    @property
    def exists(self) -> bool:
        """Whether there is a representation at all."""
        return self.tag is not None

    def modified_after(self, date: str) -> bool | None:
        """Whether it changed after an HTTP-date, in whole seconds; None when either isn't known, and then the field is ignored."""
        since = parse_date(date)
        if since is None or self.modified is None:
            return None
        return self.modified.replace(microsecond=0) > since


def parse_tags(text: str) -> list[EntityTag] | None:
    """The tags of If-Match or If-None-Match; None for `*`."""
    if text.strip() == "*":
        return None
    return [EntityTag(quoted or bare, bool(weak)) for weak, quoted, bare in _TAG.findall(text)]


def parse_date(text: str) -> datetime | None:
    """An HTTP-date (RFC 9110 §5.6.7), or None when it isn't one, which means that the field is ignored."""
    try:
        moment = parsedate_to_datetime(text)
    except (TypeError, ValueError, IndexError):
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def format_date(moment: datetime) -> str:
    """An HTTP-date in the preferred form."""
    return format_datetime(moment.astimezone(UTC), usegmt=True)


def evaluate(method: str, headers: Mapping[str, str], current: Validators) -> Verdict:
    """Weigh the conditions in the order of RFC 9110 §13.2.2. `headers` compares names without case."""
    if "If-Match" in headers:
        if not _any_match(headers["If-Match"], current, weakly=False):
            return Verdict.FAILED
    elif (date := headers.get("If-Unmodified-Since")) and current.modified_after(date) is True:
        return Verdict.FAILED
    reading = method in ("GET", "HEAD")
    if "If-None-Match" in headers:
        if _any_match(headers["If-None-Match"], current, weakly=True):
            return Verdict.NOT_MODIFIED if reading else Verdict.FAILED
    elif reading and (date := headers.get("If-Modified-Since")) and current.modified_after(date) is False:
        return Verdict.NOT_MODIFIED
    return Verdict.PROCEED


def range_applies(if_range: str | None, current: Validators) -> bool:
    """Whether Range counts under If-Range (RFC 9110 §13.1.5): the tag matches strongly, or the date is exactly the same."""
    if if_range is None:
        return True
    text = if_range.strip()
    if text.startswith(('"', "W/")):
        tags = parse_tags(text) or []
        return current.tag is not None and any(current.tag.matches_strongly(tag) for tag in tags)
    date = parse_date(text)
    return date is not None and current.modified is not None and current.modified.replace(microsecond=0) == date


def _any_match(text: str, current: Validators, *, weakly: bool) -> bool:
    tags = parse_tags(text)
    if tags is None:  # "*": any representation at all
        return current.exists
    if current.tag is None:
        return False
    match = current.tag.matches_weakly if weakly else current.tag.matches_strongly
    return any(match(tag) for tag in tags)
