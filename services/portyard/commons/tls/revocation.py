"""What the CA says of certificates that it took back: a CRL, and answers to OCSP requests.

As `minting`, it needs `cryptography` and is imported only when something must be made; it touches no file.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import ocsp

from portyard.commons.tls.minting import Issuer, issued

_EARLY: Final = dt.timedelta(hours=1)
"""For clients whose clock is behind."""
_LASTS: Final = dt.timedelta(days=7)


def make_crl(root: Issuer, before: bytes, serials: Iterable[int], now: float) -> bytes:
    """Make the list of what was revoked (RFC 5280 §5).

    Args:
        root: Our CA.
        before: The last list, PEM, which stays part of this one; empty for none. Another CA's is forgotten.
        serials: Serial numbers to add.
        now: Seconds since the epoch.

    Returns:
        PEM.
    """
    at = _moment(now)
    listed = dict.fromkeys(serials, at)
    number = 1
    old = x509.load_pem_x509_crl(before) if before else None
    if old is not None and old.is_signature_valid(root.certificate.public_key()):  # type: ignore[arg-type]
        listed = {each.serial_number: each.revocation_date_utc for each in old} | listed
        number += old.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(root.certificate.subject)
        .last_update(at - _EARLY)
        .next_update(at + _LASTS)
        .add_extension(x509.CRLNumber(number), critical=False)  # RFC 5280 §5.2.3
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(root.key.public_key()), critical=False
        )  # RFC 5280 §5.2.1
    )
    for serial, since in listed.items():
        builder = builder.add_revoked_certificate(_entry(serial, since))
    return builder.sign(root.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def crl_as_der(pem: bytes) -> bytes:
    """A list as the address in a certificate serves it (RFC 5280 §4.2.1.13)."""
    return x509.load_pem_x509_crl(pem).public_bytes(serialization.Encoding.DER)


def serial_of(chain: bytes) -> int:
    """The leaf's serial number.

    Args:
        chain: PEM, leaf first.
    """
    return x509.load_pem_x509_certificate(chain).serial_number


def answer_ocsp(request: bytes, root: Issuer, crl: bytes, now: float) -> bytes:
    """Answer an OCSP request for one certificate (RFC 6960 §2).

    Args:
        request: DER, as a client posts it.
        root: Our CA, which signs the answer itself.
        crl: Our list, PEM: what it doesn't name is good where we made it, else unknown.
        now: Seconds since the epoch.

    Returns:
        DER: `malformedRequest` for anything but one certificate's request, `unauthorized` for a certificate of another CA.
    """
    try:
        asked = ocsp.load_der_ocsp_request(request)
        serial, algorithm = asked.serial_number, asked.hash_algorithm
        nonces = [each for each in asked.extensions if isinstance(each.value, x509.OCSPNonce)]
    except (ValueError, NotImplementedError, UnsupportedAlgorithm, x509.DuplicateExtension):
        return _refusal(ocsp.OCSPResponseStatus.MALFORMED_REQUEST)
    if serial < 0:  # RFC 5280 §4.1.2.2
        return _refusal(ocsp.OCSPResponseStatus.MALFORMED_REQUEST)
    if (asked.issuer_name_hash, asked.issuer_key_hash) != _hashes(root.certificate, algorithm):
        return _refusal(ocsp.OCSPResponseStatus.UNAUTHORIZED)
    found = x509.load_pem_x509_crl(crl).get_revoked_certificate_by_serial_number(serial)
    status = ocsp.OCSPCertStatus.REVOKED
    if found is None:  # RFC 6960 §2.2
        status = ocsp.OCSPCertStatus.GOOD if issued(serial, root) else ocsp.OCSPCertStatus.UNKNOWN
    at = _moment(now)
    builder = ocsp.OCSPResponseBuilder().add_response_by_hash(
        asked.issuer_name_hash,
        asked.issuer_key_hash,
        serial,
        algorithm,
        status,
        at - _EARLY,
        at + _LASTS,
        None if found is None else found.revocation_date_utc,
        None if found is None else x509.ReasonFlags.key_compromise,
    )
    for nonce in nonces:
        builder = builder.add_extension(nonce.value, critical=False)  # RFC 9654 §2.1
    builder = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, root.certificate)
    return builder.sign(root.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def _refusal(status: ocsp.OCSPResponseStatus) -> bytes:
    return ocsp.OCSPResponseBuilder.build_unsuccessful(status).public_bytes(serialization.Encoding.DER)


def _hashes(certificate: x509.Certificate, algorithm: hashes.HashAlgorithm) -> tuple[bytes, bytes]:
    """The hashes of an issuer's name and key by which a request names it (RFC 6960 §4.1.1)."""
    key = certificate.public_key().public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    )
    return _hash(certificate.subject.public_bytes(), algorithm), _hash(key, algorithm)


def _hash(data: bytes, algorithm: hashes.HashAlgorithm) -> bytes:
    context = hashes.Hash(algorithm)
    context.update(data)
    return context.finalize()


def _entry(serial: int, since: dt.datetime) -> x509.RevokedCertificate:
    return (
        x509.RevokedCertificateBuilder()
        .serial_number(serial)
        .revocation_date(since)
        .add_extension(x509.CRLReason(x509.ReasonFlags.key_compromise), critical=False)
        .build()
    )


def _moment(now: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(int(now), dt.UTC)
