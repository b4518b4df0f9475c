"""A host and its port as URLs write them."""

from __future__ import annotations

import pytest

from portyard.commons.authority import authority


@pytest.mark.parametrize(
    ("host", "port", "written"),
    [
        ("127.0.0.1", 8025, "127.0.0.1:8025"),
        ("::1", 8025, "[::1]:8025"),
        ("localhost", "30000-30019", "localhost:30000-30019"),
    ],
)
def test_an_address_of_ipv6_stands_in_brackets(host: str, port: int | str, written: str) -> None:
    assert authority(host, port) == written
