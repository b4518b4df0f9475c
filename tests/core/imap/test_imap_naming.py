"""Names of mailboxes both ways: nothing is ever out of reach, whatever is called what."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portyard.imap.core.model import Copy, Create, List, Noop, Rename, Select, SequenceSet
from portyard.imap.core.naming import Naming

FOLDERS = {"Sent": "[Gmail]/Sent Mail", "Trash": "Deleted Items"}
PARTS = st.sampled_from(["Sent", "[Gmail]", "Sent Mail", "Trash", "Deleted Items", "INBOX", "a", "a.b", "."])
NAMES = st.lists(PARTS, min_size=1, max_size=4).map("/".join)


@pytest.mark.parametrize(
    ("stored", "wire"),
    [
        ("Sent", "[Gmail].Sent Mail"),
        ("Sent/2030", "[Gmail].Sent Mail.2030"),
        ("[Gmail]/Sent Mail", "Sent"),
        ("Sentinel", "Sentinel"),
        ("a.b/c", "a/b.c"),
        ("INBOX", "INBOX"),
    ],
)
def test_both_ways(stored: str, wire: str) -> None:
    naming = Naming(FOLDERS.items(), ".")
    assert naming.wire(stored) == wire
    assert naming.stored(wire) == stored


@given(NAMES, st.sampled_from("/."))
def test_every_name_can_be_reached(name: str, separator: str) -> None:
    naming = Naming(FOLDERS.items(), separator)
    assert naming.stored(naming.wire(name)) == name
    assert naming.wire(naming.stored(name)) == name


def test_commands() -> None:
    naming = Naming(FOLDERS.items(), ".")
    assert naming.command(Select("[Gmail].Sent Mail")) == Select("Sent")
    assert naming.command(Rename("Deleted Items", "x.y")) == Rename("Trash", "x/y")
    assert naming.command(Copy(SequenceSet(((1, 1),)), "Deleted Items")).mailbox == "Trash"  # type: ignore[union-attr]
    assert naming.command(List("a.", "%.b")) == List("a/", "%/b"), "patterns are the client's"
    assert naming.command(Noop()) == Noop()
    plain, create = Naming([], "/"), Create("Sent")
    assert plain.plain
    assert plain.command(create) is create
