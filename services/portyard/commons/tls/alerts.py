"""TLS alerts: their numbers, and which one an OpenSSL error means.

It knows names and numbers only; who sends an alert, and when, is the layer's business.
"""

from __future__ import annotations

import ssl
from typing import Final, NamedTuple

from portyard.commons.tls.descriptions import Alert as Alert


class Failure(NamedTuple):
    """Why a TLS connection failed, and the alert that told so."""

    reason: str
    alert: str | None
    alert_from: str | None
    """`"us"`, `"peer"` or None."""


FATAL: Final = 2
ALERT_RECORD: Final = 21

# What OpenSSL says when the alert itself can't be read from the outgoing bytes: they are encrypted, or its own socket sent them.
_REASON_ALERTS: Final = {
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": Alert.CERTIFICATE_REQUIRED,
    "CERTIFICATE_VERIFY_FAILED": Alert.UNKNOWN_CA,
    "DECRYPTION_FAILED_OR_BAD_RECORD_MAC": Alert.BAD_RECORD_MAC,
    "BAD_SIGNATURE": Alert.DECRYPT_ERROR,
    "DIGEST_CHECK_FAILED": Alert.DECRYPT_ERROR,
    "NO_SHARED_CIPHER": Alert.HANDSHAKE_FAILURE,
    "UNEXPECTED_MESSAGE": Alert.UNEXPECTED_MESSAGE,
    "UNSUPPORTED_PROTOCOL": Alert.PROTOCOL_VERSION,
}

# X509_V_ERR_* of a peer's certificate → the alert that OpenSSL sends for it (ssl_x509err2alert).
_VERIFY_ALERTS: Final = {
    9: Alert.BAD_CERTIFICATE,  # not yet valid
    10: Alert.CERTIFICATE_EXPIRED,
    18: Alert.UNKNOWN_CA,
    19: Alert.UNKNOWN_CA,
    20: Alert.UNKNOWN_CA,
    21: Alert.UNKNOWN_CA,
    23: Alert.CERTIFICATE_REVOKED,
    26: Alert.UNSUPPORTED_CERTIFICATE,
}


def alert_record(alert: Alert) -> bytes:
    """The bytes of a fatal alert in the clear, as sent before any key is agreed (RFC 8446 §5.1, §6).

    Args:
        alert: What to tell the peer.

    Returns:
        Seven bytes: one TLS record.
    """
    return bytes((ALERT_RECORD, 3, 3, 0, 2, FATAL, alert))


def tls_error(reason: str) -> ssl.SSLError:
    """An error that OpenSSL didn't raise, with the attributes that its own have."""
    error = ssl.SSLError(1, reason)
    error.library, error.reason = "TLS", reason
    return error


def alert_name(number: int) -> str:
    """An alert's name as the RFC writes it, in lower case; an unknown number as decimal digits."""
    try:
        return Alert(number).name.lower()
    except ValueError:
        return str(number)


def explain(error: ssl.SSLError, sent: bytes | None) -> Failure:
    """Say which alert an OpenSSL error went with, and who sent it.

    Args:
        error: What OpenSSL raised.
        sent: The bytes that OpenSSL wanted sent with it; None where it has sent them by itself, whatever they are.

    Returns:
        The failure, its reason in lower case with spaces.
    """
    name = error.reason or type(error).__name__
    reason = name.lower().replace("_", " ")
    if isinstance(error, ssl.SSLCertVerificationError):
        reason = f"{reason}: {error.verify_message}"
    told = _told_by_peer(name)
    if told:
        return Failure(reason, told, "peer")
    if sent == b"":
        return Failure(reason, None, None)
    if sent and len(sent) >= 7 and sent[-7] == ALERT_RECORD and sent[-4:-2] == b"\0\2":
        return Failure(reason, alert_name(sent[-1]), "us")
    guess = _REASON_ALERTS.get(name)
    if isinstance(error, ssl.SSLCertVerificationError):
        guess = _VERIFY_ALERTS.get(error.verify_code, Alert.BAD_CERTIFICATE)
    if sent is None and guess is None:
        return Failure(reason, None, None)
    return Failure(reason, guess.name.lower() if guess else None, "us")


def _told_by_peer(reason: str) -> str | None:
    """OpenSSL names an alert that it received as, say, `TLSV1_ALERT_UNKNOWN_CA`."""
    prefix, found, name = reason.partition("_ALERT_")
    if not found or not prefix.startswith(("SSLV3", "TLSV1")):
        return None
    return name.lower()
