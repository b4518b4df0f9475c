"""The words between the TLS layer and whoever steers it: what is asked, what is answered, what is told, and every limit."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from portyard.commons.tls.alerts import Alert
from portyard.commons.tls.hello import ClientHello


class OnEvent(Protocol):
    """Told of what happens to a connection's TLS.

        Kinds and their fields (`seconds` is always the time since the layer got the connection):

        - `hello`: `hello` (ClientHello), `seconds`;
        - `handshake`: the fields of `engine.Handshake`, `seconds`;
        - `plaintext`: `seconds`; the ClientHello is answered in plaintext;
    - `failed`: `stage` (`hello`, `handshake`, `open`), `reason`, `alert` (its name or None), `alert_from` (`us`, `peer`, None), `seconds`;
          for a peer that speaks no TLS also `start`, its first bytes;
        - `close_notify`: `received` (False: the peer's end came without one);
        - `pending_discarded`: `size` (bytes that came in plaintext behind the command that asked for TLS).
    """

    def __call__(self, kind: str, /, **fields: object) -> None:
        """Hear one event; must not raise."""


def ignore_events(kind: str, /, **fields: object) -> None:
    """An `OnEvent` that tells nobody."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How to answer a ClientHello."""

    context: ssl.SSLContext
    close_notify: bool = True
    """False: close without saying so."""


@dataclass(frozen=True, slots=True)
class Plaintext:
    """No TLS: an implicit port goes on in plaintext, with the ClientHello as the first thing that was heard. An upgrade fails."""

    words: bytes = b""
    """What is answered to an upgrade's ClientHello."""


class Refused(Exception):
    """Raised by a chooser to refuse the handshake with an alert of its choice."""

    def __init__(self, alert: Alert) -> None:
        super().__init__(alert.name.lower())
        self.alert = alert


class HungUp(Exception):
    """Raised by a chooser to close without a word in the midst of the handshake."""


Choice = ssl.SSLContext | Terms | Plaintext
Choose = Callable[[ClientHello], Choice | Awaitable[Choice]]
"""Asked once per handshake, before a TLS object exists. May be a coroutine function: one that never returns is a handshake that stalls."""


@dataclass(frozen=True, slots=True)
class Limits:
    """All that a peer may keep us waiting for."""

    handshake_s: float = 30.0
    """From the first moment to the end of the handshake; then the connection is closed and nothing more is sent."""
    flush_s: float = 30.0
    """A closing connection whose peer takes no byte for so long is dropped."""
    drain_s: float = 3.0
    """After our half-close, how long the peer may take to close; a TCP reset would overtake the alert that it should read."""
    drain_bytes: int = 16 * 1024 * 1024
    """What a peer may still send meanwhile."""


DEFAULT_LIMITS = Limits()
