"""Who may talk to the console: requests that name it by a known host, and writes that no other site made.

A page in the user's browser can reach loopback. Under a name of its own that resolves here (DNS rebinding) it is told apart by Host, and
when it posts here from elsewhere by Origin.
"""

from __future__ import annotations

import ipaddress
import re

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})  # RFC 9110 §9.2.1

# RFC 9110 §7.2, RFC 3986 §3.2.2: Host = uri-host [ ":" port ], an IPv6 address in brackets.
_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>[0-9]{0,5}))?")


def host_name(host: str) -> str | None:
    """The name in a Host field, in lower case, without port, brackets and final dot; None when it is malformed."""
    found = _HOST.fullmatch(host)
    return found["name"].lower().strip("[]").removesuffix(".") if found else None


def is_known(host: str, known: frozenset[str]) -> bool:
    """True for loopback and for the names that were told (lower case)."""
    name = host_name(host)
    if name is None:
        return False
    if name in known or name == "localhost" or name.endswith(".localhost"):  # RFC 6761 §6.3
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def is_own_site(origin: str | None, host: str, fetch_site: str | None) -> bool:
    """True when a write comes from no page at all, or from a page of ours.

    Args:
        origin: The Origin field (RFC 6454 §7); None from clients that are no browsers.
        host: The Host field.
        fetch_site: The Sec-Fetch-Site field that browsers add.
    """
    if fetch_site is not None and fetch_site not in ("same-origin", "none"):
        return False
    return origin is None or origin.partition("://")[2].lower() == host.lower()
