"""Mailbox names on the wire: modified UTF-7 both ways (RFC 3501 §5.1.3), and LIST's wildcards (§6.3.8)."""

from __future__ import annotations

import binascii
import re
from functools import lru_cache

from portyard.commons.mailstore.model import DELIMITER, INBOX

_ENCODED = re.compile(r"[^\x20-\x7e]+|&")
_SHIFT = re.compile(r"&([^-]*)-")


def encode_name(name: str) -> str:
    """A decoded name in modified UTF-7."""
    return _ENCODED.sub(_encode_run, name)


def decode_name(wire: str) -> str:
    """A name from modified UTF-7.

    Raises:
        ValueError: It isn't modified UTF-7 in its one canonical form (RFC 3501 §5.1.3 forbids the others).
    """
    decoded = _SHIFT.sub(_decode_run, wire)
    if encode_name(decoded) != wire:
        raise ValueError("not modified UTF-7")
    return decoded


def _encode_run(match: re.Match[str]) -> str:
    if match[0] == "&":
        return "&-"
    base64 = binascii.b2a_base64(match[0].encode("utf-16-be", "surrogatepass"), newline=False)
    return "&" + base64.decode().rstrip("=").replace("/", ",") + "-"


def _decode_run(match: re.Match[str]) -> str:
    if not match[1]:
        return "&"
    base64 = match[1].replace(",", "/")
    octets = binascii.a2b_base64(base64 + "=" * (-len(base64) % 4))  # binascii.Error is a ValueError
    return octets.decode("utf-16-be")


@lru_cache(maxsize=256)
def _collapsed(wire_pattern: str) -> str:
    """The pattern with INBOX in the store's case (RFC 3501 §5.1), and each run of wildcards as its widest one."""
    if wire_pattern[: len(INBOX)].upper() == INBOX:
        wire_pattern = INBOX + wire_pattern[len(INBOX) :]
    return re.sub(r"[*%]{2,}", lambda run: "*" if "*" in run[0] else "%", wire_pattern)


def matches(wire_pattern: str, name: str) -> bool:
    """Whether LIST's pattern (as on the wire, wildcards and modified UTF-7) means this decoded name; INBOX in any case.

    All ways through the pattern are followed at once, so that no pattern takes longer than its length times the name's.
    """
    pattern = _collapsed(wire_pattern)
    if name == INBOX:
        pattern = pattern.upper()
    end = len(pattern)
    places = _with_skips(pattern, {0})
    for character in encode_name(name):
        moved: set[int] = set()
        for place in places:
            wanted = pattern[place] if place < end else ""
            if wanted == "*" or (wanted == "%" and character != DELIMITER):
                moved.add(place)
            elif wanted == character and wanted != "%":
                moved.add(place + 1)
        places = _with_skips(pattern, moved)
        if not places:
            return False
    return end in places


def _with_skips(pattern: str, places: set[int]) -> set[int]:
    """A wildcard may mean nothing: the place behind it is reached as well."""
    return places | {place + 1 for place in places if pattern[place : place + 1] in ("*", "%")}


def ancestors(name: str) -> list[str]:
    """The names above, outermost first: "a/b/c" has "a" and "a/b"."""
    parts = name.split(DELIMITER)
    return [DELIMITER.join(parts[:count]) for count in range(1, len(parts))]
