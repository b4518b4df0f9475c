"""`python -m portyard.pop3`: serve this room alone."""

import sys

from portyard.commons.serving import run
from portyard.pop3.card import CARD

if __name__ == "__main__":
    sys.exit(run(CARD))
