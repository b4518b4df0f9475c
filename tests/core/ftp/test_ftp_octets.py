"""FTP's data connections in packet captures: where they went, when, and how much they carried."""

from __future__ import annotations

from ipaddress import IPv4Address, ip_address

import pytest

from portyard.commons.journal.export_pcapng import Dialogue
from portyard.ftp.octets import beside
from tests.support.stored import START, told

CLIENT, SERVER = (IPv4Address("10.0.0.2"), 40000), (IPv4Address("10.0.0.1"), 21)
CONTROL = Dialogue(CLIENT, SERVER, "tcp", START, (), None, title="Portyard's journal: session 1; x")


def transfer(**changes: object) -> tuple[str, dict[str, object]]:
    fields = {"command": "RETR", "direction": "send", "path": "/a", "bytes": 9, "seconds": 0.001, "complete": True}
    return "transfer", {**fields, **changes}


@pytest.mark.parametrize(
    ("said", "client", "server"),
    [
        (("C: PASV", "S: 227 Go (10,0,0,9,4,1)."), ("10.0.0.2", 0), ("10.0.0.9", 1025)),
        (("C: EPSV", "S: 229 Go (|||1025|)"), ("10.0.0.2", 0), ("10.0.0.1", 1025)),
        (("C: PORT 10,0,0,2,4,1", "S: 200 ok"), ("10.0.0.2", 1025), ("10.0.0.1", 20)),
        (("C: eprt |1|10.0.0.2|1025|", "S: 200 ok"), ("10.0.0.2", 1025), ("10.0.0.1", 20)),
    ],
    ids=["pasv", "epsv", "port", "eprt"],
)
def test_where_it_goes(said: tuple[str, str], client: tuple[str, int], server: tuple[str, int]) -> None:
    events = told(*said, "C: RETR a", "S: 150 now", "S: 226 done", transfer())
    (found,) = beside(CONTROL, events)
    assert found.client == (ip_address(client[0]), client[1])
    assert found.server == (ip_address(server[0]), server[1])
    (piece,) = found.pieces
    assert (piece.ours, piece.kept, piece.more, found.closer) == (True, b"", 9, "server")
    assert "port wasn't kept" in found.title
    assert found.opened_at == events[3].at
    assert found.closed_at is not None
    assert found.opened_at < found.closed_at < events[4].at


@pytest.mark.parametrize(
    ("said", "whose", "ends", "title"),
    [
        (("C: PASV", "S: 227 Go (10,0,0,9,4,1)."), "peer_port", (50_000, 1025), ""),
        (("C: PORT 10,0,0,2,4,1", "S: 200 ok"), "local_port", (1025, 20), "the server's port was 50000: 20, "),
    ],
)
def test_the_port_that_no_reply_tells(said: tuple[str, str], whose: str, ends: tuple[int, int], title: str) -> None:
    events = told(*said, "C: RETR a", "S: 150 now", "S: 226 done", transfer(**{whose: 50_000}))
    (found,) = beside(CONTROL, events)
    assert (found.client[1], found.server[1]) == ends
    assert title in found.title
    assert "kept" not in found.title


@pytest.mark.parametrize(
    "events",
    [
        ("C: RETR a", "S: 150 now", "S: 226 done", transfer()),
        ("C: PASV", "S: 425 no port", "C: RETR a", "S: 425 no", transfer(bytes=0)),
        ("C: PORT 10,0,0,2,4,1", "S: 501 no", "C: RETR a", transfer()),
        ("C: PASV", "S: 227 somewhere else", "C: RETR a", transfer()),
        ("C: PASV", "S: 227 Go (10,0,0,9,4,1).", "C: RETR a", "S: 425 nobody came"),
    ],
)
def test_what_has_no_place_or_carried_nothing_is_no_connection(events: tuple[str, ...]) -> None:
    assert beside(CONTROL, told(*events)) == []


def test_an_upload_that_was_broken_off_under_tls() -> None:
    passive = ("C: PASV", "S: 227 Go (10,0,0,9,4,1).", "C: STOR a", "S: 150 now")
    tls: tuple[str, dict[str, object]] = ("tls", {"step": "data established", "channel": "data", "version": "TLSv1.3"})
    fault: tuple[str, dict[str, object]] = ("fault", {"does": ["reset"], "channel": "data", "octets": 5})
    broken = transfer(command="STOR", direction="receive", complete=False)
    (found, whole) = beside(CONTROL, told(*passive, tls, fault, "S: 426 off", broken, *passive, transfer()))
    (piece,) = found.pieces
    assert (piece.ours, piece.more, found.closer) == (False, 9, "reset")
    assert piece.notes[:2] == ("what STOR /a carried wasn't kept: 9 octets", "it was broken off")
    assert "TLSv1.3" in piece.notes[2]
    assert "reset" in piece.notes[3]
    assert (whole.closer, len(whole.pieces[0].notes)) == ("server", 1)


@pytest.mark.parametrize(
    ("begun", "kept", "notes"),
    [
        ({"text": "123456789"}, b"123456789", ()),
        ({"base64": "//8="}, b"", ("what RETR /a carried wasn't kept: 9 octets",)),
        ({"base64": "//8=", "unkept": 7}, b"\xff\xff", ("the rest of what RETR /a carried wasn't kept: 7 octets",)),
        ({"text": "«secret, 9 bytes»"}, b"*********", ("«*» stands for each octet of a secret",)),
    ],
    ids=["whole", "not-as-many", "begun", "secret"],
)
def test_what_the_journal_has_of_it(begun: dict[str, object], kept: bytes, notes: tuple[str, ...]) -> None:
    events = told("C: PASV", "S: 227 Go (10,0,0,9,4,1).", "C: RETR a", "S: 150 now", transfer(begun=begun))
    ((piece,),) = (each.pieces for each in beside(CONTROL, events))
    assert (piece.kept, piece.more, piece.notes) == (kept, 9 - len(kept), notes)
