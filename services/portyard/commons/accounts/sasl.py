"""SASL mechanisms, the server's side (RFC 4422), as steps from response to challenge or claim.

A mechanism tells who the peer claims to be and by what proof; whether that is true is the account store's to say. Which mechanisms are
announced, and when plaintext is allowed, is the protocol's. Pure: every core may import it.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

MAX_RESPONSE = 12_288  # octets of a line of base64 that a client may send (RFC 4954 §4 asks for that much)
CANCEL = b"*"
EMPTY = b"="


@dataclass(frozen=True, slots=True)
class Challenge:
    """Send this to the client, in base64, and come back with its response.

    Attributes:
        data: What to send.
        authcid: Whom the client claims to be, where it has said so by now; else empty.
    """

    data: bytes
    authcid: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Claim:
    """The exchange is over, and this is what the client claims.

    Attributes:
        authzid: Whom it wants to act as; empty for itself.
        authcid: Whom it is.
        password: Its proof.
    """

    authzid: str
    authcid: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Malformed:
    """The response breaks the mechanism's syntax; the exchange is over.

    Attributes:
        reason: One line, without anything that the client sent.
    """

    reason: str


Step = Challenge | Claim | Malformed


class Mechanism(Protocol):
    """One exchange."""

    @property
    def client_first(self) -> bool:
        """The client speaks first, so an initial response is allowed (RFC 4422 §5)."""

    def step(self, response: bytes | None) -> Step:
        """Take the client's response, decoded; None when the exchange began without an initial one."""


class Plain:
    """PLAIN (RFC 4616): `[authzid] NUL authcid NUL passwd`, in UTF-8."""

    client_first = True

    def step(self, response: bytes | None) -> Step:
        """See `Mechanism.step`."""
        if response is None:
            return Challenge(b"")  # RFC 4422 §3.3: an empty challenge asks the client to begin
        parts = response.split(b"\0")
        if len(parts) != 3:
            return Malformed("PLAIN wants two NULs in its message")
        try:
            authzid, authcid, password = (part.decode() for part in parts)
        except UnicodeDecodeError:
            return Malformed("PLAIN wants UTF-8")  # RFC 4616 §2
        if not authcid or not password:  # RFC 4616 §2: authcid and passwd are 1*SAFE
            return Malformed("PLAIN wants a name and a password")
        return Claim(authzid, authcid, password)


class Login:
    """LOGIN (draft-murchison-sasl-login-00): asks for the name, then for the password. An initial response is the name."""

    client_first = True  # not by the draft, but clients send the name at once and servers take it

    def __init__(self) -> None:
        self._asked = False
        self._name: str | None = None

    def step(self, response: bytes | None) -> Step:
        """See `Mechanism.step`."""
        if response is None:
            if self._asked:
                return Malformed("LOGIN wants a response")
            self._asked = True
            return Challenge(b"Username:")
        try:
            text = response.removesuffix(b"\0").decode()  # some clients end it with a NUL
        except UnicodeDecodeError:
            return Malformed("LOGIN wants UTF-8")
        if "\0" in text:
            return Malformed("LOGIN allows no NUL")
        if self._name is None:
            if not text:
                return Malformed("LOGIN wants a name")
            self._asked, self._name = True, text
            return Challenge(b"Password:", text)
        return Claim("", self._name, text)


MECHANISMS: Mapping[str, Callable[[], Mechanism]] = {"PLAIN": Plain, "LOGIN": Login}


def mechanism(name: str) -> Mechanism | None:
    """A fresh exchange of a mechanism, its name in any case; None when there is no such."""
    make = MECHANISMS.get(name.upper())
    return make() if make is not None else None


def acts_as_itself(claim: Claim, address: str) -> bool:
    """Whether the claim asks for no other identity than the account that it authenticates as (RFC 4616 §2).

    Args:
        claim: What the client sent.
        address: The account's address.
    """
    return claim.authzid.lower() in ("", claim.authcid.lower(), address.lower())


class Cancelled(Exception):
    """The client sent "*" (RFC 4954 §4, RFC 3501 §6.2.2, RFC 5034 §4)."""


def decode_line(line: bytes) -> bytes:
    """A response line's octets.

    Args:
        line: Without its line ending.

    Raises:
        Cancelled: It was "*".
        ValueError: It isn't base64, or too long.
    """
    if line == CANCEL:
        raise Cancelled
    if len(line) > MAX_RESPONSE:
        raise ValueError(f"a response of {len(line)} octets, {MAX_RESPONSE} are allowed")
    try:
        return base64.b64decode(line, validate=True)
    except binascii.Error:
        raise ValueError("the response isn't base64") from None


def decode_initial(argument: bytes) -> bytes:
    """An initial response's octets; "=" stands for an empty one (RFC 4954 §4, RFC 4959 §3, RFC 5034 §4).

    Raises:
        ValueError: It isn't base64, or too long.
    """
    if argument == EMPTY:
        return b""
    if argument == CANCEL:
        raise ValueError("the response isn't base64")
    return decode_line(argument)


def encode_line(challenge: bytes) -> bytes:
    """A challenge as base64, without line breaks."""
    return base64.b64encode(challenge)


def blank(size: int) -> str:
    """What a transcript shows in place of a secret of that many octets."""
    return f"«secret, {size} bytes»"
