"""The links in a message, as somebody who tests a sign-up wants them; and its text as a reader sees it, for `onetime`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html.parser import HTMLParser

MOST = 100  # of each that are found in one message
TEXT_LIMIT = 1 << 18  # characters that are looked at
_LINK_LIMIT = 4096  # characters of a link

# RFC 3986 §2: what may stand in a URI; what usually ends a sentence or closes a bracket isn't the link's.
URL = re.compile(r"\bhttps?://[^\s<>\"'`{}|\\^]{1,4096}", re.IGNORECASE)
_TRAILING = ".,;:!?*_~"
_PAIRS = {")": "(", "]": "["}


def links(text: str | None, html: str | None) -> list[str]:
    """Every http(s) link, once, in order: the HTML's first, since people press those."""
    found: list[str] = []
    if html:
        found += _anchors(html)
    if text:
        found += [_trimmed(match[0]) for match in URL.finditer(text[:TEXT_LIMIT])]
    return once(found)


def _trimmed(url: str) -> str:
    while url and (url[-1] in _TRAILING or (url[-1] in _PAIRS and url.count(url[-1]) > url.count(_PAIRS[url[-1]]))):
        url = url[:-1]
    return url


def once(found: Iterable[str]) -> list[str]:
    """Each once, in order, as many as are told."""
    return list(dict.fromkeys(found))[:MOST]


def _anchors(html: str) -> list[str]:
    parser = _Reader()
    parser.feed(html[:TEXT_LIMIT])
    return [link for link in parser.links if len(link) <= _LINK_LIMIT and URL.match(link)]


def visible(html: str) -> str:
    """What a reader of HTML sees."""
    parser = _Reader()
    parser.feed(html[:TEXT_LIMIT])
    return "".join(parser.text)


class _Reader(HTMLParser):
    """What a reader of HTML sees, and where its links lead."""

    _HIDDEN = frozenset({"script", "style", "head", "template"})
    _BREAKS = frozenset({"br", "p", "div", "td", "th", "tr", "li", "h1", "h2", "h3", "h4", "table"})

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.links: list[str] = []
        self.text: list[str] = []
        self._hidden = 0
        self._pressed = False  # within a link, whose words may shorten where it leads

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._hidden += tag in self._HIDDEN
        if tag in self._BREAKS:
            self.text.append("\n")
        if tag in ("a", "area"):
            leads = [value.strip() for name, value in attrs if name == "href" and value]
            self._pressed = tag == "a" and bool(leads)
            self.links += leads

    def handle_endtag(self, tag: str) -> None:
        if tag in self._HIDDEN and self._hidden:
            self._hidden -= 1
        if tag == "a":
            self._pressed = False
        if tag in self._BREAKS:
            self.text.append("\n")

    def handle_data(self, data: str) -> None:
        if self._hidden:
            return
        self.text.append(data)
        if not self._pressed:  # readers make links of these
            self.links += [_trimmed(match[0]) for match in URL.finditer(data)]
