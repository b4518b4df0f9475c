"""A session as a packet capture: Ethernet, IP and TCP or UDP packets around what the journal kept, decrypted, in a pcapng file.

Octets that weren't kept make packets that are longer than what was captured of them, as a capture with a snap length has, so that
sequence numbers are those of the whole. A conversation that went on in TLS goes on as a new connection: a dissector that saw the upgrade
would look for TLS records where the plaintext is.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from portyard.commons.journal.export_piece import Piece
from portyard.commons.turns import go_on

MEDIA_TYPE: Final = "application/x-pcapng"
SEGMENT: Final = 65_495  # octets of one TCP segment over IPv4, as on loopback
DATAGRAM: Final = 65_507
_CLIENT_MAC, _SERVER_MAC = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_WINDOW: Final = 65_535
_SYN, _FIN, _RST, _PUSH, _ACK = 0x02, 0x01, 0x04, 0x08, 0x10
_TCP, _UDP = 6, 17
_MSS: Final = struct.pack(">BBH", 2, 4, SEGMENT)
_AFRESH: Final = (
    "after a TLS handshake: decrypted, and shown as a connection of its own, so that its content is read as what it is"
)

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class Dialogue:
    """A session to be shown as packets.

    Attributes:
        client: The peer's address and port.
        server: Ours; the port is the one by which dissectors know the protocol.
        transport: "tcp" or "udp".
        opened_at: When.
        pieces: What was said.
        closed_at: None while it runs.
        closer: "client", "server", or where one of them broke it off "reset" (the server) or "client's reset".
        title: What the first packet's comment says.
    """

    client: tuple[Address, int]
    server: tuple[Address, int]
    transport: str
    opened_at: datetime
    pieces: tuple[Piece, ...]
    closed_at: datetime | None
    closer: str = "client"
    title: str = ""


@dataclass(frozen=True, slots=True)
class _Packet:
    """One packet: when (microseconds), its captured octets, how long it was, who sent it, and comments."""

    at: int
    octets: bytes
    length: int
    ours: bool
    notes: tuple[str, ...]


def pcapng(dialogues: Iterable[Dialogue], application: str) -> bytes:
    """The dialogues as a file that packet analysers open, packets by their time."""
    section = struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1) + _options([(4, application.encode())])
    interface = struct.pack("<HHI", 1, 0, 0) + _options([(2, b"portyard")])  # Ethernet, no snap length
    blocks = [_block(0x0A0D0D0A, section), _block(1, interface)]
    written: list[tuple[int, bytes]] = []
    for number, each in enumerate(dialogues):
        for packet in _packets(each, number):
            go_on()
            written.append((packet.at, _block(6, _enhanced(packet))))
    written.sort(key=lambda packet: packet[0])  # stable: those of a moment stay in their order
    written.reverse()
    while written:  # each is let go of as it is passed: to let go of all at once would hold up whoever else waits
        blocks.append(written.pop()[1])
    return b"".join(blocks)


def endpoint(text: str, port: int | None = None) -> tuple[Address, int]:
    """An address and port from "127.0.0.1:25", "[::1]:25" or "::1:25"; loopback stands for what isn't one."""
    host, _, number = text.rpartition(":")
    try:
        address = ipaddress.ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        address = ipaddress.IPv4Address("127.0.0.1")
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    own = int(number) if number.isdecimal() and int(number) <= 0xFFFF else 0
    return mapped or address, own if port is None else port


def _block(kind: int, body: bytes) -> bytes:
    length = len(body) + 12
    return struct.pack("<II", kind, length) + body + struct.pack("<I", length)


def _options(options: Iterable[tuple[int, bytes]]) -> bytes:
    listed = b"".join(struct.pack("<HH", code, len(value)) + _padded(value) for code, value in options)
    return listed + struct.pack("<HH", 0, 0) if listed else b""


def _padded(octets: bytes) -> bytes:
    return octets + bytes(-len(octets) % 4)


def _enhanced(packet: _Packet) -> bytes:
    head = struct.pack("<IIIII", 0, packet.at >> 32, packet.at & 0xFFFFFFFF, len(packet.octets), packet.length)
    flags = (2, struct.pack("<I", 2 if packet.ours else 1))  # outbound, inbound
    return (
        head
        + _padded(packet.octets)
        + _options([*((1, note.encode("utf-8", "backslashreplace")) for note in packet.notes), flags])
    )


def _packets(dialogue: Dialogue, number: int) -> Iterator[_Packet]:
    if dialogue.transport == "udp":
        yield from _datagrams(dialogue)
        return
    yield from _Flow(dialogue, number).packets()


def _datagrams(dialogue: Dialogue) -> Iterator[_Packet]:
    title = (dialogue.title,) if dialogue.title else ()
    at = 0
    for piece in dialogue.pieces:
        at = max(at, _microseconds(piece.at))
        source, target = (dialogue.server, dialogue.client) if piece.ours else (dialogue.client, dialogue.server)
        length = min(8 + len(piece.kept) + piece.more, DATAGRAM)
        head = struct.pack(">HHHH", source[1], target[1], length, 0)
        whole = head + piece.kept
        if len(whole) == length:
            total = _checksum(_pseudo(source[0], target[0], _UDP, length) + whole) or 0xFFFF  # RFC 768: zero means none
            whole = whole[:6] + struct.pack(">H", total) + whole[8:]
        yield _wrapped(at, source[0], target[0], _UDP, whole, length, piece.ours, (*title, *piece.notes))
        title = ()


@dataclass(slots=True)
class _Flow:
    """One dialogue as TCP connections, one after the other."""

    dialogue: Dialogue
    number: int
    at: int = 0
    next_seq: dict[bool, int] = field(default_factory=dict)  # by whether it is ours
    begun: int = 0

    def packets(self) -> Iterator[_Packet]:
        """Its packets in order."""
        self.at = _microseconds(self.dialogue.opened_at)
        yield from self._open((self.dialogue.title,) if self.dialogue.title else ())
        for piece in self.dialogue.pieces:
            self.at = max(self.at, _microseconds(piece.at))
            if piece.afresh:
                yield from self._open((_AFRESH,))
            yield from self._say(piece)
        if self.dialogue.closed_at is not None:
            self.at = max(self.at, _microseconds(self.dialogue.closed_at))
            yield from self._close()

    def _open(self, notes: tuple[str, ...]) -> Iterator[_Packet]:
        self.begun += 1
        start = (self.number * 7919 + self.begun * 104_729) << 8 & 0xFFFFFFFF
        self.next_seq = {False: start, True: start ^ 0x5A5A5A5A}
        yield self._segment(False, _SYN, notes=notes)
        yield self._segment(True, _SYN | _ACK)
        yield self._segment(False, _ACK)

    def _say(self, piece: Piece) -> Iterator[_Packet]:
        kept = memoryview(piece.kept)  # what is left of bytes would be a copy at each packet
        more, notes = piece.more, piece.notes
        if not kept and not more:
            if notes:
                yield self._segment(piece.ours, _ACK, notes=notes)
            return
        while kept or more:
            part, kept = bytes(kept[:SEGMENT]), kept[SEGMENT:]
            gap = min(SEGMENT - len(part), more) if not kept else 0
            more -= gap
            flags = _ACK | (0 if kept or more else _PUSH)
            yield self._segment(piece.ours, flags, part, gap, notes)
            yield self._segment(not piece.ours, _ACK)
            notes = ()

    def _close(self) -> Iterator[_Packet]:
        if self.dialogue.closer in ("reset", "client's reset"):
            yield self._segment(self.dialogue.closer == "reset", _RST | _ACK)
            return
        first = self.dialogue.closer != "client"
        yield self._segment(first, _FIN | _ACK)
        yield self._segment(not first, _FIN | _ACK)
        yield self._segment(first, _ACK)

    def _segment(
        self, ours: bool, flags: int, kept: bytes = b"", more: int = 0, notes: tuple[str, ...] = ()
    ) -> _Packet:
        source, target = (
            (self.dialogue.server, self.dialogue.client) if ours else (self.dialogue.client, self.dialogue.server)
        )
        seq, ack = self.next_seq[ours], self.next_seq[not ours] if flags & _ACK else 0
        options = _MSS if flags & _SYN else b""
        offset = (20 + len(options)) // 4 << 12
        head = struct.pack(">HHIIHHHH", source[1], target[1], seq, ack, offset | flags, _WINDOW, 0, 0) + options
        self.next_seq[ours] = seq + len(kept) + more + bool(flags & (_SYN | _FIN)) & 0xFFFFFFFF
        whole, length = head + kept, len(head) + len(kept) + more
        if not more:
            total = _checksum(_pseudo(source[0], target[0], _TCP, length) + whole)
            whole = whole[:16] + struct.pack(">H", total) + whole[18:]
        return _wrapped(self.at, source[0], target[0], _TCP, whole, length, ours, notes)


def _wrapped(
    at: int,
    source: Address,
    target: Address,
    protocol: int,
    octets: bytes,
    length: int,
    ours: bool,
    notes: tuple[str, ...],
) -> _Packet:
    """The segment or datagram in its IP and Ethernet heads."""
    macs = _CLIENT_MAC + _SERVER_MAC if ours else _SERVER_MAC + _CLIENT_MAC
    if source.version == target.version == 4:
        head = (
            struct.pack(">BBHHHBBH", 0x45, 0, 20 + length, 0, 0x4000, 64, protocol, 0) + source.packed + target.packed
        )
        head = head[:10] + struct.pack(">H", _checksum(head)) + head[12:]
        kind = 0x0800
    else:
        head = struct.pack(">IHBB", 6 << 28, length, protocol, 64) + _sixteen(source) + _sixteen(target)
        kind = 0x86DD
    front = macs + struct.pack(">H", kind) + head
    return _Packet(at, front + octets, len(front) + length, ours, notes)


def _pseudo(source: Address, target: Address, protocol: int, length: int) -> bytes:
    if source.version == target.version == 4:
        return source.packed + target.packed + struct.pack(">BBH", 0, protocol, length)  # RFC 9293 §3.1
    return _sixteen(source) + _sixteen(target) + struct.pack(">II", length, protocol)  # RFC 8200 §8.1


def _sixteen(address: Address) -> bytes:
    """The address as IPv6 has it (RFC 4291 §2.5.5.2)."""
    return address.packed if address.version == 6 else bytes(10) + b"\xff\xff" + address.packed


def _checksum(octets: bytes) -> int:
    """RFC 1071."""
    octets += bytes(len(octets) % 2)
    total: int = sum(struct.unpack(f">{len(octets) // 2}H", octets))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _microseconds(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(microseconds=1)
