"""What a refusal says of a word that is nearly right."""

from __future__ import annotations

from collections.abc import Iterable


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A near miss as the end of a sentence; empty when there is none."""
    import difflib  # seldom wanted, and in front of every start otherwise

    near = difflib.get_close_matches(word.lower(), list(known), n=1, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near else ""
