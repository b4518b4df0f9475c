"""The links and one-time codes in a message, as somebody who tests a sign-up wants them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html.parser import HTMLParser

MOST = 100  # of each that are found in one message
_TEXT_LIMIT = 1 << 18  # characters that are looked at
_LINK_LIMIT = 4096  # characters of a link

# RFC 3986 §2: what may stand in a URI; what usually ends a sentence or closes a bracket isn't the link's.
_URL = re.compile(r"\bhttps?://[^\s<>\"'`{}|\\^]{1,4096}", re.IGNORECASE)
_TRAILING = ".,;:!?*_~"
_PAIRS = {")": "(", "]": "["}

_WORD = (
    r"code|c[oó]digo|pin|otp|passcode|password|passwort|token|kennwort|tan|verification|verify|"
    r"confirm(?:ation)?|one[- ]time|2fa|security|log[- ]?in|sign[- ]?in|best[aä]tigung\w*"
)
_NEAR = re.compile(rf"(?<![A-Za-z])(?:{_WORD})(?![A-Za-z])|コード|验证码|код", re.IGNORECASE)
_REACH = 80  # characters between such a word and its code
# Four to ten digits, maybe in two groups; or letters and digits mixed, in capitals, maybe with a hyphen or a prefix ("G-123456").
_CODE = re.compile(
    r"(?<![\w./:@#%&=+$€£-])(?:[A-Z]{1,3}-)?"
    r"(?P<code>\d{3}[ -]\d{3}|\d{4}[ -]\d{4}|\d{4,10}|(?=[A-Z-]*\d)[A-Z0-9]{3,6}-[A-Z0-9]{3,6}|(?=[A-Z]*\d)(?=\d*[A-Z])[A-Z0-9]{5,10})"
    r"(?![\w@%/-]|[.,:]\d)"
)
_YEAR = re.compile(r"(?:19|20)\d\d")


def links(text: str | None, html: str | None) -> list[str]:
    """Every http(s) link, once, in order: the HTML's first, since people press those."""
    found: list[str] = []
    if html:
        found += _anchors(html)
    if text:
        found += [_trimmed(match[0]) for match in _URL.finditer(text[:_TEXT_LIMIT])]
    return _once(found)


def codes(subject: str, text: str | None, html: str | None) -> list[str]:
    """One-time codes: digits or capitals near a word that speaks of one; alone on its line, too. Groups are joined."""
    body = text if text else _visible(html or "")
    found: list[str] = []
    for part in (subject, body[:_TEXT_LIMIT]):
        plain = _URL.sub(lambda match: " " * len(match[0]), part)
        words = [match.span() for match in _NEAR.finditer(plain)]
        if not words and not any(match for match in _NEAR.finditer(subject)):
            continue
        found += [_joined(match) for match in _CODE.finditer(plain) if _is_code(match, plain, words)]
    return _once(found)


def _is_code(match: re.Match[str], text: str, words: Sequence[tuple[int, int]]) -> bool:
    start, end = match.span()
    alone = not text[text.rfind("\n", 0, start) + 1 : start].strip() and not text[end:].partition("\n")[0].strip()
    if _YEAR.fullmatch(match["code"]) and not alone:
        return any(0 <= start - word_end <= 4 for _, word_end in words)
    return alone or any(start - word_end <= _REACH and word_start - end <= _REACH for word_start, word_end in words)


def _joined(match: re.Match[str]) -> str:
    code = match["code"]
    return re.sub(r"[ -]", "", code) if code.replace(" ", "").replace("-", "").isdigit() else code


def _trimmed(url: str) -> str:
    while url and (url[-1] in _TRAILING or (url[-1] in _PAIRS and url.count(url[-1]) > url.count(_PAIRS[url[-1]]))):
        url = url[:-1]
    return url


def _once(found: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(found))[:MOST]


def _anchors(html: str) -> list[str]:
    parser = _Reader()
    parser.feed(html[:_TEXT_LIMIT])
    return [link for link in parser.links if len(link) <= _LINK_LIMIT and _URL.match(link)]


def _visible(html: str) -> str:
    parser = _Reader()
    parser.feed(html[:_TEXT_LIMIT])
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

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._hidden += tag in self._HIDDEN
        if tag in self._BREAKS:
            self.text.append("\n")
        if tag in ("a", "area"):
            self.links += [value.strip() for name, value in attrs if name == "href" and value]

    def handle_endtag(self, tag: str) -> None:
        if tag in self._HIDDEN and self._hidden:
            self._hidden -= 1
        if tag in self._BREAKS:
            self.text.append("\n")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.text.append(data)
