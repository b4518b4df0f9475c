"""Digest access authentication (RFC 7616): challenges, responses, and the life of a nonce.

A nonce carries its own proof that we minted it, so it survives a restart; the book keeps only how often each was used.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections import OrderedDict
from dataclasses import dataclass, field
from enum import Enum, auto

from portyard.http.core.credentials import parse_parameters, same, split_scheme

REALM = "Portyard"
NONCES_KEPT = 10_000  # the least recently used one is forgotten first, and so is fresh again
_WINDOW = 64  # nonce counts that may arrive out of order, over parallel connections
_SALT_OCTETS = 12

# RFC 7616 §3.2 names SHA-512-256; plain SHA-512 is what httpbin's clients know.
_HASHES = {"MD5": "md5", "SHA-256": "sha256", "SHA-512-256": "sha512_256", "SHA-512": "sha512"}
ALGORITHMS = (*_HASHES, *(f"{name}-sess" for name in _HASHES))


class Outcome(Enum):
    """What credentials are worth."""

    GOOD = auto()
    WRONG = auto()
    STALE = auto()  # right, but for a nonce that must not be used any more (RFC 7616 §3.3)


@dataclass(frozen=True, slots=True)
class Protection:
    """What a resource asks for.

    Attributes:
        user: The only user.
        password: And the password.
        qop: "auth", "auth-int", or "auth,auth-int" for either.
        algorithm: One of ALGORITHMS.
        uses: How often a nonce may be used; None for ever.
    """

    user: str
    password: str = field(repr=False)
    qop: str = "auth,auth-int"
    algorithm: str = "MD5"
    uses: int | None = None


def protection_of(user: str, password: str, qop: str, algorithm: str = "MD5", stale_after: str = "never") -> Protection:
    """A path's words as a protection: an unknown algorithm means MD5, an unknown qop either, as in httpbin.

    Raises:
        ValueError: `stale_after` is neither "never" nor a count.
    """
    uses = None if stale_after.lower() == "never" else int(stale_after)
    if uses is not None and uses < 0:
        raise ValueError("a nonce can't be used less than 0 times")
    known = {name.lower(): name for name in ALGORITHMS}
    return Protection(
        user,
        password,
        qop if qop in ("auth", "auth-int") else "auth,auth-int",
        known.get(algorithm.lower(), "MD5"),
        uses,
    )


def challenge(protection: Protection, nonce: str, opaque: str, *, stale: bool = False) -> str:
    """The WWW-Authenticate field's value (RFC 7616 §3.3)."""
    return (
        f'Digest realm="{REALM}", nonce="{nonce}", opaque="{opaque}", '
        f'qop="{protection.qop}", algorithm={protection.algorithm}, charset=UTF-8, stale={"true" if stale else "false"}'
    )


@dataclass(frozen=True, slots=True)
class Attempt:
    """A request that brings credentials.

    Attributes:
        method: Its method.
        target: Its target as sent.
        body: Its content, for auth-int.
        authorization: The field's value.
    """

    method: str
    target: str
    body: bytes
    authorization: str


def parse_credentials(authorization: str | None) -> dict[str, str] | None:
    """The parameters of Digest credentials, or None when the field holds none."""
    scheme, rest = split_scheme(authorization)
    return parse_parameters(rest) if scheme == "digest" else None


def judge(protection: Protection, attempt: Attempt, book: NonceBook) -> Outcome:
    """Weigh the credentials, and count a good use of their nonce."""
    given = parse_credentials(attempt.authorization)
    if given is None or not _fits(protection, given, attempt):
        return Outcome.WRONG
    expected = response_of(given, protection, attempt.method, attempt.body)
    if expected is None or not same(given.get("response", "").lower(), expected):
        return Outcome.WRONG
    if not book.use(given["nonce"], given.get("nc"), protection.uses):
        return Outcome.STALE
    return Outcome.GOOD


def _fits(protection: Protection, given: dict[str, str], attempt: Attempt) -> bool:
    """Whether the credentials are for this resource at all."""
    qop = given.get("qop")
    return (
        same(given.get("username", ""), protection.user)
        and given.get("realm") == REALM
        and "nonce" in given
        and given.get("algorithm", "MD5").lower() == protection.algorithm.lower()
        and (qop is None or qop in protection.qop.split(","))
        and _same_target(given.get("uri", ""), attempt.target)  # RFC 7616 §3.4.6
    )


def _same_target(uri: str, target: str) -> bool:
    return uri == target or (
        uri.startswith(("http://", "https://")) and "/" + uri.partition("://")[2].partition("/")[2] == target
    )


def response_of(given: dict[str, str], protection: Protection, method: str, body: bytes) -> str | None:
    """The response that the right password makes (RFC 7616 §3.4.1); None when a parameter that it needs is missing."""
    algorithm = protection.algorithm
    nonce, cnonce, nc, qop = given["nonce"], given.get("cnonce", ""), given.get("nc", ""), given.get("qop")
    secret = _hash(algorithm, f"{protection.user}:{REALM}:{protection.password}")
    if algorithm.endswith("-sess"):  # RFC 7616 §3.4.2
        secret = _hash(algorithm, f"{secret}:{nonce}:{cnonce}")
    action = f"{method}:{given.get('uri', '')}"
    if qop == "auth-int":  # RFC 7616 §3.4.3
        action += f":{_hash(algorithm, body)}"
    action = _hash(algorithm, action)
    if qop is None:  # RFC 2069's way, which clients may still speak
        return _hash(algorithm, f"{secret}:{nonce}:{action}")
    if not cnonce or not nc:
        return None
    return _hash(algorithm, f"{secret}:{nonce}:{nc}:{cnonce}:{qop}:{action}")


def _hash(algorithm: str, data: str | bytes) -> str:
    octets = data.encode("utf-8", "surrogateescape") if isinstance(data, str) else data
    return hashlib.new(_HASHES[algorithm.removesuffix("-sess")], octets, usedforsecurity=False).hexdigest()


@dataclass(slots=True)
class _Uses:
    """How a nonce was used: how often, the highest count, and which of the last counts were seen."""

    count: int = 0
    highest: int = 0
    seen: int = 0

    def fresh(self, nc: int) -> bool:
        """Note a nonce count; False when it was seen before."""
        ahead = nc - self.highest
        if ahead > 0:
            self.seen = ((self.seen << min(ahead, _WINDOW)) | 1) & ((1 << _WINDOW) - 1)
            self.highest = nc
            return True
        if -ahead >= _WINDOW or self.seen >> -ahead & 1:
            return False
        self.seen |= 1 << -ahead
        return True


class NonceBook:
    """Mints nonces and keeps how often each was used.

    Args:
        secret: Proves that a nonce is ours.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = hashlib.sha256(b"nonce" + secret).digest()
        self._uses: OrderedDict[str, _Uses] = OrderedDict()

    def mint(self, salt: bytes) -> str:
        """A nonce from 12 octets of chance."""
        salt = salt[:_SALT_OCTETS].ljust(_SALT_OCTETS, b"\0")
        return base64.urlsafe_b64encode(salt + self._proof(salt)).decode("ascii")

    def use(self, nonce: str, nc: str | None, most: int | None) -> bool:
        """Count one use; False when the nonce isn't ours, is used up, or its count was seen before (RFC 7616 §3.4, a replay)."""
        if not self._is_ours(nonce):
            return False
        uses = self._uses.setdefault(nonce, _Uses())
        self._uses.move_to_end(nonce)
        while len(self._uses) > NONCES_KEPT:
            self._uses.popitem(last=False)
        if most is not None and uses.count >= most:
            return False
        if nc is not None and not (_is_count(nc) and uses.fresh(int(nc, 16))):
            return False
        uses.count += 1
        return True

    def _is_ours(self, nonce: str) -> bool:
        try:
            octets = base64.urlsafe_b64decode(nonce)
        except ValueError:
            return False
        return hmac.compare_digest(octets[_SALT_OCTETS:], self._proof(octets[:_SALT_OCTETS]))

    def _proof(self, salt: bytes) -> bytes:
        return hmac.digest(self._secret, salt, "sha256")[:_SALT_OCTETS]


def _is_count(nc: str) -> bool:
    """A count is 8LHEX (RFC 7616 §3.4)."""
    return len(nc) == 8 and all(character in "0123456789abcdefABCDEF" for character in nc)
