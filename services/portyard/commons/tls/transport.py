"""The transport that an application's protocol gets once TLS stands: asyncio's whole contract, nothing of TLS's."""

from __future__ import annotations

import asyncio
from asyncio import constants, transports
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from portyard.commons.tls.connection import TlsConnection


class TlsTransport(transports._FlowControlMixin, asyncio.Transport):
    """An asyncio transport whose bytes travel encrypted.

    The private base and `_sendfile_compatible` are what `loop.sendfile` asks of a transport before it falls back to reading and writing;
    every method of the base is replaced.
    """

    __slots__ = ("_tls",)

    _sendfile_compatible = constants._SendfileMode.FALLBACK
    lingers = True  # `close` lets the peer read to the end by itself

    def __init__(self, tls: TlsConnection, loop: asyncio.AbstractEventLoop) -> None:
        self._tls = tls
        self._loop = loop

    def get_extra_info(self, name: str, default: Any = None) -> Any:  # noqa: ANN401 - asyncio's own type
        """`ssl_object`, `sslcontext`, `cipher`, `peercert`, `compression`, `server_name`, and all that the plain transport knows.

        Args:
            name: What is asked for.
            default: What to answer where it isn't known; the TLS names aren't once the connection is lost.
        """
        return self._tls.extra_info(name, default)

    def is_closing(self) -> bool:
        """Whether it is closing or closed."""
        return self._tls.is_closing()

    def close(self) -> None:
        """Flush, say close_notify, close the writing half, wait shortly for the peer to do the same, close."""
        self._tls.close()

    def abort(self) -> None:
        """Close at once; what isn't sent is lost, and no close_notify is sent."""
        self._tls.abort()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Hand what comes next to another protocol; its `connection_made` isn't called."""
        self._tls.set_app(protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """The protocol that hears what comes."""
        return self._tls.app()

    def is_reading(self) -> bool:
        """Whether data is delivered as it comes."""
        return self._tls.is_reading()

    def pause_reading(self) -> None:
        """Deliver nothing, and read nothing from the peer, until `resume_reading`."""
        self._tls.pause_reading()

    def resume_reading(self) -> None:
        """Go on delivering, from the next turn of the loop on."""
        self._tls.resume_reading()

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        """Send data.

        Args:
            data: Bytes; copied where they could change.

        Raises:
            TypeError: It isn't bytes-like.
            RuntimeError: `write_eof` came before.
        """
        if not isinstance(data, bytes | bytearray | memoryview):
            raise TypeError(f"data: expecting a bytes-like instance, got {type(data).__name__}")
        self._tls.send(data)

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview[Any]]) -> None:
        """Send many pieces as one, so that they share records."""
        self.write(b"".join(list_of_data))

    def can_write_eof(self) -> bool:
        """True on TLS 1.3, where the two directions close one by one (RFC 8446 §6.1); before it the peer must stop as well."""
        return self._tls.can_write_eof()

    def write_eof(self) -> None:
        """Say close_notify and go on reading. The TCP connection stays open both ways.

        Raises:
            NotImplementedError: The version can't.
        """
        if not self.can_write_eof():
            raise NotImplementedError("this TLS version closes both directions at once")
        self._tls.write_eof()

    def get_write_buffer_size(self) -> int:
        """Bytes that wait to be sent, some encrypted already and some not."""
        return self._tls.write_buffer_size()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """`(low, high)` in bytes."""
        return self._tls.plain.get_write_buffer_limits()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Above `high` bytes the protocol's `pause_writing` is called, at `low` its `resume_writing`."""
        self._tls.plain.set_write_buffer_limits(high=high, low=low)

    @property
    def _protocol_paused(self) -> bool:  # read by loop.sendfile's fallback
        return self._tls.is_write_paused()
