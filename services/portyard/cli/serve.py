"""`portyard serve`: run rooms in this process."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from portyard.commons.serving import pairs_of, run_services
from portyard.commons.settings import SettingError, load
from portyard.rooms import cards


def serve(names: Sequence[str]) -> int:
    """Serve the named rooms or services ("all", or nothing, for every one) until told to stop; the exit status.

    Where it stands can be changed by `portyard.toml` and `PORTYARD_*`.
    """
    try:
        settings = load()
        pairs = pairs_of(cards(), names)
    except SettingError as error:
        print(f"portyard: {error}", file=sys.stderr)
        return 2
    return run_services(settings, pairs)
