"""The Authorization field (RFC 9110 §11): schemes, Basic (RFC 7617), Bearer (RFC 6750) and lists of parameters."""

from __future__ import annotations

import base64
import binascii
import hmac
import re

# auth-param = token BWS "=" BWS ( token / quoted-string ) (RFC 9110 §11.2)
_PARAMETER = re.compile(r'\s*([!#$%&\'*+\-.^_`|~0-9A-Za-z]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s",]*))\s*(?:,\s*|\Z)')


def split_scheme(value: str | None) -> tuple[str, str]:
    """A field's scheme in lower case and the rest; both empty without a field."""
    scheme, _, rest = (value or "").strip().partition(" ")
    return scheme.lower(), rest.strip()


def parse_basic(value: str | None) -> tuple[str, str] | None:
    """User and password of Basic credentials, or None when the field holds none."""
    scheme, rest = split_scheme(value)
    if scheme != "basic":
        return None
    try:
        octets = base64.b64decode(rest, validate=True)
    except (binascii.Error, ValueError):
        return None
    text = _decode(octets)
    user, colon, password = text.partition(":")
    return (user, password) if colon else None


def parse_bearer(value: str | None) -> str | None:
    """A Bearer token (RFC 6750 §2.1), or None when the field holds none."""
    scheme, rest = split_scheme(value)
    return rest if scheme == "bearer" and rest and " " not in rest else None


def parse_parameters(text: str) -> dict[str, str] | None:
    """A list of auth-params by name in lower case; None when it isn't one, or names one twice (RFC 9110 §11.2)."""
    found: dict[str, str] = {}
    at = 0
    while at < len(text):
        match = _PARAMETER.match(text, at)
        if match is None:
            return None
        name = match[1].lower()
        if name in found:
            return None
        found[name] = re.sub(r"\\(.)", r"\1", match[2]) if match[2] is not None else match[3]
        at = match.end()
    return found or None


def same(one: str, other: str) -> bool:
    """Equality that takes the same time wherever the difference is."""
    return hmac.compare_digest(one.encode("utf-8", "surrogatepass"), other.encode("utf-8", "surrogatepass"))


def _decode(octets: bytes) -> str:
    try:
        return octets.decode("utf-8")  # RFC 7617 §2.1: what our challenge asks for
    except UnicodeDecodeError:
        return octets.decode("latin-1")
