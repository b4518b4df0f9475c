"""What a refusal says of a word that is nearly right."""

from __future__ import annotations

from collections.abc import Iterable

_NEAR = 0.6  # of a word with the same first letter, which people seldom miss
_NEARER = 0.7  # of any other


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A near miss as the end of a sentence; empty when there is none."""
    import difflib  # seldom wanted, and in front of every start otherwise

    word = word.lower()
    found = difflib.get_close_matches(word, list(known), n=5, cutoff=_NEAR)
    near = [
        each for each in found if each[:1] == word[:1] or difflib.SequenceMatcher(None, each, word).ratio() >= _NEARER
    ]
    return f"; did you mean {near[0]}?" if near else ""
