"""The errands against the embedded engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.errands import ERRANDS, LIMIT_S, PASSWORD, Target
from tests.support.process import Running, serving


@pytest.fixture(scope="module")
def testbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serving(tmp_path_factory.mktemp("state"), "all") as running:
        yield running


@pytest.mark.parametrize("errand", ERRANDS, ids=lambda errand: errand.__name__)
def test_errand(testbed: Running, errand: Callable[[Target], None]) -> None:
    target = Target(testbed.port, str(testbed.state / "tls" / "ca.pem"), errand.__name__.replace("_", "-"))
    target.console.renew(target.name, PASSWORD)
    errand(target)


def test_every_implicit_port_verifies(testbed: Running, tmp_path: Path) -> None:
    """The leaf names localhost and the loopback addresses, under a CA that strict clients accept."""
    import socket

    target = Target(testbed.port, str(testbed.state / "tls" / "ca.pem"), "nobody")
    for name in ("submissions", "pop3s", "imaps", "https", "wss", "ftps"):
        for host in ("localhost", "127.0.0.1", "::1"):
            raw = socket.create_connection(("127.0.0.1", testbed.port(name)), LIMIT_S)
            with target.context().wrap_socket(raw, server_hostname=host) as secured:
                assert secured.version() in ("TLSv1.2", "TLSv1.3")
