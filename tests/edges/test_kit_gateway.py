"""Where a containerised test finds what the engine beside it publishes."""

from __future__ import annotations

import pytest

from portyard.testing.container import gateway_of


@pytest.mark.parametrize(
    ("pools", "gateway"),
    [
        ([{"Subnet": "172.17.0.0/16", "Gateway": "172.17.0.9"}], "172.17.0.9"),
        ([{"Subnet": "172.17.0.0/16"}], "172.17.0.1"),  # the default bridge of an engine that has just been installed
        ([{"Subnet": "10.9.8.0/28", "Gateway": ""}], "10.9.8.1"),
        (
            [{"Subnet": "fd00::/64", "Gateway": "fd00::1"}, {"Subnet": "172.18.0.0/16", "Gateway": "172.18.0.1"}],
            "172.18.0.1",
        ),
    ],
)
def test_the_gateway_is_the_ipv4_pools(pools: list[dict[str, str]], gateway: str) -> None:
    assert gateway_of(pools) == gateway


@pytest.mark.parametrize("pools", [[], [{"Subnet": "fd00::/64"}]])
def test_a_network_without_ipv4_is_refused(pools: list[dict[str, str]]) -> None:
    with pytest.raises(OSError, match="no IPv4 addresses"):
        gateway_of(pools)
