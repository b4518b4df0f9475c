"""The alerts' names and numbers, and what a rule may name. Pure, and light to import: what rooms declare names them."""

from __future__ import annotations

from enum import IntEnum


class Alert(IntEnum):
    """AlertDescription (RFC 8446 §6.2, RFC 5246 §7.2)."""

    CLOSE_NOTIFY = 0
    UNEXPECTED_MESSAGE = 10
    BAD_RECORD_MAC = 20
    RECORD_OVERFLOW = 22
    HANDSHAKE_FAILURE = 40
    BAD_CERTIFICATE = 42
    UNSUPPORTED_CERTIFICATE = 43
    CERTIFICATE_REVOKED = 44
    CERTIFICATE_EXPIRED = 45
    CERTIFICATE_UNKNOWN = 46
    ILLEGAL_PARAMETER = 47
    UNKNOWN_CA = 48
    ACCESS_DENIED = 49
    DECODE_ERROR = 50
    DECRYPT_ERROR = 51
    PROTOCOL_VERSION = 70
    INSUFFICIENT_SECURITY = 71
    INTERNAL_ERROR = 80
    INAPPROPRIATE_FALLBACK = 86
    USER_CANCELED = 90
    NO_RENEGOTIATION = 100
    MISSING_EXTENSION = 109
    UNSUPPORTED_EXTENSION = 110
    UNRECOGNIZED_NAME = 112
    BAD_CERTIFICATE_STATUS_RESPONSE = 113
    UNKNOWN_PSK_IDENTITY = 115
    CERTIFICATE_REQUIRED = 116
    NO_APPLICATION_PROTOCOL = 120


NO_REFUSALS = frozenset({Alert.CLOSE_NOTIFY, Alert.USER_CANCELED, Alert.NO_RENEGOTIATION})
"""Alerts that end nothing, or nothing that failed (RFC 8446 §6.1)."""
REFUSALS = tuple(alert.name.lower() for alert in Alert if alert not in NO_REFUSALS)
"""The names of those that a handshake may be refused with."""


def alert_of(name: str) -> Alert:
    """The alert that a rule names, with hyphens or without, in any case; what names none fails the handshake."""
    known = name.strip().upper().replace("-", "_")
    return Alert[known] if known in Alert.__members__ else Alert.HANDSHAKE_FAILURE
