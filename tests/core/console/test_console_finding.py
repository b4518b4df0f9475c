"""Links, found in what people write and in nothing else."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portyard.console.core.finding import MOST, links, visible


@pytest.mark.parametrize(
    ("text", "html", "found"),
    [
        ("See https://x.test/a?b=1&c=2.", None, ["https://x.test/a?b=1&c=2"]),
        ("(http://x.test/a_(b)) and <http://y.test>", None, ["http://x.test/a_(b)", "http://y.test"]),
        ("twice http://x.test http://x.test", None, ["http://x.test"]),
        (None, '<a href="https://x.test/?a=1&amp;b=2">x</a><a href="mailto:a@x.test">', ["https://x.test/?a=1&b=2"]),
        ("http://t.test", "<A HREF='http://h.test'>", ["http://h.test", "http://t.test"]),
        ("ftp://x.test javascript:alert(1)", '<a href="javascript:alert(1)">', []),
        (None, None, []),
        (
            None,
            '<p>Or <b>http://e.test/plain?a=1&amp;b=2</b>.</p><a href="https://d.test/long">https://d.test/…</a> https://f.test/',
            ["http://e.test/plain?a=1&b=2", "https://d.test/long", "https://f.test/"],
        ),
        (None, "<style>@import url(https://x.test/)</style><a>https://no.test/anchor</a>", ["https://no.test/anchor"]),
    ],
)
def test_links(text: str | None, html: str | None, found: list[str]) -> None:
    assert links(text, html) == found


def test_no_more_than_bounded() -> None:
    assert len(links(" ".join(f"http://x.test/{n}" for n in range(1000)), None)) == MOST


@pytest.mark.parametrize("piece", ["code ", "1 ", "A-", "http://", "<a href=", "<", "123 ", "code 1", "A1", "\n"])
def test_nothing_takes_long(piece: str) -> None:
    text = piece * (300_000 // len(piece))
    begun = time.process_time()
    links(text, text)
    visible(text)
    assert time.process_time() - begun < 20  # linear takes a second, anything else minutes


@given(st.text(), st.none() | st.text())
def test_anything_is_read(text: str, html: str | None) -> None:
    assert all(link.lower().startswith(("http://", "https://")) for link in links(text, html))


def test_what_a_reader_of_html_sees() -> None:
    html = "<style>.a{color:#123456}</style><p>Your code</p><h1>654321</h1><script>var code = 111111</script>"
    assert visible(html).split() == ["Your", "code", "654321"]
