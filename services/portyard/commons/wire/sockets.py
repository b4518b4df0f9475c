"""What TCP can do to an accepted socket, in the kernel's words. Linux; runs no loop.

`reset_now` and `close_now` need no relay: they are what a listener does to a connection that it won't take.
"""

from __future__ import annotations

import array
import asyncio
import contextlib
import fcntl
import socket
import struct
import termios

_LINGER_NOT = struct.pack("ii", 1, 0)
_CLOSED = 7  # TCP_CLOSE of the kernel's tcp_states.h
_CLOSE_WAIT = 8  # the peer ended its direction
_ESTABLISHED = 1
_READS = 16  # a peer that talks faster than this gets the RST after all
_PROBE_S = 1  # how often a peer that has ended its direction is asked whether it is there at all


def reset_now(sock: socket.socket) -> None:
    """Close by RST. What isn't acknowledged yet is lost, and a reader may lose even what was."""
    linger_not(sock)
    sock.close()


def reset_transport(transport: asyncio.Transport, sock: socket.socket) -> None:
    """Have a transport close its socket by RST; what it hasn't written yet is lost, too.

    Args:
        transport: The plain one, below any TLS.
        sock: Its socket.
    """
    linger_not(sock)
    transport.abort()


def linger_not(sock: socket.socket) -> None:
    """Have a socket's close, by whomever, be a RST; nothing where it is closed already."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)


def close_now(sock: socket.socket) -> None:
    """Close by FIN, which goes ahead: what comes by the time of a close and isn't read makes it a RST."""
    with contextlib.suppress(OSError):
        sock.setblocking(False)
        sock.shutdown(socket.SHUT_WR)
        for _ in range(_READS):
            if not sock.recv(65536):
                break
    sock.close()


def end_writing(sock: socket.socket) -> None:
    """Send a FIN and go on reading; nothing where the connection is gone."""
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_WR)


def unacknowledged(sock: socket.socket) -> int:
    """Octets that were written and that the peer's kernel hasn't acknowledged; 0 where the connection is gone."""
    if is_gone(sock):
        return 0
    octets = array.array("i", [0])
    try:
        fcntl.ioctl(sock, termios.TIOCOUTQ, octets)
    except OSError:
        return 0
    return octets[0]


def is_gone(sock: socket.socket) -> bool:
    """Whether the kernel has given the connection up: a RST came, or nobody answers."""
    return _state(sock) == _CLOSED


def is_established(sock: socket.socket) -> bool:
    """Whether the handshake is done and nobody has ended anything."""
    return _state(sock) == _ESTABLISHED


def is_left(sock: socket.socket) -> bool:
    """Whether the peer has ended its direction or is gone; tells without reading."""
    return _state(sock) in (_CLOSE_WAIT, _CLOSED)


def probe(sock: socket.socket) -> None:
    """Have the kernel ask, as long as the peer is silent, whether it is still there; `is_gone` then tells."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _PROBE_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _PROBE_S)


def _state(sock: socket.socket) -> int:
    try:
        return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
    except OSError:
        return _CLOSED
