"""Where something listens, written as URLs write it."""

from __future__ import annotations


def authority(host: str, port: int | str) -> str:
    """A host and its port: `127.0.0.1:8025`, `[::1]:8025` (RFC 3986 §3.2.2).

    Args:
        host: A name or an address, without brackets.
        port: The number, or `first-last` where there are several.
    """
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
