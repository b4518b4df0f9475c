"""The opening handshake as the client must send it (RFC 6455 §4.2.1), and what it gets when it doesn't."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field

VERSION = "13"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why there is no upgrade.

    Attributes:
        status: The status code.
        reason: One line for people.
        headers: What goes with it.
    """

    status: int
    reason: str
    headers: dict[str, str] = field(default_factory=dict)


def check(headers: Mapping[str, str], version: tuple[int, int]) -> Refusal | None:
    """What is wrong with a request as an opening handshake; None when nothing is.

    Args:
        headers: The request's fields; names compare without case.
        version: Of HTTP, as (major, minor).
    """
    if "websocket" not in tokens(headers.get("Upgrade", "")) or "upgrade" not in tokens(headers.get("Connection", "")):
        fields = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": VERSION}
        return Refusal(426, "this path speaks WebSocket only", fields)  # RFC 9110 §15.5.22
    if version < (1, 1):
        return Refusal(400, "an upgrade needs HTTP/1.1")  # RFC 6455 §4.2.1
    if headers.get("Sec-WebSocket-Version", "").strip() != VERSION:
        fields = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": VERSION}
        return Refusal(426, f"WebSocket version {VERSION} only", fields)  # RFC 6455 §4.4
    if not _is_key(headers.get("Sec-WebSocket-Key", "")):
        return Refusal(400, "Sec-WebSocket-Key isn't 16 octets in base64")
    return None


def subprotocols(headers: Mapping[str, str]) -> list[str]:
    """The subprotocols that the client offers, liked best first (RFC 6455 §11.3.4)."""
    return [name.strip() for name in headers.get("Sec-WebSocket-Protocol", "").split(",") if name.strip()]


def tokens(value: str) -> list[str]:
    """The members of a comma-separated field, in lower case."""
    return [token.strip().lower() for token in value.split(",")]


def _is_key(value: str) -> bool:
    try:
        return len(base64.b64decode(value.strip(), validate=True)) == 16
    except (binascii.Error, ValueError):
        return False
