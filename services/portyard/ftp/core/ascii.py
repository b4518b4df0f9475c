"""Representation type ASCII (RFC 959 §3.1.1.1): CRLF on the wire, LF in our files, in whatever cuts the octets come."""

from __future__ import annotations

import re

_LONE_LF = re.compile(rb"(?<!\r)\n")


class ToNetwork:
    """Our octets as they go out: each LF that has no CR before it becomes CRLF."""

    def __init__(self) -> None:
        self._after_cr = False

    def feed(self, data: bytes) -> bytes:
        """The next octets."""
        if not data:
            return b""
        out = _LONE_LF.sub(b"\r\n", data)
        if self._after_cr and data.startswith(b"\n"):
            out = out[1:]  # its CR went out with the cut before
        self._after_cr = data.endswith(b"\r")
        return out


class FromNetwork:
    """Octets from the wire as we keep them: each CRLF becomes LF, a CR alone stays."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """The next octets; a CR at the cut waits for what follows."""
        data = self._held + data
        self._held = b"\r" if data.endswith(b"\r") else b""
        if self._held:
            data = data[:-1]
        return data.replace(b"\r\n", b"\n")

    def finish(self) -> bytes:
        """What still waited when the transfer ended."""
        held, self._held = self._held, b""
        return held
