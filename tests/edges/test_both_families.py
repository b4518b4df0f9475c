"""Listeners of both address families: whoever comes by IPv4 has an IPv4 address, and our own hops are known there too."""

from __future__ import annotations

import smtplib
import socket
import urllib.request
from collections.abc import Iterator

import pytest

from portyard.testing import Testbed

PATIENCE_S = 30.0


@pytest.fixture(scope="module")
def testbed() -> Iterator[Testbed]:
    if not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no listeners of both families")
    with Testbed.embedded(listen="::") as running:
        yield running


@pytest.mark.parametrize(("host", "seen"), [("127.0.0.1", "127.0.0.1"), ("::1", "::1")])
def test_peers_are_told_by_their_own_address(testbed: Testbed, host: str, seen: str) -> None:
    default = testbed.default()
    rule = default.pop3.hang_up(on="connect", where={"peer": seen}, times=1)
    with socket.create_connection((host, default.pop3.port), PATIENCE_S) as client:
        assert client.recv(100) == b""
    assert rule.hits == 1
    rule.remove()
    assert default.sessions(room="pop3")[0]["peer"].rpartition(":")[0] == seen


def test_hops_of_our_own_spend_no_rule(testbed: Testbed) -> None:
    """Rules that name no role mean outsiders alone."""
    default = testbed.default()
    with smtplib.SMTP("127.0.0.1", default.submission.port) as client:
        client.login("bob@portyard.test", "bob-secret")
        rules = [{"on": "smtp.connect", "then": {"hang_up": True}}, {"on": "dns.query", "then": {"silence": True}}]
        testbed.control.post("sandboxes/default/rules", rules)
        client.sendmail("bob@portyard.test", ["alice@portyard.test"], "Subject: hop\r\n\r\n")
    assert default.mail.wait(subject="hop", timeout=PATIENCE_S).to == ["alice@portyard.test"]
    assert [rule["hits"] for rule in default.rules()] == [0, 0]


def test_a_testbed_of_ipv6_alone() -> None:
    """Addresses stand in brackets wherever they are written with a port (RFC 3986 §3.2.2)."""
    if not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    with Testbed.embedded(listen="::1", advertise="::1") as running, running.own_sandbox() as sandbox:
        assert running.control.url == f"http://[::1]:{running.control.port}"
        with urllib.request.urlopen(sandbox.http.url("/status/204"), timeout=PATIENCE_S) as answer:
            assert answer.status == 204
        with smtplib.SMTP(sandbox.smtp.host, sandbox.smtp.port, timeout=PATIENCE_S) as client:
            client.sendmail("a@x.test", [f"mira@{sandbox.domain}"], "Subject: six\r\n\r\n")
        assert sandbox.mail.wait(subject="six", timeout=PATIENCE_S)
        sandbox.pop3.reset(on="connect", times=1)  # a lease, and a relay before it
        with (
            pytest.raises(ConnectionResetError),  # which may come before the client knows that it is connected
            socket.create_connection((sandbox.pop3.host, sandbox.pop3.port), PATIENCE_S) as refused,
        ):
            refused.recv(100)
        with Testbed.connect(running.control.url) as same:
            assert sandbox.name in {each["name"] for each in same.control.get("sandboxes")}
