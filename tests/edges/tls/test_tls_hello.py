from __future__ import annotations

import ssl

import pytest

from portyard.commons.tls.alerts import Alert
from portyard.commons.tls.hello import MAX_HELLO, BadHello, ClientHello, HelloReader, NeedMore, NotTls, is_grease


def real_hello(context: ssl.SSLContext | None = None, name: str = "imap.portyard.test") -> bytes:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = (context or ssl.create_default_context()).wrap_bio(incoming, outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


def records(handshake: bytes, size: int) -> bytes:
    cuts = [handshake[at : at + size] for at in range(0, len(handshake), size)]
    return b"".join(b"\x16\x03\x01" + len(cut).to_bytes(2) + cut for cut in cuts)


def read(data: bytes) -> ClientHello | NeedMore | NotTls:
    return HelloReader().feed(data)


def hello_body(extensions: bytes = b"", suites: bytes = b"\x13\x01") -> bytes:
    body = b"\x03\x03" + bytes(32) + b"\x00" + len(suites).to_bytes(2) + suites + b"\x01\x00"
    return body + (len(extensions).to_bytes(2) + extensions if extensions else b"")


def wrapped(body: bytes) -> bytes:
    return records(b"\x01" + len(body).to_bytes(3) + body, 16_384)


def test_reads_what_openssl_offers() -> None:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    hello = read(real_hello(context))
    assert isinstance(hello, ClientHello)
    assert hello.server_name == "imap.portyard.test"
    assert hello.alpn == ("h2", "http/1.1")
    assert hello.versions == ("TLSv1.3", "TLSv1.2")
    assert hello.legacy_version == 0x0303
    assert 0x1301 in hello.cipher_suites
    assert 0x0017 in hello.groups  # secp256r1
    assert 0x0403 in hello.signature_algorithms  # ecdsa_secp256r1_sha256
    assert hello.compressions == (0,)
    assert {0, 10, 13, 16, 43} <= set(hello.extensions)


def test_without_supported_versions_the_legacy_version_counts() -> None:
    hello = read(wrapped(hello_body()))
    assert isinstance(hello, ClientHello)
    assert hello.versions == ("TLSv1.2",)
    assert hello.server_name is None


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_a_hello_may_be_spread_over_many_records(size: int) -> None:
    handshake = real_hello()[5:]
    assert read(records(handshake, size)) == read(real_hello()[:5] + handshake)


def test_byte_by_byte_it_asks_for_more_until_the_last() -> None:
    raw = real_hello()
    reader = HelloReader()
    for byte in raw[:-1]:
        assert isinstance(reader.feed(bytes((byte,))), NeedMore)
    assert isinstance(reader.feed(raw[-1:]), ClientHello)
    assert bytes(reader.raw) == raw


def test_need_more_never_asks_too_much() -> None:
    raw, reader, at = real_hello(), HelloReader(), 0
    found: object = NeedMore(1)
    while isinstance(found, NeedMore):
        found = reader.feed(raw[at : at + found.at_least])
        at = len(reader.raw)
    assert at == len(raw)
    assert isinstance(found, ClientHello)


def test_what_comes_behind_is_kept() -> None:
    reader = HelloReader()
    assert isinstance(reader.feed(real_hello() + b"early"), ClientHello)
    assert reader.raw.endswith(b"early")


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (b"GET / HTTP/1.1\r\n", "plaintext"),
        (b"a1 CAPABILITY\r\n", "plaintext"),
        (b"\x16\x02", "plaintext"),
        (b"\r\n", "plaintext"),
        (b"\x80\x2e\x01\x00\x02", "sslv2"),
        (b"\xff\xf4\xff\xfd", "plaintext"),
        (b"\x15\x03\x01\x00\x02\x02\x28", "alert"),
    ],
)
def test_other_first_bytes_are_named(start: bytes, kind: str) -> None:
    found = read(start)
    assert isinstance(found, NotTls)
    assert found.kind == kind
    assert found.start == start


@pytest.mark.parametrize(
    ("data", "alert"),
    [
        (b"\x16\x03\x01\x00\x00", Alert.UNEXPECTED_MESSAGE),
        (b"\x16\x03\x01\x40\x01", Alert.RECORD_OVERFLOW),
        (b"\x16\x03\x01\x00\x01\x01\x17\x03\x03\x00\x01", Alert.UNEXPECTED_MESSAGE),
        (records(b"\x02\x00\x00\x04", 100), Alert.UNEXPECTED_MESSAGE),
        (records(b"\x01" + (MAX_HELLO + 1).to_bytes(3), 100), Alert.ILLEGAL_PARAMETER),
        (wrapped(b""), Alert.DECODE_ERROR),
        (wrapped(hello_body(suites=b"")), Alert.DECODE_ERROR),
        (wrapped(hello_body(suites=b"\x13")), Alert.DECODE_ERROR),
        (wrapped(hello_body() + b"\x00\x00tail"), Alert.DECODE_ERROR),
        (wrapped(hello_body(b"\x00\x10\x00\x09\x00")), Alert.DECODE_ERROR),
        (wrapped(hello_body(b"\x00\x17\x00\x00\x00\x17\x00\x00")), Alert.ILLEGAL_PARAMETER),
    ],
)
def test_bad_hellos_know_their_alert(data: bytes, alert: Alert) -> None:
    with pytest.raises(BadHello) as caught:
        read(data)
    assert caught.value.alert is alert


def test_many_extensions_cost_little() -> None:
    extensions = b"".join(kind.to_bytes(2) + b"\0\0" for kind in range(100, 15_100))
    hello = read(wrapped(hello_body(extensions)))
    assert isinstance(hello, ClientHello)
    assert len(hello.extensions) == 15_000


def test_grease_is_known() -> None:
    assert is_grease(0x0A0A)
    assert is_grease(0xFAFA)
    assert not is_grease(0x0A1A)
    assert not is_grease(0x1301)
