"""`python -m portyard.smtp [SERVICE…]`: serve the room alone."""

from __future__ import annotations

from portyard.commons.serving import run
from portyard.smtp.card import CARD

if __name__ == "__main__":
    raise SystemExit(run(CARD))
