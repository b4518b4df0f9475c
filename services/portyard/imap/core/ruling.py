"""What the rules say of a session's commands and of the literals that it sends. Asked in full only where some rule may mean one.

Clients repeat themselves, and to make the fields of an event takes as long as to ask about it. So a command is known by its line when it
comes again, and a piece of a literal by what it is of.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator

from portyard.commons.scenario.engine import SessionGate, Stamp
from portyard.commons.scenario.model import Verdict
from portyard.commons.scenario.vocabulary import Scalar
from portyard.imap.core.fields import fields_for, verb_for
from portyard.imap.core.lexing import Frame
from portyard.imap.core.model import Command
from portyard.imap.core.reading import PIECE

FIRST_PIECE = 64  # octets of a literal's first piece while there are rules
_LONGEST_KNOWN = 512  # octets of a line that is known again
_KNOWN = 64  # lines, and pieces of literals, that are known again


class Ruling:
    """What one session asks.

    Args:
        gate: The session's gate; None asks nobody.
    """

    def __init__(self, gate: SessionGate | None) -> None:
        self._gate = gate
        self._quiet: dict[Hashable, Stamp] = {}  # what no rule meant, and of which state of the rules this is true

    async def verdict(self, command: Command, frame: Frame, selected: str) -> Verdict | None:
        """What is to be done about a command that is about to run; None for what always happens.

        Args:
            command: It.
            frame: It, as it came.
            selected: The selected mailbox's name, or "".
        """
        gate = self._gate
        if gate is None or not gate.armed:
            return None
        event, stamp = (
            _event(frame, selected),
            gate.stamp,
        )  # before the asking: what changes meanwhile is asked about again
        if event is not None and self._quiet.get(event) == stamp:
            return None
        verb, fields = verb_for(command), fields_for(command, selected)
        if gate.heeds(verb, fields):
            return await gate.ask(verb, **fields)
        if event is not None:
            self._note(event, stamp)
        return None

    def heeds_piece(self, mailbox: str, message: int, sent: int, octets: int, size: int) -> bool:
        """Whether any moment of a piece of a literal has to be asked about.

        Args:
            mailbox: The selected mailbox.
            message: The message's number.
            sent: Octets of the literal before the piece.
            octets: The piece's.
            size: The literal's.
        """
        gate, piece = self._gate, (mailbox, message, sent, octets, size)
        if gate is None:
            return False
        stamp = gate.stamp
        if self._quiet.get(piece) == stamp:
            return False
        fields: dict[str, Scalar] = {"mailbox": mailbox, "message": message, "octets": sent, "size": size}
        for at in moments(sent, octets, size):
            fields["octets"] = sent + at
            if gate.heeds("message", fields):
                return True
        self._note(piece, stamp)
        return False

    def _note(self, event: Hashable, stamp: Stamp) -> None:
        if len(self._quiet) >= _KNOWN:
            self._quiet.clear()
        self._quiet[event] = stamp


def _event(frame: Frame, selected: str) -> Hashable:
    """All that decides about a command's verb and fields; None where that is long."""
    if frame.literals or len(frame.text) > _LONGEST_KNOWN:
        return None
    return frame.text.partition(b" ")[2], selected  # the tag is another one each time


def moments(sent: int, octets: int, size: int) -> Iterator[int]:
    """Behind how many octets of a piece the rules are asked; see `Ruling.heeds_piece`."""
    at = 0
    while at < octets:
        yield at
        at += _step(sent + at, size)


def _step(sent: int, size: int) -> int:
    """Octets until rules are asked again: even a short literal has a midst, and a long one isn't slowed down."""
    return min(sent, PIECE) if sent else max(1, min(FIRST_PIECE, size // 2))
