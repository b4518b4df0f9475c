"""Read a ClientHello out of raw TLS records, before any TLS library is asked.

Pure: bytes in, values out. It knows the record layer's framing and the ClientHello's fields; it verifies nothing, and it keeps every byte
it was fed (`HelloReader.raw`) so that the TLS library can be given the very same bytes afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from portyard.commons.tls.alerts import Alert

MAX_HELLO: Final = 65_536
"""Bytes of one ClientHello; real ones are under 4 KiB, even with post-quantum key shares."""
MAX_RECORD: Final = 16_384
"""Bytes of one plaintext record's payload (RFC 8446 §5.1)."""

_HANDSHAKE: Final = 22
_ALERT: Final = 21
_CLIENT_HELLO: Final = 1
_HEADER: Final = 5
_VERSIONS: Final = {0x0300: "SSLv3", 0x0301: "TLSv1", 0x0302: "TLSv1.1", 0x0303: "TLSv1.2", 0x0304: "TLSv1.3"}


class BadHello(ValueError):
    """The peer speaks TLS, but not well; `alert` is what to answer."""

    def __init__(self, reason: str, alert: Alert = Alert.DECODE_ERROR) -> None:
        super().__init__(reason)
        self.reason = reason
        self.alert = alert


@dataclass(frozen=True, slots=True)
class NeedMore:
    """The ClientHello isn't whole yet."""

    at_least: int
    """Bytes that must come before another look is worth it; 1 or more."""


@dataclass(frozen=True, slots=True)
class NotTls:
    """The first bytes are no TLS record."""

    kind: str
    """`"plaintext"`, `"sslv2"` (its two-byte record header) or `"alert"` (a TLS peer that gives up before it begins)."""
    start: bytes
    """The first bytes, 64 at most, for the journal."""


@dataclass(frozen=True, slots=True)
class ClientHello:
    """What a TLS client offers (RFC 8446 §4.1.2). Code points are kept as they came, GREASE included."""

    legacy_version: int
    session_id: bytes
    cipher_suites: tuple[int, ...]
    compressions: tuple[int, ...]
    extensions: tuple[int, ...]
    """Extension types in the order in which they came."""
    server_name: str | None = None
    alpn: tuple[str, ...] = ()
    supported_versions: tuple[int, ...] = ()
    """As in the extension; empty where the client didn't send it."""
    groups: tuple[int, ...] = ()
    signature_algorithms: tuple[int, ...] = ()

    @property
    def versions(self) -> tuple[str, ...]:
        """Versions on offer by name, best first as the client orders them; without the extension the legacy one."""
        offered = self.supported_versions or (self.legacy_version,)
        return tuple(version_name(code) for code in offered if not is_grease(code))


def version_name(code: int) -> str:
    """`0x0304` → `"TLSv1.3"`; an unknown code in hexadecimal."""
    return _VERSIONS.get(code, f"0x{code:04x}")


def is_grease(code: int) -> bool:
    """True for the reserved values that clients sprinkle in (RFC 8701 §2)."""
    return (code & 0x0F0F) == 0x0A0A and code >> 8 == code & 0xFF


class HelloReader:
    """Collects raw bytes until a ClientHello is whole. Each byte is looked at once, however it is cut."""

    __slots__ = ("_at", "_handshake", "raw")

    def __init__(self) -> None:
        self.raw = bytearray()
        """Everything that was fed, whatever came behind the hello included."""
        self._handshake = bytearray()
        self._at = 0  # where the next record header begins in raw

    def feed(self, data: bytes | memoryview) -> ClientHello | NeedMore | NotTls:
        """Take bytes as they arrive.

        Args:
            data: Any number of bytes, cut anywhere.

        Returns:
            The hello, or what is missing, or that this is no TLS.

        Raises:
            BadHello: TLS framing is broken, a limit is passed, or the hello doesn't parse.
        """
        self.raw += data
        odd = _look(self.raw)
        if odd is not None:
            return odd
        while True:
            missing = self._take_record()
            whole = self._message()
            if whole is not None:
                return parse_client_hello(whole)
            if missing:
                return NeedMore(missing)

    def _take_record(self) -> int:
        """Move one record's payload to the handshake bytes; otherwise the number of bytes that it lacks."""
        have = len(self.raw) - self._at
        if have < _HEADER:
            return _HEADER - have
        kind, major = self.raw[self._at], self.raw[self._at + 1]
        size = int.from_bytes(self.raw[self._at + 3 : self._at + _HEADER])
        if kind != _HANDSHAKE or major != 3:
            raise BadHello("no handshake record inside the hello", Alert.UNEXPECTED_MESSAGE)  # RFC 8446 §5.1
        if size == 0:
            raise BadHello("an empty handshake record", Alert.UNEXPECTED_MESSAGE)  # RFC 8446 §5.1
        if size > MAX_RECORD:
            raise BadHello(f"a record of {size} bytes, {MAX_RECORD} are allowed", Alert.RECORD_OVERFLOW)
        if have < _HEADER + size:
            return _HEADER + size - have
        start = self._at + _HEADER
        self._handshake += self.raw[start : start + size]
        self._at = start + size
        return 0

    def _message(self) -> bytes | None:
        """The hello's body, once all of it is here."""
        have = self._handshake
        if not have:
            return None
        if have[0] != _CLIENT_HELLO:
            raise BadHello(f"handshake message {have[0]} where a ClientHello belongs", Alert.UNEXPECTED_MESSAGE)
        if len(have) < 4:
            return None
        size = int.from_bytes(have[1:4])
        if size > MAX_HELLO:
            raise BadHello(f"a ClientHello of {size} bytes, {MAX_HELLO} are allowed", Alert.ILLEGAL_PARAMETER)
        return bytes(have[4 : 4 + size]) if len(have) >= 4 + size else None


def _look(raw: bytearray) -> NotTls | None:
    """Judge the first bytes. A TLS record begins 22, 3; a client that talks in the clear begins with neither."""
    if not raw:
        return None
    start = bytes(raw[:64])
    if raw[0] == _ALERT and (len(raw) == 1 or raw[1] == 3):
        return NotTls("alert", start)
    if raw[0] != _HANDSHAKE:
        sslv2 = raw[0] & 0x80 and (len(raw) < 3 or raw[2] == _CLIENT_HELLO)
        return NotTls("sslv2" if sslv2 else "plaintext", start)
    return NotTls("plaintext", start) if len(raw) > 1 and raw[1] != 3 else None


class _Cursor:
    """Reads length-prefixed vectors; anything that runs over the end is a BadHello."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def take(self, size: int) -> bytes:
        end = self._at + size
        if end > len(self._data):
            raise BadHello("a field runs over the end of the ClientHello")
        taken = self._data[self._at : end]
        self._at = end
        return taken

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size))

    def vector(self, prefix: int) -> _Cursor:
        return _Cursor(self.take(self.number(prefix)))

    def rest(self) -> bytes:
        return self.take(len(self._data) - self._at)

    def numbers(self, size: int) -> tuple[int, ...]:
        if len(self._data) % size:
            raise BadHello("a list of numbers has an odd length")
        found = []
        while self:
            found.append(self.number(size))
        return tuple(found)


def parse_client_hello(body: bytes) -> ClientHello:
    """Parse a ClientHello's body, without its handshake header.

    Args:
        body: The message behind its four-byte header.

    Returns:
        The offer.

    Raises:
        BadHello: It isn't one.
    """
    cursor = _Cursor(body)
    legacy_version = cursor.number(2)
    cursor.take(32)  # random
    session_id = cursor.vector(1).rest()
    suites = cursor.vector(2).numbers(2)
    compressions = cursor.vector(1).numbers(1)
    if len(session_id) > 32 or not suites or not compressions:  # RFC 5246 §7.4.1.2
        raise BadHello("a ClientHello without suites or compressions, or with too long a session id")
    order: dict[int, None] = {}  # a dict, because a list would make 16,000 extensions a burden
    known: dict[str, object] = {}
    extensions = cursor.vector(2) if cursor else _Cursor(b"")
    if cursor:
        raise BadHello("bytes behind the extensions")
    while extensions:
        kind = extensions.number(2)
        data = extensions.vector(2)
        if kind in order:
            raise BadHello(f"extension {kind} twice", Alert.ILLEGAL_PARAMETER)  # RFC 8446 §4.2
        order[kind] = None
        if kind in _EXTENSIONS:
            field, read = _EXTENSIONS[kind]
            known[field] = read(data)
    return ClientHello(legacy_version, session_id, suites, compressions, tuple(order), **known)  # type: ignore[arg-type]


def _server_name(data: _Cursor) -> str | None:
    names = data.vector(2)  # RFC 6066 §3
    while names:
        kind, name = names.number(1), names.vector(2).rest()
        if kind == 0:
            return name.decode("latin-1").lower()
    return None


def _alpn(data: _Cursor) -> tuple[str, ...]:
    names = data.vector(2)  # RFC 7301 §3.1
    found = []
    while names:
        found.append(names.vector(1).rest().decode("latin-1"))
    return tuple(found)


_EXTENSIONS: Final[dict[int, tuple[str, Callable[[_Cursor], object]]]] = {
    0: ("server_name", _server_name),
    10: ("groups", lambda data: data.vector(2).numbers(2)),  # RFC 8446 §4.2.7
    13: ("signature_algorithms", lambda data: data.vector(2).numbers(2)),  # RFC 8446 §4.2.3
    16: ("alpn", _alpn),
    43: ("supported_versions", lambda data: data.vector(1).numbers(2)),  # RFC 8446 §4.2.1
}
