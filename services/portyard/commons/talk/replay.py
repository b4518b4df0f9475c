"""A journal's talk as one that runs again: what differs from run to run is `$`, and what was blanked has a name.

`$password` stands for a blanked password, `$plain` for blanked credentials of SASL's PLAIN (RFC 4616): whoever runs the talk binds them. A
message or literal that was counted is one of that size again; what was counted of an answer is any lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

_SECRET: Final = re.compile(r"«secret, \d+ bytes»")
_COUNTED: Final = re.compile(r"«(?:message, |literal, )?(\d+) (?:octets|bytes)»")
_PLAIN: Final = re.compile(r"\bPLAIN(?: =)?$", re.IGNORECASE)
_FRESH: Final = re.compile(
    r"<(?=[^<>\s@]*\d{4})[^<>\s@]+@[^<>\s]+>"  # message ids, challenges
    r"|(?:\w{3}, )?\d{1,2}[ -]\w{3}[ -]\d{4} \d\d:\d\d:\d\d(?: [+-]\d{4})?"  # dates of mail
    r"|\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d)?"
    r"|\b(?=\w*\d)[0-9a-f]{12,}\b"  # ids
    r"|(?<!\w)\w*\d{5,}\w*"  # counts of seconds, ports, validities; looked for once a word, which may be a body's only one
)
_ANYTHING: Final = "\0"  # stands for `$` until all of a line is looked through
_AGAIN: Final = re.compile(r"\0(?:\0|\$\$)*")  # whatever stands there has room for a dollar, too
_CUT: Final = re.compile(r"(?<!\$)((?:\$\$)*)\$\Z")  # a line of which the journal has the beginning
_WIDE: Final = 900  # characters of a line of a made-up message


def replayable(talk: str) -> str:
    """The talk, ready to be run; its comments stay."""
    return "\n".join(Replay().lines(talk))


class Replay:
    """The same as the talk is read, some lines at a time."""

    def __init__(self) -> None:
        self._plain = False  # the client's last line announced SASL's PLAIN

    def lines(self, talk: str) -> Iterator[str]:
        """What becomes of the talk's next lines."""
        for line in talk.split("\n"):
            step, _, text = line.partition(": ")
            if step == "S":
                yield "S: ..." if _COUNTED.fullmatch(text) else f"S: {_pattern(text)}"
            elif step == "C~":
                counted = _COUNTED.fullmatch(text)
                exactly = f"{{x*{counted[1]}}}" if counted is not None else _SECRET.sub("$password", text)
                yield f"C~: {exactly}"
            elif step == "C" and (counted := _COUNTED.fullmatch(text)) is not None:
                yield from _message(int(counted[1]))
            elif step == "C":
                yield f"C: {self._named(text)}"
            else:
                yield line

    def _named(self, text: str) -> str:
        """A client's line with its secrets by their names."""
        secret = _SECRET.search(text)
        is_plain = secret is not None and (
            _PLAIN.search(text[: secret.start()].rstrip()) or (self._plain and not secret.start())
        )
        self._plain = _PLAIN.search(text) is not None
        return _SECRET.sub("$plain" if is_plain else "$password", text)


def _pattern(text: str) -> str:
    """What an answer's line looks like each time."""
    text = _CUT.sub(rf"\1{_ANYTHING}", text)
    return _AGAIN.sub("$", _COUNTED.sub(_ANYTHING, _FRESH.sub(_ANYTHING, text)))


def _message(octets: int) -> Iterator[str]:
    """A message of so many octets, and the lone dot behind it."""
    left = octets
    head = "X-Again: "
    while left > 0:
        room = min(left, _WIDE) if left - min(left, _WIDE) not in (1, 2) else left - 4
        yield f"C: {(head + 'x' * room)[: max(room - 2, 0)]}"
        left -= room
        head = " "
    yield "C: ."
