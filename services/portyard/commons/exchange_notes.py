"""Header fields, targets and errors as the journal tells them: credentials blanked, octets that aren't text replaced. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

SECRET_FIELDS = frozenset(
    {
        "authorization",
        "proxy-authorization",
        "cookie",
        "set-cookie",
        "x-api-key",
        "api-key",
        "x-auth-token",
        "x-csrf-token",
    }
)
as_json = msgspec.json.Encoder(enc_hook=str).encode  # multidict has strings of its own
"""A value of an event as JSON."""
SHOWN_CHARACTERS = 2000
"""Of one value in the journal."""
_USERINFO = re.compile(r"(?<=://)[^/?#@\s]+@")
# Credentials in a URL's query or fragment (RFC 6750 §2.3, RFC 6749 §2.3.1, §4.1.2, §4.2.2, §4.3.2, §6); a short code is no grant.
_PARAMETER = re.compile(
    r"(?<=[?&#;])((?:access|refresh|id|auth)_token|token|client_secret|client_assertion|password|passwd|api_?key|code(?==[^&#\s]{16}))"
    r"=([^&#\s]+)",
    re.IGNORECASE,
)
_TELLTALE = re.compile(r"authorization|cookie|bearer|basic|token|secret|password|key", re.IGNORECASE)
_QUOTED = re.compile(r"b?(['\"]).*\1", re.DOTALL)


class ToldFields:
    """Header fields as the journal tells them; those of one message after the other on a kept connection are mostly the same."""

    __slots__ = ("_fields", "_told")

    def __init__(self) -> None:
        self._fields: tuple[tuple[str, str], ...] = ()
        self._told = msgspec.Raw(b"[]")

    def told(self, fields: Iterable[tuple[str, str]]) -> msgspec.Raw:
        """Their pairs as JSON, secrets blanked."""
        now = tuple(fields)
        if now != self._fields:
            self._fields, self._told = now, msgspec.Raw(as_json(blanked(now)))
        return self._told


def as_fields(**fields: object) -> bytes:
    """An event's fields as JSON, to be noted as often as they are the same."""
    return as_json(fields)


def blanked(fields: Iterable[tuple[str, str]]) -> list[list[str]]:
    """Header fields as pairs for the journal; credentials, cookies and a URL's user information are blanked."""
    return [[name, _blank_value(name, value)] for name, value in fields]


def _blank_value(name: str, value: str) -> str:
    return f"«secret, {len(value)} bytes»" if name.lower() in SECRET_FIELDS else shown(value)


def shown(text: str) -> str:
    """Text for the journal: a URL's user information blanked, octets that aren't UTF-8 replaced."""
    if not text.isascii():
        text = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    if len(text) > SHOWN_CHARACTERS:
        text = f"{text[:SHOWN_CHARACTERS]}…"
    if "=" in text:
        text = _PARAMETER.sub(lambda found: f"{found[1]}=«secret, {len(found[2])} bytes»", text)
    return _USERINFO.sub("«secret»@", text) if "@" in text else text


def told_error(text: str) -> str:
    """An error's words for the journal: they quote what is malformed, and a credential may be in it."""
    return _QUOTED.sub("«secret»", text) if _TELLTALE.search(text) else shown(text)
