"""Run the DNS room alone: `python -m portyard.dns`."""

from __future__ import annotations

from portyard.commons.serving import run
from portyard.dns.card import CARD

if __name__ == "__main__":
    run(CARD)
