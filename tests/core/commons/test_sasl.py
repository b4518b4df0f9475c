from __future__ import annotations

import pytest

from portyard.commons.accounts.sasl import (
    MAX_RESPONSE,
    MECHANISMS,
    Cancelled,
    Challenge,
    Claim,
    Malformed,
    acts_as_itself,
    blank,
    decode_initial,
    decode_line,
    encode_line,
    mechanism,
)


def step(name: str, *responses: bytes | None) -> object:
    exchange = mechanism(name)
    assert exchange is not None
    return [exchange.step(response) for response in responses][-1]


def test_plain() -> None:
    assert step("plain", None) == Challenge(b"")
    assert step("PLAIN", None, b"\0alice\0secret") == Claim("", "alice", "secret")
    assert step("PLAIN", "bob\0älice\0sécret".encode()) == Claim("bob", "älice", "sécret")


@pytest.mark.parametrize(
    "response", [b"", b"\0", b"alice\0secret", b"\0\0secret", b"\0alice\0", b"\0a\0b\0c", b"\0\xff\0x", b"\0a\0\xff"]
)
def test_malformed_plain(response: bytes) -> None:
    assert isinstance(step("PLAIN", response), Malformed)


def test_login() -> None:
    assert step("LOGIN", None) == Challenge(b"Username:")
    assert step("LOGIN", None, b"alice") == Challenge(b"Password:")
    assert step("LOGIN", None, b"alice", b"secret") == Claim("", "alice", "secret")
    assert step("LOGIN", b"alice", b"secret\0") == Claim("", "alice", "secret")
    assert step("LOGIN", b"alice", b"") == Claim("", "alice", "")


@pytest.mark.parametrize("responses", [(b"",), (b"\xff",), (b"a\0b",), (b"a", b"\xff"), (None, None), (b"a", None)])
def test_malformed_login(responses: tuple[bytes | None, ...]) -> None:
    assert isinstance(step("LOGIN", *responses), Malformed)


def test_only_what_is_served_is_known() -> None:
    assert mechanism("ANONYMOUS") is None
    assert {name: mechanism(name) is not None for name in MECHANISMS} == {"PLAIN": True, "LOGIN": True}
    assert mechanism("PLAIN") is not mechanism("PLAIN")


def test_nothing_shows_a_password() -> None:
    assert "secret" not in repr(Claim("", "alice", "secret"))
    assert blank(24) == "«secret, 24 bytes»"


def test_one_acts_as_oneself() -> None:
    for authzid, allowed in (("", True), ("Alice", True), ("alice@Portyard.test", True), ("bob", False)):
        assert acts_as_itself(Claim(authzid, "alice", "x"), "alice@portyard.test") is allowed


def test_lines() -> None:
    assert decode_line(encode_line(b"\0a\0b")) == b"\0a\0b"
    assert decode_line(b"") == b""
    assert decode_initial(b"=") == b""
    assert decode_initial(b"YQ==") == b"a"
    with pytest.raises(Cancelled):
        decode_line(b"*")
    for line in (b"=", b"a", b"a b=", b"YQ", b"\xff\xff", b"YQ==\0"):
        with pytest.raises(ValueError, match="base64"):
            decode_line(line)
    with pytest.raises(ValueError, match="base64"):
        decode_initial(b"*")
    with pytest.raises(ValueError, match="allowed"):
        decode_line(b"A" * (MAX_RESPONSE + 4))
