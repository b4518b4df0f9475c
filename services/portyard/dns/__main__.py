"""`python -m portyard.dns`: the room on its own."""

from __future__ import annotations

import sys

from portyard.commons.serving import run
from portyard.dns.card import CARD

if __name__ == "__main__":
    sys.exit(run(CARD))
