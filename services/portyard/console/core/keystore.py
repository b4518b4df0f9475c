"""A Java key store (JKS) that holds one trusted certificate. Pure.

The format is described by OpenJDK's sun.security.provider.JavaKeyStore: big-endian, strings as Java's DataOutput writes them, and a SHA-1
digest over the password, a fixed phrase and all that precedes it.
"""

from __future__ import annotations

import hashlib
import struct

_MAGIC = 0xFEEDFEED
_VERSION = 2
_TRUSTED_CERTIFICATE = 2  # the entry's tag
_PHRASE = b"Mighty Aphrodite"  # the format's own salt


def trust_store(certificate: bytes, alias: str, password: str, made_ms: int) -> bytes:
    """A key store with one certificate that is trusted.

    Args:
        certificate: DER.
        alias: What the entry is called, ASCII small letters.
        password: Of the store; ASCII.
        made_ms: When, in milliseconds since 1970.
    """
    body = struct.pack(">III", _MAGIC, _VERSION, 1)
    body += struct.pack(">I", _TRUSTED_CERTIFICATE) + _utf(alias) + struct.pack(">Q", made_ms)
    body += _utf("X.509") + struct.pack(">I", len(certificate)) + certificate
    digest = hashlib.sha1(password.encode("utf-16-be") + _PHRASE + body, usedforsecurity=False)
    return body + digest.digest()


def _utf(text: str) -> bytes:
    octets = text.encode("ascii")
    return struct.pack(">H", len(octets)) + octets
