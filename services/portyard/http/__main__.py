"""`python -m portyard.http`: run the room alone."""

from __future__ import annotations

from portyard.commons.serving import run
from portyard.http.card import CARD

if __name__ == "__main__":
    run(CARD)
