from __future__ import annotations

import ipaddress
from collections.abc import Callable
from pathlib import Path

import pytest

from portyard.commons.card import Service
from portyard.commons.directory import Directory, Endpoint
from portyard.dns.core.zones import View
from portyard.dns.views import LOOK_S, Network, Views

# A container's: everybody else through 172.20.0.1, the bridge 172.20.0.0/16 directly.
ROUTES = """\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t010014AC\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth0\t000014AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0
"""


def views_of(folder: Path, address: str, host: str = "127.0.0.1", now: Callable[[], float] = lambda: 0.0) -> Views:
    directory = Directory(folder / "endpoints")
    for service, port, number in (("dns", "dns-udp", 53), ("imap", "imap", 143)):
        endpoint = Endpoint(service, port, address, number, host, 3000 + number, "none", "tcp")
        directory.announce(Service(service, service, (), ""), [endpoint])
    (folder / "route").write_text(ROUTES)
    return Views(directory, folder / "route", now)


def test_the_route_table_is_read() -> None:
    network = Network.of(ROUTES)
    assert network.links == (ipaddress.IPv4Network("172.20.0.0/16"),)
    assert network.gateways == {ipaddress.IPv4Address("172.20.0.1")}


@pytest.mark.parametrize(
    ("ours", "peer", "view"),
    [
        ("127.0.0.1", "127.0.0.1", View.HOST),
        ("127.0.0.1", "172.20.0.9", View.HOST),
        ("172.20.0.2", "127.0.0.1", View.HOST),
        ("172.20.0.2", "172.20.0.9", View.INSIDE),
        ("172.20.0.2", "::ffff:172.20.0.9", View.INSIDE),
        ("172.20.0.2", "172.20.0.2", View.INSIDE),
        ("172.20.0.2", "172.20.0.1", View.HOST),  # the bridge's gateway is the host, come through a published port
        ("172.20.0.2", "192.0.2.7", View.HOST),
        ("172.20.0.2", "2001:db8::1", View.HOST),
        ("172.20.0.2", "nonsense", View.HOST),
    ],
)
def test_the_view_of_a_peer(tmp_path: Path, ours: str, peer: str, view: View) -> None:
    assert views_of(tmp_path, ours).of(peer, "dns") is view


def test_each_view_has_its_addresses_and_numbers(tmp_path: Path) -> None:
    views = views_of(tmp_path, "172.20.0.2")
    inside, host = ({place.service: place for place in views.places(view)} for view in (View.INSIDE, View.HOST))
    assert inside["imap"].addresses == (bytes([172, 20, 0, 2]),)
    assert inside["imap"].ports == (("imap", 143),)
    assert host["imap"].addresses == (bytes([127, 0, 0, 1]),)
    assert host["imap"].ports == (("imap", 3143),)


def test_a_host_that_is_told_by_name_is_known_by_our_loopback_address_only(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert views_of(tmp_path / "a", "127.0.0.1", "docker").places(View.HOST)[0].addresses == (bytes([127, 0, 0, 1]),)
    assert views_of(tmp_path / "b", "172.20.0.2", "docker").places(View.HOST)[0].addresses == ()


def test_places_are_made_anew_only_when_something_moved(tmp_path: Path) -> None:
    moments = iter((0.0, 0.0, LOOK_S, LOOK_S, 2 * LOOK_S - 0.001, 2 * LOOK_S, 2 * LOOK_S))
    views = views_of(tmp_path, "127.0.0.1", now=lambda: next(moments))
    first = views.places(View.HOST)
    assert views.places(View.HOST) is first
    pop3 = Endpoint("pop3", "pop3", "127.0.0.1", 110, "127.0.0.1", 3110, "none", "tcp")
    Directory(tmp_path / "endpoints").announce(Service("pop3", "pop3", (), ""), [pop3])
    assert views.places(View.HOST) is first  # looked at a moment ago
    assert [place.service for place in views.places(View.HOST)] == ["dns", "imap", "pop3"]
