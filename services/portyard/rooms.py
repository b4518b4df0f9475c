"""The rooms of the house, in the order in which they open. Importing a card imports no protocol library."""

from __future__ import annotations

import importlib

from portyard.commons.card import Card

ROOMS = ("dns", "smtp", "pop3", "imap", "ftp", "ssh", "http", "websocket", "console")


def cards() -> tuple[Card, ...]:
    """Every room's card."""
    return tuple(importlib.import_module(f"portyard.{room}.card").CARD for room in ROOMS)
