"""Every recipe as stock clients meet it."""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import Any

import pytest

from portyard.commons.tls.authority import Authority
from portyard.commons.tls.recipes import RECIPES, ClientCertificate, recipe_for_host
from tests.edges.tls.conftest import Run
from tests.edges.tls.peers import careless, output_of, serving, strict, talk_with_ssl

OK = "Verify return code: 0 (ok)"
VERDICTS = {  # recipe → what s_client says of the certificate, what Python says
    "good": (OK, None),
    "rsa": (OK, None),
    "intermediate": (OK, None),
    "no_tickets": (OK, None),
    "expired": ("certificate has expired", "certificate has expired"),
    "not_yet_valid": ("certificate is not yet valid", "certificate is not yet valid"),
    "wrong_host": ("hostname mismatch", "Hostname mismatch"),
    "self_signed": ("self-signed certificate", "self-signed certificate"),
    "untrusted_root": ("self-signed certificate in certificate chain", "self-signed certificate in certificate chain"),
    "incomplete_chain": ("unable to verify the first certificate", "unable to get local issuer certificate"),
    "wrong_usage": ("unsuitable certificate purpose", "unsuitable certificate purpose"),
}


@pytest.mark.parametrize("recipe", sorted(VERDICTS))
def test_python_and_openssl_judge_it(authority: Authority, recipe: str) -> None:
    asyncio.run(judge(authority, recipe, *VERDICTS[recipe]))


async def judge(authority: Authority, recipe: str, openssl: str, python: str | None) -> None:
    async with serving(authority, recipe) as served:
        _, printed = await output_of(
            *("openssl", "s_client", "-connect", f"localhost:{served.port}", "-CAfile", str(authority.ca_path)),
            *("-verify_hostname", "localhost", "-x509_strict"),
        )
        assert openssl in printed, printed
        if python is None:
            assert await asyncio.to_thread(talk_with_ssl, served.port, strict(authority)) == b"hello"
        else:
            with pytest.raises(ssl.SSLCertVerificationError, match=python):
                await asyncio.to_thread(talk_with_ssl, served.port, strict(authority))
            failed = served.events.of("failed") or [await served.events.first("failed")]
            assert failed[-1]["alert_from"] == "peer"  # the client told us why


@pytest.mark.parametrize(
    ("recipe", "offer", "version"),
    [
        ("good", {}, "TLSv1.3"),
        ("good", {"maximum_version": ssl.TLSVersion.TLSv1_2}, "TLSv1.2"),
        ("tls12_only", {}, "TLSv1.2"),
        ("tls13_only", {}, "TLSv1.3"),
        ("tls10_only", {"minimum_version": ssl.TLSVersion.TLSv1}, "TLSv1"),
        ("tls11_only", {"minimum_version": ssl.TLSVersion.TLSv1}, "TLSv1.1"),
        ("weak_key", {}, "TLSv1.3"),
    ],
)
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1 is deprecated")
def test_versions(authority: Authority, recipe: str, offer: dict[str, Any], version: str) -> None:
    async def test() -> None:
        async with serving(authority, recipe) as served:
            client = careless(0)
            for name, value in offer.items():
                setattr(client, name, value)
            assert await asyncio.to_thread(talk_with_ssl, served.port, client) == b"hello"
            assert served.events.of("handshake")[0]["version"] == version

    asyncio.run(test())


ALERTS: list[tuple[str, dict[str, Any], str, str]] = [
    ("tls12_only", {"minimum_version": ssl.TLSVersion.TLSv1_3}, "protocol_version", "TLSV1_ALERT_PROTOCOL_VERSION"),
    ("tls13_only", {"maximum_version": ssl.TLSVersion.TLSv1_2}, "protocol_version", "TLSV1_ALERT_PROTOCOL_VERSION"),
    (
        "good",
        {"ciphers": "AES128-SHA", "maximum_version": ssl.TLSVersion.TLSv1_2},
        "handshake_failure",
        "HANDSHAKE_FAILURE",
    ),
    ("client_certificate_required", {}, "certificate_required", "CERTIFICATE_REQUIRED"),
    (
        "client_certificate_required",
        {"maximum_version": ssl.TLSVersion.TLSv1_2},
        "handshake_failure",
        "HANDSHAKE_FAILURE",
    ),
]


@pytest.mark.parametrize(("recipe", "offer", "alert", "reason"), ALERTS)
def test_the_alert_arrives_at_python(
    authority: Authority, run: Run, recipe: str, offer: dict[str, Any], alert: str, reason: str
) -> None:
    async def test() -> None:
        async with serving(authority, recipe) as served:
            client = careless()
            for name, value in offer.items():
                client.set_ciphers(value) if name == "ciphers" else setattr(client, name, value)
            with pytest.raises(ssl.SSLError, match=reason):
                await asyncio.to_thread(talk_with_ssl, served.port, client, b"x" * 300_000)
            (failed,) = served.events.of("failed")
            assert (failed["alert"], failed["alert_from"], failed["stage"]) == (alert, "us", "handshake")
            assert not served.apps

    run(test())


@pytest.mark.parametrize(
    ("recipe", "options", "words"),
    [
        ("tls12_only", ["-tls1_3"], "alert protocol version"),
        ("tls13_only", ["-tls1_2"], "alert protocol version"),
        ("good", ["-tls1_2", "-cipher", "AES128-SHA"], "alert handshake failure"),
        ("client_certificate_required", [], "alert certificate required"),
        ("client_certificate_required", ["-tls1_2"], "alert handshake failure"),
    ],
)
def test_the_alert_arrives_at_openssl(
    authority: Authority, run: Run, recipe: str, options: list[str], words: str
) -> None:
    async def test() -> None:
        async with serving(authority, recipe) as served:
            where = f"localhost:{served.port}"
            _, printed = await output_of(
                "openssl", "s_client", "-ign_eof", "-connect", where, *options, stdin=b"hello\n" * 1000
            )
            assert words in printed, printed

    run(test())


@pytest.mark.parametrize("recipe", ["client_certificate_required", "client_certificate_optional"])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_our_own_client_certificate_is_taken(authority: Authority, recipe: str, version: ssl.TLSVersion) -> None:
    async def test() -> None:
        async with serving(authority, recipe) as served:
            client = authority.client_context(with_certificate=True)
            client.maximum_version = version
            assert await asyncio.to_thread(talk_with_ssl, served.port, client) == b"hello"
            agreed = served.events.of("handshake")[0]
            assert agreed["peer_subject"] == "CN=Portyard,O=Portyard"
            assert len(agreed["peer_fingerprint"]) == 64

    asyncio.run(test())


def test_optional_takes_none_as_well(authority: Authority) -> None:
    async def test() -> None:
        async with serving(authority, "client_certificate_optional") as served:
            assert await asyncio.to_thread(talk_with_ssl, served.port, authority.client_context()) == b"hello"
            assert served.events.of("handshake")[0]["peer_subject"] is None

    asyncio.run(test())


@pytest.mark.parametrize("recipe", ["self_signed", "expired", "not_yet_valid", "wrong_usage"])
def test_a_wrong_client_certificate_is_told_so(authority: Authority, run: Run, recipe: str) -> None:
    alert = {
        "self_signed": "unknown_ca",
        "expired": "certificate_expired",
        "not_yet_valid": "bad_certificate",
        "wrong_usage": "unsupported_certificate",
    }[recipe]

    async def test() -> None:
        async with serving(authority, "client_certificate_required") as served:
            client = authority.client_context()
            client.load_cert_chain(*authority.certificate_paths(recipe))
            with pytest.raises(ssl.SSLError, match=alert.upper()):
                await asyncio.to_thread(talk_with_ssl, served.port, client)
            (failed,) = served.events.of("failed")
            assert (failed["alert"], failed["alert_from"]) == (alert, "us")

    run(test())


def test_sni_chooses_versions_and_demands(authority: Authority) -> None:
    async def test() -> None:
        def choose(hello: Any) -> ssl.SSLContext:
            found = recipe_for_host(hello.server_name)
            return authority.context(found.name if found else "good")

        async with serving(authority, choose=choose) as served:
            for host, version in (("tls12-only.portyard.test", "TLSv1.2"), ("anything.portyard.test", "TLSv1.3")):
                assert await asyncio.to_thread(talk_with_ssl, served.port, strict(authority), b"hi", host) == b"hi"
                assert served.events.of("handshake")[-1]["version"] == version
                assert served.events.of("handshake")[-1]["server_name"] == host
            with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
                await asyncio.to_thread(talk_with_ssl, served.port, strict(authority), b"hi", "expired.portyard.test")
            host = "client-certificate-required.portyard.test"
            with pytest.raises(ssl.SSLError, match="CERTIFICATE_REQUIRED"):
                await asyncio.to_thread(talk_with_ssl, served.port, strict(authority), b"hi", host)

    asyncio.run(test())


def test_recipe_names_as_host_names() -> None:
    assert recipe_for_host("wrong-host.portyard.test") is RECIPES["wrong_host"]
    assert recipe_for_host("Expired.t1.test") is RECIPES["expired"]
    assert recipe_for_host("wrong_host.portyard.test") is None
    assert recipe_for_host("imap.portyard.test") is None
    assert recipe_for_host(None) is None


def test_every_recipe_is_described_and_asks_what_it_says() -> None:
    assert all(recipe.says and recipe.name == name for name, recipe in RECIPES.items())
    assert RECIPES["client_certificate_required"].client_certificate is ClientCertificate.REQUIRED
    assert {RECIPES[name].files for name in ("good", "tls12_only", "tls13_only", "no_tickets")} == {"good"}
    assert RECIPES["expired"].files == "expired"


@pytest.mark.parametrize(("recipe", "resumed"), [("good", True), ("tls12_only", True), ("no_tickets", False)])
def test_sessions_are_resumed_where_tickets_are_given(authority: Authority, recipe: str, resumed: bool) -> None:
    async def test() -> None:
        async with serving(authority, recipe) as served:
            context = authority.client_context()
            await asyncio.to_thread(twice, served.port, context)
            assert [each["resumed"] for each in served.events.of("handshake")] == [False, resumed]

    def twice(port: int, context: ssl.SSLContext) -> None:
        session = None
        for _ in range(2):
            with (
                socket.create_connection(("127.0.0.1", port)) as plain,
                context.wrap_socket(plain, server_hostname="localhost", session=session) as secure,
            ):
                secure.sendall(b"x")
                assert secure.recv(1) == b"x"
                session = secure.session

    asyncio.run(test())
