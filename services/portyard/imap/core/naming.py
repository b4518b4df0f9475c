"""What mailboxes are called on the wire where a server has other names for them than the store, or parts their levels otherwise."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from portyard.commons.mailstore.model import DELIMITER
from portyard.imap.core.model import Command, List, Lsub

_NAMES = ("mailbox", "new_name")


class Naming:
    """Names both ways. Two names that are exchanged stay two, so that nothing is ever out of reach.

    Args:
        folders: What mailboxes of the store are called, by the store's name; those below them follow.
        separator: Between levels, on the wire.
    """

    def __init__(self, folders: Iterable[tuple[str, str]], separator: str) -> None:
        self.separator = separator
        self._swap = str.maketrans({DELIMITER: separator, separator: DELIMITER})
        renamed = dict(folders)
        # A mailbox that happens to have the other's name gets the one that became free.
        self._shown = {name: key for key, name in renamed.items()} | renamed
        self._stored = {name: key for key, name in self._shown.items()}
        self.plain = not renamed and separator == DELIMITER

    def shown(self, name: str) -> str:
        """The client's name of a mailbox of the store, its levels parted as the store does."""
        return _renamed(name, self._shown)

    def parted(self, name: str) -> str:
        """A name with its levels parted as on the wire, or back."""
        return name if self.separator == DELIMITER else name.translate(self._swap)

    def wire(self, name: str) -> str:
        """The client's name of a mailbox of the store."""
        return self.parted(self.shown(name))

    def stored(self, name: str) -> str:
        """The store's name of what the client calls so."""
        return _renamed(self.parted(name), self._stored)

    def command(self, command: Command) -> Command:
        """A command with the store's names in it; patterns keep the client's names, parted as the store does."""
        if self.plain:
            return command
        if isinstance(command, List | Lsub):
            return replace(command, reference=self.parted(command.reference), pattern=self.parted(command.pattern))
        changes: dict[str, Any] = {
            field: self.stored(getattr(command, field)) for field in _NAMES if hasattr(command, field)
        }
        return replace(command, **changes) if changes else command


def _renamed(name: str, names: Mapping[str, str]) -> str:
    """The name with its longest part that has another one exchanged for that."""
    head, rest = name, ""
    while head:
        if head in names:
            return names[head] + rest
        head, slash, last = head.rpartition(DELIMITER)
        rest = f"{slash}{last}{rest}"
    return name
