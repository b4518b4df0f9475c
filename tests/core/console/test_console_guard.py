from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portyard.console.core.guard import host_name, is_known, is_own_site

KNOWN = frozenset({"console", "console.portyard.test"})


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LocalHost:8025",
        "app.localhost",
        "127.0.0.1:8025",
        "127.9.9.9",
        "[::1]:8025",
        "console",
        "Console.Portyard.Test.:80",
    ],
)
def test_known(host: str) -> None:
    assert is_known(host, KNOWN)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.test",
        "localhost.evil.test",
        "127.0.0.1.evil.test",
        "192.0.2.1",
        "[2001:db8::1]",
        "a b",
        "console:x",
        "console:1:2",
        "@",
        "::1",
    ],
)
def test_unknown(host: str) -> None:
    assert not is_known(host, KNOWN)


@given(st.text())
def test_any_text_is_a_host_or_not(host: str) -> None:
    is_known(host, KNOWN)
    assert host_name(host) is None or ":" not in host or host


@pytest.mark.parametrize(
    ("origin", "site", "own"),
    [
        (None, None, True),
        ("http://localhost:8025", None, True),
        ("http://LOCALHOST:8025", "same-origin", True),
        ("http://localhost:3000", None, False),
        ("null", None, False),
        ("https://evil.test", "cross-site", False),
        (None, "cross-site", False),
        (None, "same-site", False),
        (None, "none", True),
    ],
)
def test_own_site(origin: str | None, site: str | None, own: bool) -> None:
    assert is_own_site(origin, "localhost:8025", site) is own
