"""Run the FTP room alone: `python -m portyard.ftp`."""

from __future__ import annotations

import sys

from portyard.commons.serving import run
from portyard.ftp.card import CARD

if __name__ == "__main__":
    sys.exit(run(CARD))
