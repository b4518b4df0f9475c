"""Addresses of data connections."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portyard.ftp.core.addresses import (
    BadAddressError,
    HostPort,
    Surroundings,
    UnsupportedProtocolError,
    extended_passive_reply,
    parse_eprt,
    parse_port,
    passive_reply,
    plain,
    read_routes,
    refusal,
    same_host,
)

ROUTES = """Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t010012AC\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth0\t000012AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0
""".splitlines()


def test_port() -> None:
    assert parse_port("127,0,0,1,117,48") == HostPort("127.0.0.1", 30000)


@pytest.mark.parametrize(
    "text", ["", "1,2,3,4,5", "1,2,3,4,5,6,7", "256,0,0,1,1,1", "a,b,c,d,e,f", "1,2,3,4,5,-6", "١,0,0,1,1,1"]
)
def test_bad_port(text: str) -> None:
    with pytest.raises(BadAddressError):
        parse_port(text)


def test_eprt() -> None:
    assert parse_eprt("|1|127.0.0.1|30000|", ipv6=False) == HostPort("127.0.0.1", 30000)
    assert parse_eprt("!2!0:0:0:0:0:0:0:1!30000!", ipv6=True) == HostPort("::1", 30000)


@pytest.mark.parametrize(
    "text",
    ["", "|", "|1|127.0.0.1|30000", "|1|127.0.0.1|70000|", "|1|::1|1|", "|1|name|1|", "|x|1.1.1.1|1|", "1|1|1|1|1"],
)
def test_bad_eprt(text: str) -> None:
    with pytest.raises(BadAddressError):
        parse_eprt(text, ipv6=False)


def test_eprt_of_the_other_protocol() -> None:
    with pytest.raises(UnsupportedProtocolError):
        parse_eprt("|2|::1|30000|", ipv6=False)
    with pytest.raises(UnsupportedProtocolError):
        parse_eprt("|1|127.0.0.1|30000|", ipv6=True)


@given(st.ip_addresses(v=4).map(str), st.integers(0, 65535))
def test_passive_reply_names_what_port_reads(host: str, port: int) -> None:
    text = passive_reply(HostPort(host, port))
    assert text.startswith("227 ")
    assert parse_port(text.partition("(")[2].partition(")")[0]) == HostPort(host, port)


def test_extended_passive_reply() -> None:
    assert "(|||30000|)" in extended_passive_reply(30000)


def test_no_bounce() -> None:
    assert refusal(HostPort("127.0.0.1", 30000), "127.0.0.1") is None
    assert refusal(HostPort("127.0.0.1", 30000), "::ffff:127.0.0.1") is None
    assert str(refusal(HostPort("10.0.0.1", 30000), "127.0.0.1")).startswith("501")
    assert str(refusal(HostPort("127.0.0.1", 25), "127.0.0.1")).startswith("501")


def test_one_address_in_two_texts() -> None:
    assert same_host("::1", "0:0:0:0:0:0:0:1")
    assert plain("fe80::1%eth0") == "fe80::1"
    assert plain("nothing") == "nothing"


def test_routes() -> None:
    gateways, networks = read_routes(ROUTES)
    assert gateways == {"172.18.0.1"}
    assert networks == (ipaddress.IPv4Network("172.18.0.0/16"),)


CONTAINED = Surroundings("127.0.0.1", True, *read_routes(ROUTES))


@pytest.mark.parametrize(
    ("surroundings", "local", "peer", "named"),
    [
        (CONTAINED, "172.18.0.5", "172.18.0.1", "127.0.0.1"),  # the user's machine, through a published port
        (CONTAINED, "172.18.0.5", "172.18.0.9", "172.18.0.5"),  # a neighbour in the container network
        (CONTAINED, "172.18.0.5", "192.168.65.1", "127.0.0.1"),  # the user's machine, through a virtual machine
        (CONTAINED, "127.0.0.1", "127.0.0.1", "127.0.0.1"),  # inside the container itself
        (Surroundings("127.0.0.1"), "127.0.0.1", "127.0.0.1", "127.0.0.1"),
        (Surroundings("127.0.0.1"), "192.168.1.5", "192.168.7.7", "192.168.1.5"),  # advertise was never set
        (Surroundings("198.51.100.1"), "192.168.1.5", "203.0.113.9", "198.51.100.1"),  # behind a router, set
    ],
)
def test_the_address_that_a_peer_can_reach(surroundings: Surroundings, local: str, peer: str, named: str) -> None:
    assert surroundings.passive_address(local, peer) == named
