"""Magic words in an address, a path or a file name: a fault without a call. Pure.

`anyone+550@…` is refused with 550, `+451x2` twice and then no more, `+delay5` waits, `+silence`, `+hangup` and `+reset` do as they say.
Several may follow each other. What a word isn't is an ordinary name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from portyard.commons.scenario.actions import DAY_S, Action, Delay, HangUp, Refuse, Reset, Silence
from portyard.commons.scenario.model import Rule

_WORD = re.compile(
    r"\+(?:(?P<code>[45]\d\d)(?:x(?P<times>[1-9]\d{0,3}))?"
    r"|delay(?P<delay>\d{1,5}(?:\.\d{1,3})?)(?P<unit>ms|s)?"
    r"|(?P<word>hangup|silence|reset))(?=[+@./?#]|$)",
    re.IGNORECASE | re.ASCII,
)
_WORDS: Mapping[str, Action] = {"hangup": HangUp(), "silence": Silence(), "reset": Reset()}


@dataclass(frozen=True, slots=True)
class Magic:
    """What an address asks for.

    Attributes:
        words: The words, in lower case.
        rule: The same as a rule.
    """

    words: str
    rule: Rule


@lru_cache(maxsize=4096)
def parse_magic(text: str, on: str) -> Magic | None:
    """The magic in an address, path or file name; None for none.

    Args:
        text: The address, path (it begins with "/") or name. Of an address only the local part counts, of a path and of what has slashes
            in it only the last component that has some.
        on: The event at which it was found.
    """
    if "+" not in text:
        return None
    found = _words_of(text)
    if not found:
        return None
    actions = [action for action in (_action(word) for word in found) if not isinstance(action, _FINAL)]
    finals = [action for action in (_action(word) for word in found) if isinstance(action, _FINAL)]
    times = next((int(word["times"]) for word in found if word["times"]), None)
    words = "".join(word[0] for word in found).lower()
    delays = tuple(action for action in actions if isinstance(action, Delay))
    refusals = tuple(action for action in actions if not isinstance(action, Delay))[:1]
    if refusals:  # who refuses isn't silent
        finals = [action for action in finals if not isinstance(action, Silence)]
    return Magic(words, Rule(on=on, name=words, times=times, then=delays + refusals + tuple(finals[:1])))


def without_magic(text: str) -> str:
    """An address or name as it is without the words that `parse_magic` finds in it; what is no magic word stays, other subaddresses too."""
    if "+" not in text:
        return text
    kept, end = [], 0
    for word in _words_of(text):
        kept.append(text[end : word.start()])
        end = word.end()
    return "".join(kept) + text[end:]


_FINAL = (HangUp, Silence, Reset)


def _words_of(text: str) -> list[re.Match[str]]:
    # A path may hold @ anywhere; of an address what follows the last one is the domain (RFC 5321 §4.1.2)
    end = text.rindex("@") if "@" in text and not text.startswith("/") else len(text)
    while end > 0:
        start = text.rfind("/", 0, end) + 1
        words = list(_WORD.finditer(text, start, end))
        if words:
            return words
        end = start - 1
    return []


def _action(word: re.Match[str]) -> Action:
    if code := word["code"]:
        return Refuse(f"{code} as the address asks")
    if delay := word["delay"]:
        return Delay(min(float(delay) / (1000 if (word["unit"] or "").lower() == "ms" else 1), DAY_S))
    return _WORDS[word["word"].lower()]
