"""What asyncssh needs to hear said once, before it is used."""

from __future__ import annotations

import warnings
from types import SimpleNamespace
from typing import Any

import asyncssh.crypto.dh
from cryptography.hazmat.primitives.asymmetric import dh


def quieten() -> None:
    """Let a key exchange over finite fields go without a warning at each use.

    cryptography tells whoever reaches for these names that they are old. We know: old clients have nothing else. Where a test run makes
    warnings errors, the key exchange would fail for it.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        names = SimpleNamespace(DHParameterNumbers=dh.DHParameterNumbers, DHPublicNumbers=dh.DHPublicNumbers)
    module: Any = asyncssh.crypto.dh
    module.dh = names
