"""Who is shown a page, and who is told the problem."""

from __future__ import annotations

import pytest

from portyard.console.core.preferring import wants_page


@pytest.mark.parametrize(
    ("accept", "page"),
    [
        ("", False),
        ("*/*", False),
        ("text/*", False),
        ("text/html", True),
        ("Text/HTML;level=1", True),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", True),
        ("application/json, text/html", False),
        ("application/json;q=0.5, text/html ; q=0.9", True),
        ("text/html;q=0", False),
        ("text/html;q=0.2, application/problem+json;q=0.3", False),
        ("text/html;q=x, ,;", True),
    ],
)
def test_html_by_its_name_is_a_wish_for_a_page(accept: str, page: bool) -> None:
    assert wants_page(accept) is page
