"""The console serves what the certificates promise: the CA's list, and an answer by OCSP."""

from __future__ import annotations

import base64
import socket
import ssl
import urllib.request
from pathlib import Path
from urllib.parse import quote

import aiohttp
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from yarl import URL

from portyard.console.card import CARD
from portyard.testing import Testbed
from tests.support.asyncio_tests import run
from tests.support.yard import open_yard, serve


def test_a_revoked_certificate_is_on_the_list_and_answered_for(tmp_path: Path) -> None:
    async def go() -> None:
        async with open_yard(tmp_path) as yard, serve(yard, CARD) as served, aiohttp.ClientSession() as session:
            base = f"http://127.0.0.1:{served.port('console')}/api/v1"
            chain = yard.tls.certificate_files("revoked")[0].read_bytes()
            leaf, issuer = x509.load_pem_x509_certificate(chain), x509.load_pem_x509_certificate(yard.tls.ca_pem)
            async with session.get(f"{base}/ca.crl") as answer:
                assert answer.content_type == "application/pkix-crl"
                listed = x509.load_der_x509_crl(await answer.read())
            assert listed.get_revoked_certificate_by_serial_number(leaf.serial_number) is not None
            question = ocsp.OCSPRequestBuilder().add_certificate(leaf, issuer, SHA1()).build()
            der = question.public_bytes(Encoding.DER)
            headers = {"Content-Type": "application/ocsp-request"}
            async with session.post(f"{base}/ocsp", data=der, headers=headers) as answer:
                told = ocsp.load_der_ocsp_response(await answer.read())
            assert told.certificate_status is ocsp.OCSPCertStatus.REVOKED
            async with session.post(f"{base}/ocsp", data=b"nonsense", headers=headers) as answer:
                told = ocsp.load_der_ocsp_response(await answer.read())
            assert told.response_status is ocsp.OCSPResponseStatus.MALFORMED_REQUEST

    run(go())


def test_a_question_in_the_path_is_answered(tmp_path: Path) -> None:
    """Small questions may come by GET (RFC 6960, appendix A.1), from clients that have no token either."""

    async def go() -> None:
        async with (
            open_yard(tmp_path, token="deep-water") as yard,
            serve(yard, CARD) as served,
            aiohttp.ClientSession() as session,
        ):
            base = f"http://127.0.0.1:{served.port('console')}/api/v1/ocsp"
            chain = yard.tls.certificate_files("revoked")[0].read_bytes()
            leaf, issuer = x509.load_pem_x509_certificate(chain), x509.load_pem_x509_certificate(yard.tls.ca_pem)
            # Questions of which one has an octet that base64 writes as "/", and one as "+".
            for nonce in (b"\xff" * 9, b"\xfb\xef\xbe" * 3):
                builder = ocsp.OCSPRequestBuilder().add_certificate(leaf, issuer, SHA1())
                question = builder.add_extension(x509.OCSPNonce(nonce), critical=False).build()
                text = base64.b64encode(question.public_bytes(Encoding.DER)).decode()
                for path in (quote(text, safe=""), quote(text, safe="/+=")):
                    async with session.get(URL(f"{base}/{path}", encoded=True)) as answer:
                        assert (answer.status, answer.content_type) == (200, "application/ocsp-response")
                        told = ocsp.load_der_ocsp_response(await answer.read())
                    assert told.certificate_status is ocsp.OCSPCertStatus.REVOKED
                    assert told.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce == nonce
            for path in ("nonsense!", "MA", "", "%FF"):
                async with session.get(URL(f"{base}/{path}", encoded=True)) as answer:
                    told = ocsp.load_der_ocsp_response(await answer.read())
                assert told.response_status is ocsp.OCSPResponseStatus.MALFORMED_REQUEST

    run(go())


def test_who_asks_where_the_certificate_says_is_answered() -> None:
    """The ports are ephemeral, so that no usual place is meant."""
    with Testbed.embedded() as testbed:
        context = ssl.create_default_context(cadata=testbed.ca_pem)
        imap = testbed.default().imap
        with (
            socket.create_connection((imap.host, imap.tls_port)) as plain,
            context.wrap_socket(plain, server_hostname="revoked.portyard.test") as client,
        ):
            der = client.getpeercert(binary_form=True)
        assert der is not None
        leaf = x509.load_der_x509_certificate(der)
        (point,) = leaf.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
        assert point.full_name is not None
        with urllib.request.urlopen(point.full_name[0].value) as answer:
            listed = x509.load_der_x509_crl(answer.read())
        assert listed.get_revoked_certificate_by_serial_number(leaf.serial_number) is not None
        access = leaf.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value[0]
        assert access.access_location.value == point.full_name[0].value.replace("ca.crl", "ocsp")
