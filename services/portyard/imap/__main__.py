"""`python -m portyard.imap`: this room alone."""

from portyard.commons.serving import run
from portyard.imap.card import CARD

if __name__ == "__main__":
    run(CARD)
