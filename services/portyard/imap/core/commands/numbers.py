"""Sequence sets to messages, for every command that takes one."""

from __future__ import annotations

from portyard.imap.core.model import SequenceSet
from portyard.imap.core.replies import Refusal
from portyard.imap.core.view import View


def chosen(view: View, messages: SequenceSet, *, uid: bool) -> tuple[list[int], bool]:
    """The messages that a command means.

    Returns:
        Indexes of those that still exist, and whether sequence numbers named others that are gone but not told of (RFC 2180 §4).

    Raises:
        Refusal: A sequence number is larger than there are messages (RFC 3501 §9: BAD).
    """
    found = view.by_uid(messages) if uid else view.by_number(messages)
    if found is None:
        raise Refusal("No such sequence number", status="BAD")
    if not view.gone:
        return found, False
    alive = [index for index in found if view.uids[index] not in view.gone]
    return alive, not uid and len(alive) < len(found)
