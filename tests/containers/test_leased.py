"""Listeners of a sandbox's own in containers: the console's container asks, the room's opens, the host connects."""

from __future__ import annotations

import imaplib
import socket

import pytest

from portyard.testing import ControlError, Testbed
from tests.support.containers import Containers

PATIENCE_S = 60.0
LEASES = 4  # of each service, as compose.yaml publishes them


def test_each_service_opens_its_leases_on_published_ports(yard: Containers) -> None:
    with Testbed.connect(f"http://{yard.host}:{yard.ports['console']}") as testbed, testbed.own_sandbox() as sandbox:
        for name in ("smtp", "submission", "lmtp", "pop3", "imap", "ftp", "ssh"):
            service = getattr(sandbox, name)
            shared = service.port
            assert service.lease().port != shared
            with socket.create_connection((service.host, service.port), PATIENCE_S) as connection:
                assert connection.recv(4)
        for room in ("smtp", "pop3", "imap", "ftp", "ssh"):
            assert sandbox.events.wait(room=room, kind="opened", timeout=PATIENCE_S)


def test_a_greeting_is_refused_to_one_sandbox(yard: Containers) -> None:
    with Testbed.connect(f"http://{yard.host}:{yard.ports['console']}") as testbed, testbed.own_sandbox() as sandbox:
        shared = sandbox.imap.port
        rule = sandbox.imap.refuse("* BYE too many connections", on="greeting", times=1)
        with pytest.raises(imaplib.IMAP4.error, match="too many connections"):
            imaplib.IMAP4(sandbox.imap.host, sandbox.imap.port, timeout=PATIENCE_S)
        assert rule.hits == 1
        with imaplib.IMAP4(sandbox.imap.host, shared, timeout=PATIENCE_S) as client:
            assert client.welcome.startswith(b"* OK")


def test_the_range_ends_with_one_clear_line(yard: Containers) -> None:
    with Testbed.connect(f"http://{yard.host}:{yard.ports['console']}") as testbed:
        sandboxes = [testbed.sandbox() for _ in range(LEASES + 1)]
        try:
            assert len({sandbox.ssh.lease().port for sandbox in sandboxes[:-1]}) == LEASES
            with pytest.raises(ControlError, match="every leased port") as caught:
                sandboxes[-1].ssh.lease()
            assert caught.value.status == 409
        finally:
            for sandbox in sandboxes:
                sandbox.delete()
