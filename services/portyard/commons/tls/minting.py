"""Make keys and certificates. Only this module and `revocation` import `cryptography`, and are imported only when something must be made.

It returns PEM bytes and touches no file.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import ipaddress
import secrets
from collections.abc import Sequence
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

from portyard.commons.tls.recipes import Certificate, Digest, Key, Signer, Usage

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

CA_DAYS = 30 * 365.25
"""The root outlives the machine that it was made on."""
_DAY_EARLY = -1.0
_SERIAL = 20  # octets
_CHANCE = 12
_OIDS = {
    Usage.SERVER: ExtendedKeyUsageOID.SERVER_AUTH,
    Usage.CLIENT: ExtendedKeyUsageOID.CLIENT_AUTH,
    Usage.CODE_SIGNING: ExtendedKeyUsageOID.CODE_SIGNING,
}
_SHA256_WITH_RSA = bytes.fromhex("06092a864886f70d01010b")  # the object identifiers as DER has them (RFC 8017 §A.2.4)
_SHA1_WITH_RSA = bytes.fromhex("06092a864886f70d010105")


class Issuer(NamedTuple):
    """A certificate and the key that signs with it."""

    certificate: x509.Certificate
    key: PrivateKey


def make_root(now: float, name: str = "Portyard testbed CA") -> Issuer:
    """Make a root.

    Args:
        now: Seconds since the epoch.
        name: Its common name.

    Returns:
        The self-signed root and its key.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _builder(name, _name(name), key, key, now, _DAY_EARLY, CA_DAYS)
    return Issuer(_as_authority(builder, key, None).sign(key, hashes.SHA256()), key)


def make_intermediate(root: Issuer, now: float, kind: Key = Key.EC_P256) -> Issuer:
    """Make an intermediate CA that may sign leaves only."""
    key = make_key(kind)
    name = "Portyard testbed intermediate CA"
    builder = _builder(name, root.certificate.subject, key, root.key, now, _DAY_EARLY, CA_DAYS)
    builder = _as_authority(builder, root.key, 0)
    return Issuer(builder.sign(root.key, hashes.SHA256()), key)


def make_leaf(
    what: Certificate, key: PrivateKey, names: Sequence[str], root: Issuer, now: float, revocation: Sequence[str] = ()
) -> bytes:
    """Make a leaf.

    Args:
        what: What it is to say.
        key: Its key.
        names: Host names and addresses for `what` that names none itself.
        root: Our CA.
        now: Seconds since the epoch.
        revocation: URLs under which a `revoked` certificate's CRL and OCSP responder are said to be, without the last slash.

    Returns:
        The chain that a server sends, as PEM, leaf first, our root left out.
    """
    issuer, sent = _issuer(what, root, now)
    issuer_name = issuer.certificate.subject if issuer else _name(what.common_name)
    signing_key = issuer.key if issuer else key
    days = what.starts_after_days, what.ends_after_days
    builder = _builder(what.common_name, issuer_name, key, signing_key, now, *days)
    builder = _as_leaf(builder, what, signing_key, what.names if what.names is not None else names)
    if what.revoked:
        builder = _as_revoked(builder, revocation)
    leaf = builder.sign(signing_key, hashes.SHA256())
    if what.digest is Digest.SHA1:
        leaf = _signed_over_sha1(leaf, signing_key)
    return b"".join(to_pem(each) for each in [leaf, *(sent if what.sends_issuer else ())])


def make_key(kind: Key) -> PrivateKey:
    """Make a leaf's key."""
    if kind is Key.EC_P256:
        return ec.generate_private_key(ec.SECP256R1())
    # weak on purpose where the recipe says so
    return rsa.generate_private_key(65537, 1024 if kind is Key.RSA_1024 else 2048)


def issued(serial: int, issuer: Issuer) -> bool:
    """Whether a serial number is of a certificate that this issuer made, in whichever process: it tells so itself."""
    if serial.bit_length() != 8 * _SERIAL - 1 or serial < 0:
        return False
    return serial == _serial(serial.to_bytes(_SERIAL)[:_CHANCE], issuer.key)


def _serial(chance: bytes, signer: PrivateKey) -> int:
    """A serial number (RFC 5280 §4.1.2.2): positive, of 20 octets, first chance and then what only this signer adds to it."""
    chance = bytes([chance[0] & 0x3F | 0x40]) + chance[1:]
    own = signer.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return int.from_bytes(chance + hashlib.blake2b(chance + own, digest_size=_SERIAL - _CHANCE).digest())


def key_to_pem(key: PrivateKey) -> bytes:
    """PKCS#8, not encrypted: the file's mode guards it."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def key_from_pem(pem: bytes) -> PrivateKey:
    """Read back what `key_to_pem` wrote.

    Raises:
        ValueError: It isn't a key of a kind that we make.
    """
    key = serialization.load_pem_private_key(pem, None)
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise ValueError("neither an EC nor an RSA key")
    return key


def to_pem(certificate: x509.Certificate) -> bytes:
    """One certificate as PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM)


def certificate_from_pem(pem: bytes) -> x509.Certificate:
    """The first certificate of a PEM file.

    Raises:
        ValueError: There is none.
    """
    return x509.load_pem_x509_certificate(pem)


def _issuer(what: Certificate, root: Issuer, now: float) -> tuple[Issuer | None, list[x509.Certificate]]:
    """Who signs (None: the leaf's own key) and what of theirs may be sent along."""
    match what.signer:
        case Signer.CA:
            return root, []
        case Signer.SELF:
            return None, []
        case Signer.INTERMEDIATE:
            between = make_intermediate(root, now, what.key)
            return between, [between.certificate]
        case Signer.STRANGER:
            stranger = make_root(now, "A root that nobody was given")
            return stranger, [stranger.certificate]


def _name(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Portyard"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def _builder(
    common_name: str, issuer: x509.Name, key: PrivateKey, signer: PrivateKey, now: float, starts: float, ends: float
) -> x509.CertificateBuilder:
    made = dt.datetime.fromtimestamp(int(now), dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(common_name))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(_serial(secrets.token_bytes(_CHANCE), signer))
        .not_valid_before(made + dt.timedelta(days=starts))
        .not_valid_after(made + dt.timedelta(days=ends))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)  # RFC 5280 §4.2.1.2
    )


def _as_authority(
    builder: x509.CertificateBuilder, signer: PrivateKey, path_length: int | None
) -> x509.CertificateBuilder:
    return (
        builder.add_extension(
            x509.BasicConstraints(ca=True, path_length=path_length), critical=True
        )  # RFC 5280 §4.2.1.9
        .add_extension(_key_usage(signs_certificates=True), critical=True)  # RFC 5280 §4.2.1.3
        .add_extension(_authority_key(signer), critical=False)
    )


def _as_leaf(
    builder: x509.CertificateBuilder, what: Certificate, signer: PrivateKey, names: Sequence[str]
) -> x509.CertificateBuilder:
    return (
        builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(enciphers_keys=what.key is not Key.EC_P256), critical=True)
        .add_extension(_authority_key(signer), critical=False)
        .add_extension(x509.ExtendedKeyUsage([_OIDS[usage] for usage in what.usages]), critical=False)
        .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
    )


def _as_revoked(builder: x509.CertificateBuilder, revocation: Sequence[str]) -> x509.CertificateBuilder:
    """Say where to ask (RFC 5280 §4.2.1.13, §4.2.2.1)."""
    lists: list[x509.GeneralName] = [x509.UniformResourceIdentifier(f"{base}/ca.crl") for base in revocation]
    responders = [
        x509.AccessDescription(AuthorityInformationAccessOID.OCSP, x509.UniformResourceIdentifier(f"{base}/ocsp"))
        for base in revocation
    ]
    return builder.add_extension(
        x509.CRLDistributionPoints([x509.DistributionPoint(lists, None, None, None)]), critical=False
    ).add_extension(x509.AuthorityInformationAccess(responders), critical=False)


def _signed_over_sha1(leaf: x509.Certificate, signer: PrivateKey) -> x509.Certificate:
    """The same certificate with another signature: `cryptography` builds none over SHA-1, though it signs.

    Both signatures are as long as the RSA key, and both algorithms' identifiers equally long, so that no length in the DER changes.

    Raises:
        ValueError: The signer's key isn't RSA.
    """
    if not isinstance(signer, rsa.RSAPrivateKey):
        raise ValueError("a signature over SHA-1 needs an RSA key")
    signed = leaf.tbs_certificate_bytes.replace(_SHA256_WITH_RSA, _SHA1_WITH_RSA, 1)
    signature = signer.sign(signed, padding.PKCS1v15(), hashes.SHA1())  # noqa: S303 - broken on purpose
    der = leaf.public_bytes(serialization.Encoding.DER)
    der = der.replace(leaf.tbs_certificate_bytes, signed).replace(leaf.signature, signature)
    return x509.load_der_x509_certificate(der.replace(_SHA256_WITH_RSA, _SHA1_WITH_RSA))


def _authority_key(signer: PrivateKey) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())  # RFC 5280 §4.2.1.1


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name.encode("idna").decode() if not name.isascii() else name)


def _key_usage(*, signs_certificates: bool = False, enciphers_keys: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=enciphers_keys,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
