"""`/status/…`: which code a list means, and what belongs to a code."""

from __future__ import annotations

from dataclasses import dataclass, field

TEAPOT = r"""
         _
       _( )_          short and stout
      /=====\__
   __/       \ \___
  /  \   tea  |  __)
  \__/        | /
      \______/-'
     (________)
"""

ACCEPTED_IMAGES = ("image/webp", "image/svg+xml", "image/jpeg", "image/png", "image/*")

REDIRECT_TARGET = "/redirect/1"

# A final response is one of these; 1xx precede one and would leave the client waiting (RFC 9110 §15.2).
LOWEST, HIGHEST = 200, 599


class BadStatusError(ValueError):
    """The list of codes is not one; the message says why."""


@dataclass(frozen=True, slots=True)
class StatusAnswer:
    """What goes with a code.

    Attributes:
        code: The status code.
        body: The content.
        headers: Header fields beyond the usual.
    """

    code: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


def parse_codes(text: str) -> list[tuple[int, float]]:
    """`200:3,500:1` as codes with weights; a weight left out is 1.

    Raises:
        BadStatusError: A code isn't 200 to 599, a weight isn't a number of at least 0, or all are 0.
    """
    choices = [_parse_choice(choice) for choice in text.split(",")]
    if not sum(weight for _, weight in choices) > 0:
        raise BadStatusError("the weights are all 0")
    return choices


def _parse_choice(choice: str) -> tuple[int, float]:
    code_text, colon, weight_text = choice.strip().partition(":")
    try:
        code = int(code_text)
        weight = float(weight_text) if colon else 1.0
    except ValueError:
        raise BadStatusError(f"{choice!r} is neither CODE nor CODE:WEIGHT") from None
    if not LOWEST <= code <= HIGHEST:
        raise BadStatusError(f"{code} can't be a final status; {LOWEST} to {HIGHEST} can")
    if not 0 <= weight < float("inf"):
        raise BadStatusError(f"{weight_text!r} is not a weight")
    return code, weight


def choose(choices: list[tuple[int, float]], chance: float) -> int:
    """The code that a chance in [0, 1) falls on."""
    mark = chance * sum(weight for _, weight in choices)
    for code, weight in choices:
        mark -= weight
        if mark < 0:
            return code
    return choices[-1][0]


def answer_of(code: int) -> StatusAnswer:
    """A code with the fields and the content that clients expect beside it."""
    if code in (301, 302, 303, 305, 307, 308):
        return StatusAnswer(code, headers={"Location": REDIRECT_TARGET})
    if code == 401:
        return StatusAnswer(code, headers={"WWW-Authenticate": 'Basic realm="Portyard"'})  # RFC 9110 §15.5.2
    if code == 402:
        return StatusAnswer(code, b"The toll at the gate of this yard is unpaid.\n", _TEXT)
    if code == 406:
        return StatusAnswer(code, _UNACCEPTABLE, {"Content-Type": "application/json"})
    if code == 407:
        return StatusAnswer(code, headers={"Proxy-Authenticate": 'Basic realm="Portyard"'})  # RFC 9110 §15.5.8
    if code == 418:
        return StatusAnswer(code, TEAPOT.encode(), _TEXT | {"X-More-Info": "https://www.rfc-editor.org/rfc/rfc2324"})
    return StatusAnswer(code)


_TEXT = {"Content-Type": "text/plain; charset=utf-8"}
_UNACCEPTABLE = (
    b'{"message": "None of the media types that you accept is offered.", "accept": ['
    + ", ".join(f'"{name}"' for name in ACCEPTED_IMAGES).encode()
    + b"]}\n"
)
