"""`python -m portyard.websocket`: run the room alone."""

from __future__ import annotations

from portyard.commons.serving import run
from portyard.websocket.card import CARD

if __name__ == "__main__":
    run(CARD)
