"""Operations on the testbed as a whole: its health, its ports, its keys, what it knows, and its numbers."""

from __future__ import annotations

import asyncio
import base64
import binascii
from http import HTTPStatus
from typing import Any

import msgspec

from portyard.commons.directory import entry_fields
from portyard.commons.importing import imported
from portyard.console import forms, personas, shapes
from portyard.console.calls import Answer, Call, Route
from portyard.console.card import CARD
from portyard.console.problems import ProblemError
from portyard.rooms import cards

PEM = "application/x-pem-file"
PKCS12 = "application/x-pkcs12"
JKS = "application/x-java-keystore"
CRL = "application/pkix-crl"
OCSP = "application/ocsp-response"
TEXT = "text/plain"
_HOST_KEYS = "ssh/known_hosts"  # in the state directory, written by the room that has the keys


async def health(call: Call) -> shapes.Health:
    """Whether every service is up that was asked for.

    Beside its own process's services the console knows of those that others have announced in the state directory. One that is alone in its
    process has a container of its own: it waits for all of the house, for others may not have begun yet.
    """
    directory = call.desk.yard.directory
    names = [service.name for card in cards() for service in card.services]
    if not directory.mine <= {service.name for service in CARD.services}:
        names = [name for name in names if name in directory.mine or directory.of(name)]
    services = [shapes.ServiceHealth(name, directory.alive(name)) for name in names]
    return shapes.Health(all(service.ready for service in services), services)


async def endpoints(call: Call) -> list[shapes.Endpoint]:
    """Every port."""
    return [msgspec.convert(entry_fields(endpoint), shapes.Endpoint) for endpoint in call.desk.yard.directory.all()]


async def ca_pem(call: Call) -> Answer:
    """The CA's certificate."""
    return Answer(call.desk.yard.tls.ca_pem, PEM, _saved("portyard-ca.pem"))


async def ca_p12(call: Call) -> Answer:
    """The CA's certificate as a PKCS#12 trust store, which Java takes as it is."""
    query: forms.PasswordQuery = call.query
    return Answer(
        await asyncio.to_thread(trust_store, call.desk.yard.tls.ca_pem, query.password),
        PKCS12,
        _saved("portyard-ca.p12"),
    )


async def ca_jks(call: Call) -> Answer:
    """The CA's certificate as a Java key store, for what is too old to take PKCS#12."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    from portyard.console.core import keystore

    query: forms.PasswordQuery = call.query
    certificate = x509.load_pem_x509_certificate(call.desk.yard.tls.ca_pem)
    made_ms = int(certificate.not_valid_before_utc.timestamp() * 1000)
    octets = keystore.trust_store(certificate.public_bytes(Encoding.DER), "portyard", query.password, made_ms)
    return Answer(octets, JKS, _saved("portyard-ca.jks"))


async def ca_crl(call: Call) -> Answer:
    """The certificates that the CA has taken back (RFC 5280 §5), where a certificate's distribution point says."""
    return Answer(await asyncio.to_thread(call.desk.yard.tls.crl_der), CRL, _saved("portyard-ca.crl"))


async def ocsp(call: Call) -> Answer:
    """Whether one certificate was taken back (RFC 6960); a malformed question gets OCSP's own word for it."""
    return Answer(await asyncio.to_thread(call.desk.yard.tls.ocsp_response, call.octets), OCSP, {})


async def ocsp_by_get(call: Call) -> Answer:
    """The same, with the question in the path: its DER in base64, URL-encoded (RFC 6960, appendix A.1)."""
    try:
        question = base64.b64decode(call.path["path"], validate=True)
    except (binascii.Error, ValueError):
        question = b""
    return Answer(await asyncio.to_thread(call.desk.yard.tls.ocsp_response, question), OCSP, {})


def trust_store(ca_pem: bytes, password: str) -> bytes:
    """A certificate as a PKCS#12 store (RFC 7292), marked as trusted in the way that Java asks for."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import BestAvailableEncryption
    from cryptography.hazmat.primitives.serialization.pkcs12 import PKCS12Certificate, serialize_java_truststore

    entry = PKCS12Certificate(x509.load_pem_x509_certificate(ca_pem), b"portyard")
    return serialize_java_truststore([entry], BestAvailableEncryption(password.encode()))


async def known_hosts(call: Call) -> Answer:
    """The SSH host keys as lines for a client's `known_hosts`."""
    path = call.desk.yard.state / _HOST_KEYS
    try:
        octets = await asyncio.to_thread(path.read_bytes)
    except FileNotFoundError:
        detail = "no SSH host keys have been made yet: the ssh service has never been up"
        raise ProblemError(HTTPStatus.NOT_FOUND, detail, key="path", value="known_hosts") from None
    return Answer(octets, TEXT, {})


async def get_metrics(call: Call) -> Answer:
    """The testbed's numbers for Prometheus."""
    metrics = await asyncio.to_thread(imported, "portyard.console.metrics")
    return Answer(await metrics.exposition(call.desk.yard), TEXT, {"Content-Type": metrics.CONTENT_TYPE})


async def openapi(call: Call) -> dict[str, Any]:
    """The description of this API."""
    module = await asyncio.to_thread(imported, "portyard.console.openapi")
    described: dict[str, Any] = await asyncio.to_thread(module.description)
    return described


def _saved(name: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="{name}"'}


ROUTES = (
    Route("GET", "/health", health, "Whether every service is up that was asked for", shapes.Health, also=(503,)),
    Route(
        "GET", "/endpoints", endpoints, "Every port, as the host and as other services reach it", list[shapes.Endpoint]
    ),
    Route("GET", "/ca.pem", ca_pem, "The CA's certificate", PEM),
    Route("GET", "/ca", ca_pem, "The CA's certificate", PEM),
    Route("GET", "/ca.p12", ca_p12, "The CA's certificate as a PKCS#12 trust store", PKCS12, forms.PasswordQuery),
    Route("GET", "/ca.jks", ca_jks, "The CA's certificate as a Java key store", JKS, forms.PasswordQuery),
    Route("GET", "/ca.crl", ca_crl, "The CA's list of revoked certificates", CRL),
    Route(
        "POST",
        "/ocsp",
        ocsp,
        "Whether a certificate was revoked",
        OCSP,
        reads={"application/ocsp-request": bytes},
    ),
    Route("GET", "/ocsp/{path}", ocsp_by_get, "Whether a certificate was revoked, asked for in the path", OCSP),
    Route("GET", "/known_hosts", known_hosts, "SSH host keys for known_hosts", TEXT),
    *personas.ROUTES,
    Route("GET", "/metrics", get_metrics, "Numbers for Prometheus", TEXT),
    Route("GET", "/openapi.json", openapi, "The description of this API", dict[str, Any]),
)
