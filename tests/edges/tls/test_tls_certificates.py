"""Client certificates in the journal, where the matrix of tests/clients doesn't look: odd names, old versions, data connections."""

from __future__ import annotations

import asyncio
import datetime
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from portyard.commons.tls.authority import Authority
from tests.edges.tls.peers import serving, talk_with_ssl
from tests.support.asyncio_tests import run
from tests.support.ftp import Client, open_ftp

HOST = "127.0.0.1"
ODD = x509.Name(
    [
        x509.RelativeDistinguishedName([x509.NameAttribute(NameOID.COUNTRY_NAME, "NL")]),
        x509.RelativeDistinguishedName(
            [x509.NameAttribute(NameOID.ORGANIZATION_NAME, 'Sails, "Ropes" + Tar; <c\\o>')],
        ),
        x509.RelativeDistinguishedName(
            [
                x509.NameAttribute(NameOID.COMMON_NAME, "#harbour "),
                x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "Käpt'n"),
            ],
        ),
        x509.RelativeDistinguishedName([x509.NameAttribute(NameOID.TITLE, " Master")]),
    ]
)


def signed(folder: Path, authority: Authority) -> x509.Certificate:
    """A client's certificate of our CA, with a name that wants care; it lies in the folder with its key."""
    root = x509.load_pem_x509_certificate(authority.ca_pem)
    their = serialization.load_pem_private_key((authority.ca_path.with_name("ca.key")).read_bytes(), None)
    assert isinstance(their, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(ODD)
        .issuer_name(root.subject)
        .public_key(key.public_key())
        .serial_number(0x0ABC)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(their, hashes.SHA256())
    )
    own = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "odd.pem").write_bytes(own + made.public_bytes(serialization.Encoding.PEM))
    return made


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_name_that_wants_care(authority: Authority, tmp_path: Path, version: ssl.TLSVersion) -> None:
    made = signed(tmp_path, authority)

    async def go() -> None:
        async with serving(authority, "client_certificate_required") as served:
            client = authority.client_context()
            client.load_cert_chain(tmp_path / "odd.pem")
            client.maximum_version = version
            assert await asyncio.to_thread(talk_with_ssl, served.port, client) == b"hello"
            (agreed,) = served.events.of("handshake")
            assert agreed["peer_subject"] == made.subject.rfc4514_string({NameOID.TITLE: "title"})
            assert agreed["peer_issuer"] == made.issuer.rfc4514_string()
            assert agreed["peer_serial"] == "0ABC"  # whole octets, as the DER has them
            assert agreed["peer_fingerprint"] == made.fingerprint(hashes.SHA256()).hex()

    run(go())


@pytest.mark.parametrize("shows", [True, False])
@pytest.mark.parametrize("implicit", [True, False])
def test_on_ftps_control_and_data_connections(implicit: bool, shows: bool, tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            await ftp.rule("tls", times=None, tls="client_certificate_optional")
            context = ftp.served.client_context()
            if shows:
                context.load_cert_chain(*await asyncio.to_thread(ftp.yard.tls.certificate_files))
            port = ftp.served.port("ftps" if implicit else "ftp")
            own = {"ssl": context, "server_hostname": "localhost"} if implicit else {}
            client = Client(*await asyncio.open_connection(HOST, port, **own), context, HOST)
            assert (await client.reply()).startswith("220 ")
            if not implicit:
                assert (await client.ask("AUTH TLS")).startswith("234")
                await client.start_tls()
            await client.login()
            await client.ask("PBSZ 0")
            await client.ask("PROT P")
            await client.ask("MKD d")
            pipe = await client.data(tls=True)
            assert (await client.ask("NLST")).startswith("1")
            assert await pipe.reader.read() == b"d\r\n"
            await pipe.close()
            assert (await client.reply()).startswith("226")
            steps = {str(event.fields["step"]): event.fields for event in await ftp.handshakes()}
            for step in ("established", "data established"):
                found = {key: value for key, value in steps[step].items() if key.startswith("peer_")}
                assert bool(found) is shows
                assert not shows or (found["peer_subject"], found["peer_issuer"]) == (
                    "CN=Portyard,O=Portyard",
                    "CN=Portyard testbed CA,O=Portyard",
                )
            await client.close()

    run(go())
