"""Who has a port, as the system tells it."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from portyard.commons import holders
from portyard.commons.holders import holder


@pytest.mark.parametrize(
    ("family", "kind", "transport", "address"),
    [
        (socket.AF_INET, socket.SOCK_STREAM, "tcp", "127.0.0.1"),
        (socket.AF_INET, socket.SOCK_DGRAM, "udp", "127.0.0.1"),
        (socket.AF_INET6, socket.SOCK_STREAM, "tcp", "::1"),
    ],
)
def test_a_ports_program_is_named(
    family: socket.AddressFamily, kind: socket.SocketKind, transport: str, address: str
) -> None:
    with socket.socket(family, kind) as sock:
        sock.bind((address, 0))
        if transport == "tcp":
            sock.listen()
        number = sock.getsockname()[1]
        ours = f"{Path('/proc/self/comm').read_text().strip()} (pid {os.getpid()})"
        assert holder(number, transport) == ours
    assert holder(number, transport) != ours


def test_a_client_serves_no_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        assert f"(pid {os.getpid()})" not in holder(client.getsockname()[1])


def test_nobody_tells_without_proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holders, "PROC", tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as sock:
        assert holder(sock.getsockname()[1]) == ""
    assert holders.processes() == []
