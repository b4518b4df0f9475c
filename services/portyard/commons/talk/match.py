"""Does the server's line look like the talk's? `$name` binds, then compares; `$` is anything; `$$` is a dollar."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from portyard.commons.talk.model import SKIP, TLS, Step, TalkError, TalkLine

_VARIABLE = re.compile(r"\$(\$|[a-z_][a-z0-9_]*)?")


@dataclass(slots=True)
class Bindings:
    """What `$name`s stand for so far."""

    values: dict[str, str] = field(default_factory=dict)

    def fill(self, text: str) -> str:
        """A client's line with its variables filled in.

        Raises:
            TalkError: A variable was never bound.
        """

        def value(match: re.Match[str]) -> str:
            name = match[1]
            if name is None or name == "$":
                return "$"
            if name not in self.values:
                raise TalkError(f"${name} isn't bound yet")
            return self.values[name]

        return _VARIABLE.sub(value, text)

    def match(self, pattern: str, line: str) -> bool:
        """Whether the line fits; binds the pattern's new names when it does."""
        expression, names = self._compile(pattern)
        found = re.fullmatch(expression, line, re.DOTALL)
        if found is None:
            return False
        self.values |= {name: found[f"v_{name}"] for name in names}
        return True

    def _compile(self, pattern: str) -> tuple[str, set[str]]:
        out: list[str] = []
        fresh: set[str] = set()
        position = 0
        for match in _VARIABLE.finditer(pattern):
            out.append(re.escape(pattern[position : match.start()]))
            out.append(self._piece(match[1], fresh))
            position = match.end()
        out.append(re.escape(pattern[position:]))
        return "".join(out), fresh

    def _piece(self, name: str | None, fresh: set[str]) -> str:
        if name is None:
            return ".*"
        if name == "$":
            return r"\$"
        if name in self.values:
            return re.escape(self.values[name])
        if name in fresh:
            return f"(?P=v_{name})"
        fresh.add(name)
        return f"(?P<v_{name}>.+?)"


@dataclass(frozen=True, slots=True)
class Turn:
    """What one client step (or nothing, at the start) makes the server say.

    Attributes:
        client: The client's step; None for the lines before the first one.
        expected: The server's steps that follow it.
    """

    client: TalkLine | None
    expected: tuple[TalkLine, ...]


def turns(lines: tuple[TalkLine, ...]) -> list[Turn]:
    """A talk's lines cut into turns; store, delivery and rule steps are turns of their own."""
    result: list[Turn] = []
    client: TalkLine | None = None
    expected: list[TalkLine] = []
    for line in lines:
        if line.step in (Step.SERVER, Step.SERVER_ANY_ORDER, Step.SERVER_NEVER):
            alone = client is not None and client.step in (Step.STORE, Step.DELIVER, Step.RULE)
            if alone or (expected and expected[-1].session != line.session):
                result.append(Turn(client, tuple(expected)))
                client, expected = None, []
            expected.append(line)
            continue
        if client is not None or expected:
            result.append(Turn(client, tuple(expected)))
        client, expected = line, []
    if client is not None or expected:
        result.append(Turn(client, tuple(expected)))
    return result


class Expectation:
    """Takes the server's lines one by one and says when a turn is complete.

    Args:
        turn: The turn.
        bindings: Shared by the whole talk.
    """

    def __init__(self, turn: Turn, bindings: Bindings) -> None:
        self._wanted = [line for line in turn.expected if line.step is not Step.SERVER_NEVER]
        self._never = [line for line in turn.expected if line.step is Step.SERVER_NEVER]
        self._bindings = bindings
        self._skipping = False
        self._take_skips()

    @property
    def complete(self) -> bool:
        """Whether every wanted line has come."""
        return not self._wanted

    @property
    def next(self) -> str:
        """What is wanted next, for a message."""
        return self._wanted[0].text if self._wanted else "nothing"

    @property
    def wants(self) -> str | None:
        """The word in angle brackets that is wanted next, or None for a line."""
        text = self._wanted[0].text if self._wanted else ""
        return text if text.startswith("<") and text != TLS else None

    def take_word(self) -> None:
        """The wanted word in angle brackets came true."""
        self._wanted.pop(0)
        self._take_skips()

    def take(self, line: str) -> str | None:
        """One line of the server's; the complaint when it doesn't fit, else None."""
        for never in self._never:
            if Bindings(dict(self._bindings.values)).match(never.text, line):
                return f"line {never.number}: must not appear: {line!r}"
        if not self._wanted:
            return f"unexpected line {line!r}"
        for index in self._candidates():
            if self._bindings.match(self._wanted[index].text, line):
                del self._wanted[index]
                self._skipping = False
                self._take_skips()
                return None
        if self._skipping:
            return None
        wanted = self._wanted[0]
        return f"line {wanted.number}: wanted {wanted.text!r}, got {line!r}"

    def _candidates(self) -> list[int]:
        if self._wanted[0].step is not Step.SERVER_ANY_ORDER:
            return [0]
        run = 0
        while run < len(self._wanted) and self._wanted[run].step is Step.SERVER_ANY_ORDER:
            run += 1
        return list(range(run))

    def _take_skips(self) -> None:
        while self._wanted and self._wanted[0].text == SKIP:
            self._wanted.pop(0)
            self._skipping = True
