"""Ten thousand clients that say nothing: everybody else is served, and memory stays bounded."""

from __future__ import annotations

import contextlib
import resource
import selectors
import socket
from pathlib import Path

from tests.support.process import serving

IDLE = 10_000
SPARE = 500
KILOBYTES_EACH = 24  # measured 8; a leak of a buffer for each would be 64 or more


@contextlib.contextmanager
def descriptors(count: int) -> object:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), max(hard, count)))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, max(hard, count)))


def greeted(connections: list[socket.socket]) -> None:
    """Return once the server has greeted each of them."""
    with selectors.DefaultSelector() as selector:
        for connection in connections:
            selector.register(connection, selectors.EVENT_READ)
        while selector.get_map():
            ready = selector.select(30)
            assert ready, f"{len(selector.get_map())} connections were never greeted"
            for key, _ in ready:
                assert key.fileobj.recv(4096).startswith(b"+OK")  # type: ignore[union-attr]
                selector.unregister(key.fileobj)


def test_idle_connections_hurt_nobody(tmp_path: Path) -> None:
    with descriptors(IDLE + SPARE), contextlib.ExitStack() as stack:
        running = stack.enter_context(serving(tmp_path, "pop3", "imap"))
        before = running.resident_kilobytes
        for _ in range(IDLE // 500):
            batch = [
                stack.enter_context(socket.create_connection(("127.0.0.1", running.port("pop3")), 30))
                for _ in range(500)
            ]
            greeted(batch)
        assert running.resident_kilobytes - before < IDLE * KILOBYTES_EACH
        for name, greeting in (("pop3", b"+OK"), ("imap", b"* OK")):
            with socket.create_connection(("127.0.0.1", running.port(name)), 30) as one_more:
                assert one_more.recv(4096).startswith(greeting)
