"""Links and one-time codes, found in what people write and in nothing else."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portyard.console.core.finding import MOST, codes, links


@pytest.mark.parametrize(
    ("subject", "text", "found"),
    [
        ("Your code", "Your code is 123456.", ["123456"]),
        ("Sign in", "Use 123 456 to log in", ["123456"]),
        ("Your verification code", "G-482915 is your verification code.", ["482915"]),
        ("482915 is your code", "It expires in 10 minutes.", ["482915"]),
        ("One-time password", "Enter\n\n  7Q4K9Z  \n\nwithin 5 minutes.", ["7Q4K9Z"]),
        ("Verify", "Your code: ABC-12D", ["ABC-12D"]),
        ("PIN", "PIN: 0042", ["0042"]),
        ("PIN", "Your PIN is 2024", ["2024"]),
        ("Two", "code 111111 and code 222222, again code 111111", ["111111", "222222"]),
        ("Bestätigungscode", "Dein Code lautet 998877", ["998877"]),
        ("Invoice 123456", "Dear customer, the total is 4711.00 since 2023.", []),
        ("Your code", "Call +49 30 1234567 or see https://x.test/code/123456?code=99887766", []),
        ("Your code", "It costs $1234 and 12.3456 or 10:4455 on 2024-11-12", []),
        ("Login", "Welcome back, user1234@example.test", []),
        ("", "", []),
    ],
)
def test_codes(subject: str, text: str, found: list[str]) -> None:
    assert codes(subject, text, None) == found


def test_a_code_in_html_alone() -> None:
    html = "<style>.a{color:#123456}</style><p>Your code</p><h1>654321</h1><script>var code = 111111</script>"
    assert codes("Hello", None, html) == ["654321"]


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
    ],
)
def test_links(text: str | None, html: str | None, found: list[str]) -> None:
    assert links(text, html) == found


def test_no_more_than_bounded() -> None:
    assert len(links(" ".join(f"http://x.test/{n}" for n in range(1000)), None)) == MOST
    assert len(codes("code", " ".join(f"code {n}" for n in range(1000, 3000)), None)) == MOST


@pytest.mark.parametrize("piece", ["code ", "1 ", "A-", "http://", "<a href=", "<", "123 ", "code 1", "A1", "\n"])
def test_nothing_takes_long(piece: str) -> None:
    text = piece * (300_000 // len(piece))
    begun = time.process_time()
    links(text, text)
    codes("code", text, None)
    codes("code", None, text)
    assert time.process_time() - begun < 20  # linear takes a second, anything else minutes


@given(st.text(), st.text(), st.none() | st.text())
def test_anything_is_read(subject: str, text: str, html: str | None) -> None:
    assert all(codes(subject, text, html))
    assert all(link.lower().startswith(("http://", "https://")) for link in links(text, html))
