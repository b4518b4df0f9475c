"""A connected pair of TCP sockets within this host, one of which passes for the connection of somebody else."""

from __future__ import annotations

import contextlib
import socket
from typing import Any

_LIMIT_S = (
    1.0  # the kernel connects two of its own sockets in microseconds; a firewall that forbids it must not stop the loop
)
_FORGET_S = 1  # how long the kernel remembers a closed far end that nobody answers, instead of a minute

Address = tuple[Any, ...]


class RelayedSocket(socket.socket):
    """The end of a pair that is handed on: it says the addresses of the connection for which it stands.

    Only this object does. A socket made from its descriptor (TLS of the standard library), or a loop that asks the kernel (uvloop), sees
    the pair's own addresses.

    Args:
        made: The socket whose descriptor is taken over.
        local: Our address in the connection for which it stands.
        peer: The peer's.
    """

    def __init__(self, made: socket.socket, local: Address, peer: Address) -> None:
        super().__init__(made.family, made.type, made.proto, fileno=made.detach())
        self._local = local
        self._peer = peer

    def getsockname(self) -> Address:
        """Our address, as the client knows it."""
        return self._local

    def getpeername(self) -> Address:
        """The client's address."""
        return self._peer


def pair_for(client: socket.socket, peer: Address) -> tuple[socket.socket, RelayedSocket]:
    """A pair in the place of a client's connection, both ends non-blocking and without Nagle's delay.

    The far end has our address of the connection where that can be bound, so that a listener opened beside it is where the client
    expects it.

    Args:
        client: The accepted socket.
        peer: Its peer's address.

    Returns:
        The near end, for the relay, and the far end, for whoever would have got the client's socket.

    Raises:
        OSError: No pair can be made (descriptors, say).
    """
    local = client.getsockname()
    with _listening(client.family, local) as listening, contextlib.ExitStack() as undo:
        near = undo.enter_context(socket.socket(client.family, socket.SOCK_STREAM))
        near.settimeout(_LIMIT_S)
        near.connect(listening.getsockname())
        far = undo.enter_context(_accept_from(listening, near.getsockname()))
        for sock in (near, far):
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        far.setsockopt(socket.IPPROTO_TCP, socket.TCP_LINGER2, _FORGET_S)
        undo.pop_all()
        return near, RelayedSocket(far, local, peer)


def _listening(family: socket.AddressFamily, local: Address) -> socket.socket:
    loopback: Address = ("::1", 0) if family == socket.AF_INET6 else ("127.0.0.1", 0)
    for address in ((local[0], 0, *local[2:]), loopback):
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.bind(address)
            sock.listen(1)
        except OSError:  # the address was taken away from this host
            sock.close()
            continue
        sock.settimeout(_LIMIT_S)
        return sock
    raise OSError("no address of this host can be bound")


def _accept_from(listening: socket.socket, wanted: Address) -> socket.socket:
    """Our own connection; a stranger's, who guessed the port, is closed."""
    while True:
        sock, address = listening.accept()
        if address == wanted:
            return sock
        sock.close()
