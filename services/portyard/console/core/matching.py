"""Does a message fit what somebody waits for? And if not, what about it differs?

A pattern between slashes is a regular expression, one with a star a glob of the whole value, any other text is looked for within the value;
letters compare without case.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from portyard.commons.scenario import expressions

Check = Callable[[str], bool]
_WORD = re.compile(r"[^\W_]+")


class PatternError(ValueError):
    """A pattern that can't be looked for; the message says why."""


def compiled(pattern: str) -> Check:
    """The check that a pattern means.

    Raises:
        PatternError: It isn't a regular expression, or too long.
    """
    if len(pattern) > 1 and pattern.startswith("/") and pattern.endswith("/"):
        try:
            return expressions.compiled(pattern[1:-1], ignore_case=True)
        except expressions.ExpressionError as error:
            raise PatternError(f"not a regular expression: {error}") from None
    if len(pattern) > expressions.PATTERN_LIMIT:
        raise PatternError(f"longer than {expressions.PATTERN_LIMIT} characters")
    if "*" in pattern:
        glob = expressions.glob(pattern.casefold(), one="")
        return lambda value: glob(value.casefold())
    wanted = pattern.casefold()
    return lambda value: wanted in value.casefold()


def likeness(pattern: str) -> Callable[[Iterable[str]], int]:
    """How much of a pattern's words, in characters, stands in values: the more, the nearer is what doesn't fit."""
    words = {word for word in _WORD.findall(pattern.casefold()) if len(word) > 1}

    def measure(values: Iterable[str]) -> int:
        text = "\n".join(values).casefold()
        return sum(len(word) for word in words if word in text)

    return measure


@dataclass(frozen=True, slots=True)
class Criteria:
    """What is waited for: a check for each field that matters."""

    checks: Mapping[str, Check]

    def differences(self, fields: Mapping[str, Sequence[str]]) -> list[str]:
        """The names of the fields that don't fit; a field with several values fits by any of them."""
        return [name for name, check in self.checks.items() if not any(check(value) for value in fields.get(name, ()))]


def because(differences: Sequence[str]) -> str:
    """The differences as the reader of an answer sees them: "subject differs"."""
    return ", ".join(f"{name} differs" for name in differences)
