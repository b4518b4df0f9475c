"""Dialogues become packets, read back here by the file format's and the protocols' own words."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

import pytest

from portyard.commons.journal.export_pcapng import SEGMENT, Dialogue, endpoint, pcapng
from portyard.commons.journal.export_piece import Piece
from portyard.commons.journal.export_sessions import dialogue as of_session
from portyard.commons.journal.model import JournalEvent, SessionRecord
from portyard.rooms import cards

START = datetime(2030, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
CLIENT, SERVER = (IPv4Address("127.0.0.1"), 54321), (IPv4Address("127.0.0.1"), 25)


@dataclass(frozen=True)
class Packet:
    at: int
    octets: bytes
    length: int
    comments: list[str]

    @property
    def version(self) -> int:
        return self.octets[14] >> 4

    @property
    def segment(self) -> bytes:
        return self.octets[14 + (20 if self.version == 4 else 40) :]

    @property
    def ports(self) -> tuple[int, int]:
        return struct.unpack(">HH", self.segment[:4])

    @property
    def seq(self) -> int:
        return int(struct.unpack(">I", self.segment[4:8])[0])

    @property
    def ack(self) -> int:
        return int(struct.unpack(">I", self.segment[8:12])[0])

    @property
    def flags(self) -> str:
        return "".join(name for bit, name in enumerate("FSRPAU") if self.segment[13] >> bit & 1)

    @property
    def payload(self) -> bytes:
        return self.segment[(self.segment[12] >> 4) * 4 :]

    @property
    def payload_length(self) -> int:
        return len(self.payload) + self.length - len(self.octets)


def blocks(octets: bytes) -> list[tuple[int, bytes]]:
    found = []
    while octets:
        kind, length = struct.unpack("<II", octets[:8])
        assert length % 4 == 0
        assert struct.unpack("<I", octets[length - 4 : length])[0] == length
        found.append((kind, octets[8 : length - 4]))
        octets = octets[length:]
    return found


def comments(options: bytes) -> list[str]:
    found = []
    while options:
        code, length = struct.unpack("<HH", options[:4])
        if code == 1:
            found.append(options[4 : 4 + length].decode())
        options = options[4 + length + -length % 4 :]
    return found


def packets(*dialogues: Dialogue) -> list[Packet]:
    section, interface, *rest = blocks(pcapng(dialogues, "test"))
    assert section[0] == 0x0A0D0D0A
    assert section[1][:4] == b"\x4d\x3c\x2b\x1a"
    assert interface[0] == 1
    assert struct.unpack("<H", interface[1][:2]) == (1,)  # Ethernet
    found = []
    for kind, body in rest:
        assert kind == 6
        _, high, low, captured, length = struct.unpack("<IIIII", body[:20])
        after = 20 + captured + -captured % 4
        found.append(Packet(high << 32 | low, body[20 : 20 + captured], length, comments(body[after:])))
    return found


def dialogue(*pieces: Piece, **changes: object) -> Dialogue:
    fields: dict[str, object] = {
        "client": CLIENT,
        "server": SERVER,
        "transport": "tcp",
        "opened_at": START,
        "pieces": pieces,
        "closed_at": START + timedelta(seconds=2),
        **changes,
    }
    return Dialogue(**fields)  # type: ignore[arg-type]


def total(octets: bytes) -> int:
    """The ones' complement sum, 0xFFFF over what holds its own checksum."""
    octets += bytes(len(octets) % 2)
    value = sum(struct.unpack(f">{len(octets) // 2}H", octets))
    while value >> 16:
        value = (value & 0xFFFF) + (value >> 16)
    return value


def piece(ours: bool, kept: bytes = b"", more: int = 0, **changes: object) -> Piece:
    return Piece(START + timedelta(seconds=1), ours, kept, more, **changes)  # type: ignore[arg-type]


def test_a_whole_connection() -> None:
    found = packets(dialogue(piece(True, b"220 hi\r\n"), piece(False, b"QUIT\r\n"), closer="client"))
    assert [(p.ports, p.flags, p.payload) for p in found] == [
        ((54321, 25), "S", b""),
        ((25, 54321), "SA", b""),
        ((54321, 25), "A", b""),
        ((25, 54321), "PA", b"220 hi\r\n"),
        ((54321, 25), "A", b""),
        ((54321, 25), "PA", b"QUIT\r\n"),
        ((25, 54321), "A", b""),
        ((54321, 25), "FA", b""),
        ((25, 54321), "FA", b""),
        ((54321, 25), "A", b""),
    ]


def test_every_octet_has_its_number_and_is_acknowledged() -> None:
    given = [piece(False, b"a" * 10), piece(True, b"b" * 20, 1000), piece(False, b"", 70_000), piece(True, b"c")]
    found = packets(dialogue(*given, closer="server"))
    following: dict[int, int] = {}
    for packet in found:
        source, target = packet.ports
        if "S" not in packet.flags:
            assert packet.seq == following[source]
        if "A" in packet.flags:
            assert packet.ack == following[target]
        following[source] = packet.seq + packet.payload_length + ("S" in packet.flags) + ("F" in packet.flags)
    sent = {port: sum(p.payload_length for p in found if p.ports[0] == port) for port in (54321, 25)}
    assert sent == {54321: 70_010, 25: 1021}


def test_times_are_the_journals_and_never_run_back() -> None:
    early = Piece(START - timedelta(hours=1), True, b"x")
    found = packets(dialogue(piece(False, b"y"), early))
    assert found[0].at == int(START.timestamp()) * 1_000_000 + 678901
    assert [p.at for p in found] == sorted(p.at for p in found)
    assert found[-1].at - found[0].at == 2_000_000


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_checksums_are_right(address: str) -> None:
    ends = (ip_address(address), 1), (ip_address(address), 2)
    odd = dialogue(piece(False, b"odd"), client=ends[0], server=ends[1])
    datagram = dialogue(piece(False, b"odd"), client=ends[0], server=ends[1], transport="udp")
    for packet in packets(odd, datagram):
        ip = packet.octets[14:]
        if packet.version == 4:
            assert total(ip[:20]) == 0xFFFF
            assert struct.unpack(">H", ip[2:4])[0] == len(ip)
            pseudo = ip[12:20] + struct.pack(">BBH", 0, ip[9], len(packet.segment))
        else:
            assert struct.unpack(">H", ip[4:6])[0] == len(packet.segment)
            pseudo = ip[8:40] + struct.pack(">II", len(packet.segment), ip[6])
        assert total(pseudo + packet.segment) == 0xFFFF


def test_what_was_not_kept_is_longer_than_what_was_captured() -> None:
    found = [p for p in packets(dialogue(piece(True, b"head", SEGMENT + 10))) if p.payload_length]
    assert [(p.payload, p.payload_length) for p in found] == [(b"head", SEGMENT), (b"", 14)]


def test_octets_that_were_kept_are_all_there() -> None:
    octets = bytes(range(256)) * 600
    found = packets(dialogue(piece(True, octets)))
    assert b"".join(p.payload for p in found) == octets


class Uncopied(bytes):
    """Octets of which nobody copies what is left."""

    def __getitem__(self, place: Any) -> Any:
        assert isinstance(place, int) or place.stop is not None, "a copy of the rest, for each packet of a long message"
        return super().__getitem__(place)


def test_octets_of_a_long_message() -> None:
    octets = Uncopied(bytes(SEGMENT + 1))
    assert [p.payload_length for p in packets(dialogue(piece(True, octets))) if p.payload] == [SEGMENT, 1]


def test_comments_stand_at_their_packets() -> None:
    found = packets(dialogue(piece(True, b"x", notes=("one «note»", "two")), title="a session"))
    assert [p.comments for p in found if p.comments] == [["a session"], ["one «note»", "two"]]


def test_afresh_begins_a_new_connection() -> None:
    found = packets(dialogue(piece(False, b"STARTTLS"), piece(False, b"EHLO", afresh=True)))
    starts = [p for p in found if p.flags == "S"]
    assert len(starts) == 2
    assert starts[0].seq != starts[1].seq
    assert "TLS" in starts[1].comments[0]


def test_how_it_ends() -> None:
    def ends(**changes: object) -> list[tuple[int, str]]:
        return [(p.ports[0], p.flags) for p in packets(dialogue(**changes)) if set("FR") & set(p.flags)]

    assert ends(closer="server") == [(25, "FA"), (54321, "FA")]
    assert ends(closer="reset") == [(25, "RA")]
    assert ends(closer="client's reset") == [(54321, "RA")]
    assert ends(closed_at=None) == []


def test_datagrams_stand_alone() -> None:
    found = packets(dialogue(piece(False, b"q"), piece(True, b"answer"), transport="udp", server=(SERVER[0], 53)))
    assert [(p.ports, p.segment[8:]) for p in found] == [((54321, 53), b"q"), ((53, 54321), b"answer")]


def test_sessions_are_merged_by_time() -> None:
    late = dialogue(opened_at=START + timedelta(seconds=1), client=(CLIENT[0], 11111))
    found = packets(late, dialogue(piece(False, b"x")))
    assert found[0].ports == (54321, 25)
    assert [p.at for p in found] == sorted(p.at for p in found)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:25", (IPv4Address("127.0.0.1"), 25)),
        ("[::1]:25", (IPv6Address("::1"), 25)),
        ("::1:25", (IPv6Address("::1"), 25)),
        ("::ffff:10.0.0.1:25", (IPv4Address("10.0.0.1"), 25)),
        ("fe80::1%eth0:25", (IPv6Address("fe80::1"), 25)),
        ("nobody", (IPv4Address("127.0.0.1"), 0)),
    ],
)
def test_endpoints(text: str, expected: tuple[object, int]) -> None:
    assert endpoint(text) == expected


@pytest.mark.parametrize(
    ("last", "closer"),
    [
        (("closed", {"reason": "peer closed"}), "client"),
        (("closed", {"reason": "hung up by a rule"}), "server"),
        (("closed", {"reason": "reset by a rule"}), "reset"),
        (("closed", {"reason": "[Errno 104] Connection reset by peer"}), "client's reset"),
        (("closed", {"reason": "[Errno 32] Broken pipe"}), "client"),
        (("closed", {"reason": ""}), "server"),
        (("fault", {"does": ["cut_after"], "direction": "up", "octets": 5}), "server"),
        (("fault", {"does": ["reset"], "direction": "down", "octets": 5}), "reset"),
        (
            ("fault", {"verb": "rcpt", "rule": "1", "does": ["reset"]}),
            "client",
        ),  # asked for, and the client left before it fired
        (("fault", {"does": ["reset"], "direction": "up", "octets": 5, "channel": "data"}), "client"),
        (("fault", {"does": ["half_close"], "direction": "down", "octets": 5}), "client"),
    ],
)
def test_who_broke_a_session_off(last: tuple[str, dict[str, object]], closer: str) -> None:
    record = SessionRecord("1", "smtp", "mta", "default", "127.0.0.1:5", START, None, None)
    told = [("opened", {"port": "smtp"}), last] + (
        [("closed", {"reason": "peer closed"})] if last[0] != "closed" else []
    )
    events = [JournalEvent(seq, START, kind, fields) for seq, (kind, fields) in enumerate(told, 1)]
    assert of_session(record, events, cards()).closer == closer
