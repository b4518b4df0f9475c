"""What the CA took back: on its list, in its OCSP answers, and to clients that look."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import ocsp

from portyard.commons.tls.authority import Authority
from portyard.commons.tls.recipes import GOOD

NOW = 1_800_000_000.0
DAY = 86_400.0


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def made(tmp_path: Path, clock: Clock) -> Authority:
    return Authority.open(tmp_path / "tls", [], clock)


def leaf(authority: Authority, recipe: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(authority.certificate_paths(recipe).chain.read_bytes())


def crl(authority: Authority) -> x509.CertificateRevocationList:
    return x509.load_pem_x509_crl(authority.crl_pem())


def root(authority: Authority) -> x509.Certificate:
    return x509.load_pem_x509_certificate(authority.ca_pem)


def number(found: x509.CertificateRevocationList) -> int:
    return found.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number


def test_the_list_names_the_revoked_leaf_alone(made: Authority) -> None:
    found = crl(made)
    assert [each.serial_number for each in found] == [leaf(made, "revoked").serial_number]
    assert found.is_signature_valid(root(made).public_key())  # type: ignore[arg-type]
    assert x509.load_der_x509_crl(made.crl_der()) == found
    assert made.crl_path.read_bytes() == made.crl_pem()


def test_a_leaf_that_is_made_again_stays_on_the_list_beside_the_new_one(made: Authority) -> None:
    first, before = leaf(made, "revoked").serial_number, number(crl(made))
    made.add_names(["t1.test"])
    second = leaf(made, "revoked").serial_number
    assert {each.serial_number for each in crl(made)} == {first, second}
    assert number(crl(made)) > before


def test_the_list_is_signed_anew_each_day_and_kept_meanwhile(made: Authority, clock: Clock) -> None:
    first = made.crl_pem()
    clock.now += DAY / 2
    assert made.crl_pem() == first
    clock.now += DAY
    later = crl(made)
    assert later.last_update_utc > x509.load_pem_x509_crl(first).last_update_utc
    assert {each.serial_number for each in later} == {leaf(made, "revoked").serial_number}


def test_the_list_of_a_ca_that_is_gone_is_forgotten(made: Authority, tmp_path: Path) -> None:
    made.crl_pem()
    for name in ("ca.pem", "ca.key"):
        (tmp_path / "tls" / name).unlink()
    other = Authority.open(tmp_path / "tls", [], lambda: NOW)
    found = crl(other)
    assert [each.serial_number for each in found] == [leaf(other, "revoked").serial_number]
    assert found.is_signature_valid(root(other).public_key())  # type: ignore[arg-type]


def test_the_revoked_leaf_says_where_to_ask_and_no_other_does(tmp_path: Path) -> None:
    made = Authority.open(tmp_path, [], revocation=lambda: ["http://localhost:9/api/v1"])
    extensions = leaf(made, "revoked").extensions
    (point,) = extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    assert point.full_name is not None
    assert [each.value for each in point.full_name] == ["http://localhost:9/api/v1/ca.crl"]
    (access,) = extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    assert access.access_location.value == "http://localhost:9/api/v1/ocsp"
    with pytest.raises(x509.ExtensionNotFound):
        leaf(made, "good").extensions.get_extension_for_class(x509.CRLDistributionPoints)


@pytest.mark.parametrize("change", [1, -1, 1 << 70, -1 << 100], ids=str)
def test_a_serial_that_was_never_issued_is_unknown(made: Authority, change: int) -> None:
    assert asked_by_number(made, leaf(made, GOOD).serial_number + change) is ocsp.OCSPCertStatus.UNKNOWN


@pytest.mark.parametrize("serial", [1, 127, 128, 1 << 64, (1 << 159) - 1, 1 << 158])
def test_no_serial_is_taken_for_ours_by_its_looks(made: Authority, serial: int) -> None:
    assert asked_by_number(made, serial) is ocsp.OCSPCertStatus.UNKNOWN


def test_what_another_process_issued_is_known_by_all(made: Authority, tmp_path: Path, clock: Clock) -> None:
    """Also what was replaced since: whoever showed it goes on showing it for a while."""
    before = leaf(made, GOOD).serial_number
    other = Authority.open(tmp_path / "tls", ["elsewhere.test"], clock)
    after = leaf(other, GOOD).serial_number
    assert before != after
    for serial in (before, after, root(made).serial_number):
        assert asked_by_number(made, serial) is ocsp.OCSPCertStatus.GOOD


def test_what_a_ca_that_is_gone_issued_is_unknown(made: Authority, tmp_path: Path) -> None:
    before = leaf(made, GOOD).serial_number
    shutil.rmtree(tmp_path / "tls")
    assert asked_by_number(Authority.open(tmp_path / "tls", []), before) is ocsp.OCSPCertStatus.UNKNOWN


def test_a_number_below_zero_is_no_serial(made: Authority) -> None:
    serial = leaf(made, GOOD).serial_number.to_bytes(20)
    request = request_for(made, leaf(made, GOOD).serial_number)
    assert status_of(made, request) is ocsp.OCSPResponseStatus.SUCCESSFUL
    below = bytes([serial[0] | 0x80]) + serial[1:]
    assert status_of(made, request.replace(serial, below)) is ocsp.OCSPResponseStatus.MALFORMED_REQUEST


@pytest.mark.parametrize(
    ("times", "status"),
    [(1, ocsp.OCSPResponseStatus.SUCCESSFUL), (2, ocsp.OCSPResponseStatus.MALFORMED_REQUEST)],
)
def test_an_extension_stands_once(made: Authority, times: int, status: ocsp.OCSPResponseStatus) -> None:
    requests = request_for(made, 1)[4:]  # without the heads of OCSPRequest and TBSRequest (RFC 6960 §4.1.1)
    nonce = der(0x30, bytes.fromhex("06092b0601050507300102") + der(0x04, der(0x04, b"nonce")))
    asked = der(0x30, der(0x30, requests + der(0xA2, der(0x30, times * nonce))))
    assert status_of(made, asked) is status


def der(tag: int, content: bytes) -> bytes:
    """A value in DER, as long as one octet or two tell."""
    long = b"\x81" if len(content) > 127 else b""
    return bytes([tag, *long, len(content)]) + content


def status_of(authority: Authority, request: bytes) -> ocsp.OCSPResponseStatus:
    return ocsp.load_der_ocsp_response(authority.ocsp_response(request)).response_status


def asked_by_number(authority: Authority, serial: int) -> ocsp.OCSPCertStatus:
    """What the responder says of a number under our CA's name and key."""
    return ocsp.load_der_ocsp_response(authority.ocsp_response(request_for(authority, serial))).certificate_status


def request_for(authority: Authority, serial: int) -> bytes:
    issuer = root(authority)
    key = issuer.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    name, hashed = (hashlib.sha1(each, usedforsecurity=False).digest() for each in (issuer.subject.public_bytes(), key))
    request = ocsp.OCSPRequestBuilder().add_certificate_by_hash(name, hashed, serial, hashes.SHA1()).build()
    return request.public_bytes(Encoding.DER)


def asked(authority: Authority, recipe: str, algorithm: hashes.HashAlgorithm, nonce: bytes = b"") -> ocsp.OCSPResponse:
    builder = ocsp.OCSPRequestBuilder().add_certificate(leaf(authority, recipe), root(authority), algorithm)
    if nonce:
        builder = builder.add_extension(x509.OCSPNonce(nonce), critical=False)
    return ocsp.load_der_ocsp_response(authority.ocsp_response(builder.build().public_bytes(Encoding.DER)))


@pytest.mark.parametrize("algorithm", [hashes.SHA1(), hashes.SHA256()], ids=["sha1", "sha256"])
@pytest.mark.parametrize(
    ("recipe", "status"), [("revoked", ocsp.OCSPCertStatus.REVOKED), ("good", ocsp.OCSPCertStatus.GOOD)]
)
def test_the_responder_knows(
    made: Authority, recipe: str, status: ocsp.OCSPCertStatus, algorithm: hashes.HashAlgorithm
) -> None:
    answer = asked(made, recipe, algorithm, b"sixteen octets !")
    assert answer.certificate_status is status
    assert answer.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce == b"sixteen octets !"
    if status is ocsp.OCSPCertStatus.REVOKED:
        assert answer.revocation_reason is x509.ReasonFlags.key_compromise


def test_the_responder_speaks_for_its_own_ca_only(made: Authority) -> None:
    answer = ocsp.load_der_ocsp_response(made.ocsp_response(b"nonsense"))
    assert answer.response_status is ocsp.OCSPResponseStatus.MALFORMED_REQUEST
    stranger = x509.load_pem_x509_certificates(made.certificate_paths("untrusted_root").chain.read_bytes())[1]
    request = ocsp.OCSPRequestBuilder().add_certificate(leaf(made, "untrusted_root"), stranger, hashes.SHA1()).build()
    answer = ocsp.load_der_ocsp_response(made.ocsp_response(request.public_bytes(Encoding.DER)))
    assert answer.response_status is ocsp.OCSPResponseStatus.UNAUTHORIZED


def openssl(*command: str) -> str:
    done = subprocess.run(["openssl", *command], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_openssl_reads_list_and_answer(authority: Authority, tmp_path: Path) -> None:
    listed, request, response = tmp_path / "crl.pem", tmp_path / "request.der", tmp_path / "response.der"
    listed.write_bytes(authority.crl_pem())
    ca, chain = str(authority.ca_path), str(authority.certificate_paths("revoked").chain)
    told = openssl("verify", "-x509_strict", "-crl_check", "-CAfile", ca, "-CRLfile", str(listed), chain)
    assert "certificate revoked" in told
    pair = ("-issuer", ca, "-cert", chain)
    openssl("ocsp", *pair, "-no_nonce", "-reqout", str(request))
    response.write_bytes(authority.ocsp_response(request.read_bytes()))
    told = openssl("ocsp", *pair, "-no_nonce", "-CAfile", ca, "-respin", str(response))
    assert "Response verify OK" in told
    assert "revoked" in told
    assert "keyCompromise" in told
