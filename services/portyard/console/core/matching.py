"""Does a message fit what somebody waits for? And if not, what about it differs?

A pattern between slashes is a regular expression, one with a star a glob of the whole value, any other text is looked for within the value;
letters compare without case.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from portyard.commons.scenario import expressions

Check = Callable[[str], bool]

VALUE_LIMIT = 10_000  # characters of a value that are looked at, so that a pattern's cost is bounded


class PatternError(ValueError):
    """A regular expression that isn't one; the message says why."""


def compiled(pattern: str) -> Check:
    """The check that a pattern means.

    Raises:
        PatternError: It isn't a regular expression.
    """
    if len(pattern) > 1 and pattern.startswith("/") and pattern.endswith("/"):
        try:
            expression = expressions.compiled(pattern[1:-1], re.IGNORECASE)
        except re.error as error:
            raise PatternError(f"not a regular expression: {error}") from None
        return lambda value: expression.search(value[:VALUE_LIMIT]) is not None
    if "*" in pattern:
        glob = expressions.glob(pattern.casefold(), one="")
        return lambda value: glob.fullmatch(value[:VALUE_LIMIT].casefold()) is not None
    wanted = pattern.casefold()
    return lambda value: wanted in value.casefold()


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
