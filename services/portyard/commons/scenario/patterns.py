"""What a field is held against: globs, regular expressions, numbers and bounds. Pure.

Text compares without case but in a /regex/, where `/…/i` asks for it. `*` and `?` are the only wildcards: addresses hold brackets.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from enum import Enum
from functools import cached_property, lru_cache

from portyard.commons.scenario.expressions import PATTERN_LIMIT, ExpressionError, Fits, compiled, glob
from portyard.commons.scenario.literals import Needs, needs_of_glob, needs_of_regex
from portyard.commons.scenario.model import Scalar

_NUMBER = r"[+-]?\d+(?:\.\d+)?"
_BOUND = re.compile(rf"\s*(<=|>=|<|>|=)\s*({_NUMBER})(?=\s|$)", re.ASCII)
_PLAIN_NUMBER = re.compile(_NUMBER, re.ASCII)
_REGEX = re.compile(r"/(.+)/(i?)", re.DOTALL)
_NO_META = re.compile(r"/[\w/.~-]+/i?")


class Shape(Enum):
    """How a pattern is found among many."""

    EXACT = "exact"
    PREFIX = "prefix"
    SUFFIX = "suffix"
    ANY = "any"
    OTHER = "other"


class PatternError(ValueError):
    """The text is no pattern; the message says why."""


@dataclass(frozen=True)
class Glob:
    """Text with `*` and `?`.

    Attributes:
        text: As written.
    """

    text: str

    @cached_property
    def _parts(self) -> tuple[Shape, str]:
        lowered = fold(self.text)
        if not lowered.strip("*"):
            return Shape.ANY, ""
        wild = [place for place, character in enumerate(lowered) if character in "*?"]
        if not wild:
            return Shape.EXACT, lowered
        # A prefix or suffix finds candidates; `matches` tells the rest.
        prefix, suffix = lowered[: wild[0]], lowered[wild[-1] + 1 :]
        if not prefix and not suffix:
            return Shape.OTHER, ""
        return (Shape.PREFIX, prefix) if len(prefix) > len(suffix) else (Shape.SUFFIX, suffix)

    @property
    def shape(self) -> Shape:
        """How it is found among many."""
        return self._parts[0]

    @property
    def anchor(self) -> str:
        """The text, prefix or suffix by which it is found, its case folded."""
        return self._parts[1]

    @cached_property
    def needs(self) -> Needs:
        """The texts without which it can't match."""
        return needs_of_glob(fold(self.text))

    @cached_property
    def _match(self) -> Fits:
        return glob(fold(self.text))

    def matches(self, value: Scalar) -> bool:
        """Whether a field's value is meant."""
        text = fold(text_of(value))
        if self.shape is Shape.EXACT:
            return text == self.anchor
        return self._match(text)


@dataclass(frozen=True)
class Regex:
    """A regular expression, searched for in the first LOOKED_AT characters.

    Attributes:
        text: Between the slashes.
        ignore_case: Whether `i` followed them.
    """

    text: str
    ignore_case: bool = False

    shape = Shape.OTHER
    anchor = ""

    @cached_property
    def needs(self) -> Needs:
        """The texts without which it can't match."""
        return needs_of_regex(self.text)

    @property
    def folds(self) -> bool:
        """Whether it, or a part of it, doesn't mind case."""
        return self.ignore_case or "(?" in self.text

    @cached_property
    def _search(self) -> Fits:
        return compiled(self.text, ignore_case=self.ignore_case)

    def compile(self) -> None:
        """Compile it, once.

        Raises:
            ExpressionError: It is no regular expression, or one that could take for ever.
        """
        self._search  # noqa: B018 - kept where it is

    def matches(self, value: Scalar) -> bool:
        """Whether a field's value is meant."""
        return self._search(text_of(value))


@dataclass(frozen=True)
class Range:
    """Numbers between bounds.

    Attributes:
        low: The lower bound.
        high: The upper bound.
        low_in: Whether the lower bound belongs to it.
        high_in: Whether the upper bound does.
    """

    low: float = -math.inf
    high: float = math.inf
    low_in: bool = False
    high_in: bool = False

    anchor = ""

    @property
    def shape(self) -> Shape:
        """How it is found among many."""
        return Shape.OTHER

    @property
    def empty(self) -> bool:
        """Whether no number is in it."""
        return self.low > self.high or (self.low == self.high and not (self.low_in and self.high_in))

    def matches(self, value: Scalar) -> bool:
        """Whether a field's value is meant; text never is."""
        if isinstance(value, bool | str):
            return False
        if value < self.low or (value == self.low and not self.low_in):
            return False
        return not (value > self.high or (value == self.high and not self.high_in))


@dataclass(frozen=True)
class Flag:
    """Yes or no.

    Attributes:
        value: Which.
    """

    value: bool

    shape = Shape.OTHER
    anchor = ""

    def matches(self, value: Scalar) -> bool:
        """Whether a field's value is meant."""
        return value is self.value


Pattern = Glob | Regex | Range | Flag


@lru_cache(maxsize=1 << 14, typed=True)  # a rule that stands is read again whenever another is set
def parse_pattern(written: Scalar) -> Pattern:
    """A pattern of what stands in `where`.

    Raises:
        PatternError: It is none.
    """
    if isinstance(written, bool):
        return Flag(written)
    if isinstance(written, int | float):
        if not math.isfinite(written):
            raise PatternError("no number")
        return _exactly(written)
    if not written:
        raise PatternError("an empty pattern matches nothing; /^$/ matches an empty value")
    if found := _REGEX.fullmatch(written):
        regex = Regex(found[1], bool(found[2]))
        try:
            regex.compile()
        except ExpressionError as error:
            raise PatternError(f"no regular expression: {error}") from None
        return regex
    if len(written) > PATTERN_LIMIT:
        raise PatternError(f"longer than {PATTERN_LIMIT} characters")
    return parse_range(written) or Glob(written)


def parse_range(written: str) -> Range | None:
    """Bounds such as "<5" or ">=10 <20"; None for other text.

    Raises:
        PatternError: No number lies between them.
    """
    low, high, low_in, high_in, at = -math.inf, math.inf, False, False, 0
    while at < len(written):
        bound = _BOUND.match(written, at)
        if bound is None:
            return None if written[at:].strip() or not at else Range(low, high, low_in, high_in)
        number, sign, at = float(bound[2]), bound[1], bound.end()
        if sign[0] in ">=" and (number > low or (number == low and sign == ">")):
            low, low_in = number, "=" in sign
        if sign[0] in "<=" and (number < high or (number == high and sign == "<")):
            high, high_in = number, "=" in sign
    found = Range(low, high, low_in, high_in)
    if found.empty:
        raise PatternError("no number lies between these bounds")
    return found


def as_number(written: str) -> Range | None:
    """A plain number in text, for fields that are numbers; None for other text."""
    return _exactly(float(written)) if _PLAIN_NUMBER.fullmatch(written.strip()) else None


def is_ambiguous_path(written: str) -> bool:
    """Whether text between slashes is as well a path as a regular expression."""
    return _NO_META.fullmatch(written) is not None


def fold(text: str) -> str:
    """Text without its case, each character by itself and none longer than before, so that pieces of it stay pieces."""
    return text.lower() if text.isascii() else "".join(map(_folded, text))


def text_of(value: Scalar) -> str:
    """A value as text patterns see it."""
    if isinstance(value, str):
        return value
    return str(value).lower() if isinstance(value, bool) else str(value)


def _folded(character: str) -> str:
    return next((form for form in (character.casefold(), character.lower()) if len(form) == 1), character)


def _exactly(number: float) -> Range:
    return Range(number, number, True, True)
