r"""Secrets in bodies, blanked by the names that they go under: fields of forms, members of JSON, elements of XML, lines of heads. Pure.

What is looked at is a body's beginning as it stands, so a value may be cut; what echoes a request tells its secrets again, within a string
of JSON also (`"{\"password\": \"x\"}"`). A blanked value tells its length, as in heads.
"""

from __future__ import annotations

import re
from typing import Final

_SIGNS: Final = (
    ("k", ("token", "cookie", "key")),
    ("w", ("passw", "pwd")),
    ("z", ("authorization",)),
    ("@", ("://",)),
    ("passp", ()),
    ("secret", ()),
    ("assertion", ()),
    ("code", ()),
    ("bearer ", ()),
    ("basic ", ()),
)
"""One of them is in whatever holds a secret that is known here, with one of those that stand behind it if there are any: most bodies hold
none, and cost no more than this look. For a letter that is rare the look takes a third of the time that it takes for a word."""
_WORD: Final = (
    rb"(?:passw(?:or)?d(?:[_-]?(?:\d|confirm(?:ation)?|again|repeat))?|pwd|passphrase|secret|token|authorization|cookies?"
    rb"|api[_-]?key|client_assertion)"
)
_NAME: Final = rb"[^\"\\=&?;:<>\s]{0,60}?" + _WORD  # "new_password", "X-Auth-Token"; not "max_tokens", "token_type"
_JSON: Final = re.compile(
    rb"(?P<q>\\*\")(?:" + _NAME + rb"|code(?=(?P=q)\s*:\s*(?P=q)[^\s\"\\]{16}))(?P=q)\s*:\s*"
    rb"(?:\"(?P<string>(?:\\.|[^\"\\])*)|\\\"(?P<inner>(?:\\\\\\.|\\\\[^\"]|[^\"\\])*)"
    rb"|(?P<many>\[[^\[\]]*|\{[^{}]+)|(?P<plain>(?!null|true|false)[^\s\"\\,\[\]{}]+))",
    re.IGNORECASE | re.DOTALL,
)
_FORM: Final = re.compile(
    rb"(?:^|(?<=[&?;#\"\s]))(?:" + _NAME + rb"=(?P<value>[^&\s\"<>]+)|code=(?P<code>[^&\s\"<>]{16,}))",
    re.IGNORECASE | re.MULTILINE,
)
_PART: Final = re.compile(
    rb"name=\"?" + _NAME + rb"\"?[^\r\n]*\r\n(?:[^\r\n]+\r\n){0,5}\r\n(?P<value>.+?)(?=\r\n--|\Z)",
    re.IGNORECASE | re.DOTALL,
)  # RFC 7578 §4.2
_ELEMENT: Final = re.compile(rb"<(?:[\w.-]{1,40}:)?" + _NAME + rb"(?:\s[^<>]{0,200})?>(?P<value>[^<]+)", re.IGNORECASE)
_LINE: Final = re.compile(rb"^[ \t]*" + _NAME + rb":[ \t]*(?P<value>[^\"\r\n]+)", re.IGNORECASE | re.MULTILINE)
_USERINFO: Final = re.compile(rb"://(?P<value>[^/?#@\s\"]+)(?=@)")
_SCHEME: Final = re.compile(
    rb"\b(?:Bearer|Basic) +(?P<value>[\w.~+/-]{8,}=*)", re.IGNORECASE
)  # RFC 6750 §2.1, RFC 7617 §2
_ALL: Final = (_JSON, _PART, _ELEMENT, _LINE, _FORM, _USERINFO, _SCHEME)


def masked(octets: bytes) -> bytes:
    """A body's beginning with the secrets in it blanked."""
    if not _is_suspicious(octets.lower().decode("latin-1")):  # a string is asked for another in half the time
        return octets
    for pattern in _ALL:
        octets = pattern.sub(_blank, octets)
    return octets


def _is_suspicious(text: str) -> bool:
    for sign, words in _SIGNS:
        if sign in text:
            if not words:
                return True
            for word in words:
                if word in text:
                    return True
    return False


def _blank(found: re.Match[bytes]) -> bytes:
    """What was found, its value blanked."""
    name = found.lastgroup
    assert name is not None
    value = found[name]
    if value.startswith("«secret".encode()) or not value:
        return found[0]
    start, end = found.start(name) - found.start(), found.end(name) - found.start()
    return found[0][:start] + f"«secret, {len(value)} bytes»".encode() + found[0][end:]
