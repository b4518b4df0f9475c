"""What a peer's certificate says of it, as the journal tells it. Knows certificates that were verified, and no handshake."""

from __future__ import annotations

import hashlib
import re
import ssl
from typing import Any, Final, NamedTuple

Parts = tuple[tuple[tuple[str, str], ...], ...]
"""A name as Python's ssl tells it."""


class Shown(NamedTuple):
    """A certificate that was shown; the fields' names are the journal's. None where it wasn't verified, but for the fingerprint.

    Attributes:
        peer_subject: As `CN=…,O=…` (RFC 4514).
        peer_issuer: The same.
        peer_serial: Hexadecimal digits, in capitals, as `openssl x509 -serial` prints them.
        peer_fingerprint: SHA-256 of its DER, hexadecimal.
    """

    peer_subject: str | None
    peer_issuer: str | None
    peer_serial: str | None
    peer_fingerprint: str | None


NOTHING_SHOWN: Final = Shown(None, None, None, None)


def shown(connection: ssl.SSLObject | ssl.SSLSocket) -> Shown | None:
    """The certificate of the other side of a finished handshake.

    Returns:
        None where there is none.
    """
    der = connection.getpeercert(binary_form=True)
    if not der:
        return None
    known: Any = connection.getpeercert() or {}  # empty where the certificate wasn't verified
    return Shown(
        _name(known.get("subject", ())),
        _name(known.get("issuer", ())),
        known.get("serialNumber"),
        hashlib.sha256(der).hexdigest(),
    )


def _name(parts: Parts) -> str | None:
    """A distinguished name as text, the most particular part first (RFC 4514 §2.1)."""
    return ",".join("+".join(_attribute(*each) for each in part) for part in reversed(parts)) or None


def _attribute(kind: str, value: str) -> str:
    escaped = _SPECIAL.sub(r"\\\g<0>", value)  # RFC 4514 §2.4
    return f"{_SHORT.get(kind, kind)}={escaped}"


_SPECIAL: Final = re.compile(r'[,+"\\<>;]|^[ #]| $')
# RFC 4514 §3; what has no short name there keeps OpenSSL's long one.
_SHORT: Final = {
    "commonName": "CN",
    "localityName": "L",
    "stateOrProvinceName": "ST",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "countryName": "C",
    "domainComponent": "DC",
    "userId": "UID",
}
