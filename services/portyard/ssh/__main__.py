"""`python -m portyard.ssh`: serve this room alone."""

import sys

from portyard.commons.serving import run
from portyard.ssh.card import CARD

if __name__ == "__main__":
    sys.exit(run(CARD))
