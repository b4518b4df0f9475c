"""The private parameter by which one hop of the testbed tells the next what it delivers. Never announced.

With MAIL it says whose traffic a message is, with RCPT who takes a recipient that is another sandbox's, each of which generation.

Its proof is a keyed hash with the state directory's secret: whoever can't make it is answered as if the parameter didn't exist.
"""

from __future__ import annotations

import hashlib
import hmac
from functools import lru_cache
from typing import Final
from urllib.parse import quote, unquote

from portyard.smtp.core.model import Hop, Taker

KEYWORD: Final = "XPORTYARD"


def print_hop(hop: Hop, secret: bytes) -> str:
    """The parameter's value."""
    fields = f"{quote(hop.id, safe='')}:{quote(hop.sandbox, safe='')}:{hop.generation}"
    return f"{fields}:{_proof(fields, secret)}"


@lru_cache(maxsize=64)  # under rules a claim is read before its command is carried out, and once more then
def parse_hop(value: str, secret: bytes) -> Hop | None:
    """What a peer claims; None unless it proves the secret."""
    fields, _, proof = value.rpartition(":")
    if not value.isascii() or not hmac.compare_digest(proof, _proof(fields, secret)):
        return None
    delivery_id, sandbox, generation = fields.split(":")
    return Hop(unquote(delivery_id), unquote(sandbox), int(generation))


def parse_taker(value: str, transaction: Hop, secret: bytes) -> Taker | None:
    """Who takes a recipient, as the peer claims in a proven transaction; None unless it proves that of this very message."""
    hop = parse_hop(value, secret)
    return Taker(hop.sandbox, hop.generation) if hop is not None and hop.id == transaction.id else None


def print_pass(secret: bytes) -> str:
    """What a hop says in NOOP before its hello, to be known as one of the testbed from then on."""
    return f"{KEYWORD}={_pass(secret)}"


def is_pass(string: str, secret: bytes) -> bool:
    """Whether a NOOP's string is that word."""
    keyword, _, proof = string.partition("=")
    return keyword == KEYWORD and proof.isascii() and hmac.compare_digest(proof, _pass(secret))


def _pass(secret: bytes) -> str:
    return hashlib.blake2b(b"", key=secret, digest_size=32, person=b"smtp inside").hexdigest()


def _proof(fields: str, secret: bytes) -> str:
    # BLAKE2 is keyed by design (RFC 7693 §2.5) and, unlike OpenSSL's HMAC, small inputs don't give up the interpreter's lock.
    return hashlib.blake2b(fields.encode(), key=secret, digest_size=32, person=b"smtp hop").hexdigest()
