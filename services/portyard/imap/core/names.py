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
def _pattern(wire_pattern: str) -> tuple[re.Pattern[str], bool]:
    if wire_pattern[: len(INBOX)].upper() == INBOX:
        wire_pattern = INBOX + wire_pattern[len(INBOX) :]  # the store's INBOX has one case (RFC 3501 §5.1)
    wild = {"*": ".*", "%": f"[^{re.escape(DELIMITER)}]*"}
    # A run of wildcards means its widest one; collapsing it keeps the expression from backtracking for ever.
    collapsed = re.sub(r"[*%]{2,}", lambda run: "*" if "*" in run[0] else "%", wire_pattern)
    parts = [wild.get(piece, re.escape(piece)) for piece in re.split(r"([*%])", collapsed)]
    expression = "".join(parts)
    return re.compile(expression, re.DOTALL), re.fullmatch(expression, INBOX, re.DOTALL | re.IGNORECASE) is not None


def matches(wire_pattern: str, name: str) -> bool:
    """Whether LIST's pattern (as on the wire, wildcards and modified UTF-7) means this decoded name; INBOX in any case."""
    expression, means_inbox = _pattern(wire_pattern)
    if name == INBOX:
        return means_inbox
    return expression.fullmatch(encode_name(name)) is not None


def ancestors(name: str) -> list[str]:
    """The names above, outermost first: "a/b/c" has "a" and "a/b"."""
    parts = name.split(DELIMITER)
    return [DELIMITER.join(parts[:count]) for count in range(1, len(parts))]
