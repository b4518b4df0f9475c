"""The testbed as a whole over the API: keys, numbers, the token, what is bounded, the description."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import pkcs12
from prometheus_client.parser import text_string_to_metric_families

from portyard.console.routes import ROUTES
from portyard.ssh.card import CARD as SSH
from tests.support.asyncio_tests import run
from tests.support.console import console, speak


def test_the_ca_as_a_trust_store(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            octets = await client.raw("ca.p12")
            store = pkcs12.load_pkcs12(octets, b"changeit")
            (entry,) = store.additional_certs
            assert entry.certificate == x509.load_pem_x509_certificate(client.yard.tls.ca_pem)
            pkcs12.load_pkcs12(await client.raw("ca.p12?password=another"), b"another")
            problem = await client.problem("GET", "ca.p12?password=short", 422)
            assert problem["key"] == "password"
            (tmp_path / "ca.p12").write_bytes(octets)

    run(main())


def test_the_ca_as_a_java_key_store(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            octets = await client.raw("ca.jks?password=another")
            der = ssl.PEM_cert_to_DER_cert(client.yard.tls.ca_pem.decode())
            assert octets[:12] == bytes.fromhex("feedfeed 00000002 00000001")
            assert octets[-20 - len(der) : -20] == der
            keyed = "another".encode("utf-16-be") + b"Mighty Aphrodite" + octets[:-20]
            assert hashlib.sha1(keyed, usedforsecurity=False).digest() == octets[-20:]
            assert (await client.problem("GET", "ca.jks?password=short", 422))["key"] == "password"

    run(main())


@pytest.mark.client
@pytest.mark.skipif(shutil.which("keytool") is None, reason="keytool (a Java runtime's) is not installed")
@pytest.mark.parametrize("name", ["ca.p12", "ca.jks"])
def test_java_trusts_it(name: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            (tmp_path / name).write_bytes(await client.raw(name))

    run(main())
    command = ["keytool", "-list", "-keystore", str(tmp_path / name), "-storepass", "changeit"]
    listed = subprocess.run(command, capture_output=True, text=True, timeout=50, check=True).stdout
    assert "trustedCertEntry" in listed


def test_host_keys(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path / "without") as client:
            assert "never been up" in (await client.problem("GET", "known_hosts", 404))["detail"]
        async with console(tmp_path / "with", SSH) as client:
            text = (await client.raw("known_hosts")).decode()
            assert f"[127.0.0.1]:{client.served.port('ssh')}" in text
            assert "ssh-ed25519" in text

    run(main())


def test_metrics(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            speak(client, "pop3", "STAT")
            log = speak(client, "pop3", close=False)
            log.event("fault", verb="stat", rule="1", does=["hang_up"])
            await client.yard.journal.flush()
            await client.deliver("hello")
            await client.ask("POST", "sandboxes", 201, {"name": "t1"})
            await client.ask("POST", "sandboxes/t1/rules", 201, {"on": "pop3.stat", "then": {"hang_up": True}})
            async with client.http.get(f"{client.api}/metrics") as response:
                assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
                text = await response.text()
            found = {
                (sample.name, *sample.labels.values()): sample.value
                for family in text_string_to_metric_families(text)
                for sample in family.samples
            }
            assert found["portyard_sessions_opened_total", "pop3", "pop3"] == 2
            assert found["portyard_sessions_open", "pop3", "pop3"] == 1
            assert found["portyard_events_total", "command", "pop3", "pop3"] == 1
            assert found["portyard_rules_fired_total", "pop3", "pop3"] == 1
            assert found["portyard_messages",] == 1
            assert found["portyard_sandboxes",] == 2
            assert found["portyard_rules",] == 1
            assert found["portyard_journal_queue",] == 0
            assert found["portyard_service_up", "console"] == 1
            assert found["portyard_service_up", "imap"] == 0

    run(main())


def test_a_token(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path, token="s3cret") as client:
            for headers in (
                {},
                {"Authorization": "Bearer wrong"},
                {"Authorization": "Bearer"},
                {"Authorization": "s3cret"},
                {"Authorization": "Basic %%%"},
                {"Authorization": "Bearer s3crét"},
            ):
                async with client.http.get(f"{client.api}/sandboxes", headers=headers) as response:
                    assert response.status == 401
                    assert response.headers["WWW-Authenticate"].startswith("Bearer ")
                    problem = await response.json(content_type="application/problem+json")
                    assert problem["key"] == "Authorization"
                    assert "s3cret" not in json.dumps(problem)
            await client.problem("POST", "sandboxes", 401, json={"name": "t1"})
            await client.ask("GET", "sandboxes", 200, headers={"Authorization": "Bearer s3cret"})
            await client.ask("GET", "health", 503)
            _, response = await client.page("/", 401)
            assert response.headers["WWW-Authenticate"].startswith("Basic ")
            login = aiohttp.encode_basic_auth("me", "s3cret") if hasattr(aiohttp, "encode_basic_auth") else None
            headers = {"Authorization": login or aiohttp.BasicAuth("me", "s3cret").encode()}
            async with client.http.get(client.url, headers=headers) as response:
                assert response.status == 200
            assert len(await client.yard.sandboxes.list()) == 1

    run(main())


BODIES = [route for route in ROUTES if route.method in ("POST", "PUT", "PATCH") and "{path}" not in route.path]


@pytest.mark.parametrize("route", BODIES, ids=lambda route: f"{route.method} {route.path}")
def test_every_body_is_bounded(tmp_path: Path, route: Any) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(1 << 10):
            yield b" " * (1 << 16)

    async def main() -> None:
        async with console(tmp_path) as client:
            path = route.path.format(sandbox="default", id="1", name="a", type="A", room="pop3", persona="a").lstrip(
                "/"
            )
            announced = await client.problem(route.method, path, 413, data=io.BytesIO(b" " * ((1 << 20) + 1)))
            assert announced["key"] == "body"
            await client.problem(route.method, path, 413, data=endless())
            assert len(await client.yard.sandboxes.list()) == 1

    run(main())


def test_the_description_is_whole(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            described = await client.get("openapi.json")
            assert described["openapi"] == "3.1.0"
            listed = {(method.upper(), path) for path, methods in described["paths"].items() for method in methods}
            assert listed == {(route.method, route.path) for route in ROUTES}
            ids = [
                operation["operationId"] for methods in described["paths"].values() for operation in methods.values()
            ]
            assert len(set(ids)) == len(ids)
            schemas = described["components"]["schemas"]
            for name in _references(described):
                assert name in schemas
            real = schemas["ClockChange"]["properties"]["real"]["anyOf"]
            assert {"type": "boolean", "enum": [True]} in real
            for methods in described["paths"].values():
                for operation in methods.values():
                    assert operation["description"]
                    assert {"400", "421", "default"} <= operation["responses"].keys()

    run(main())


def _references(value: object) -> set[str]:
    if isinstance(value, dict):
        own = (
            {value["$ref"].rpartition("/")[2]}
            if str(value.get("$ref", "")).startswith("#/components/schemas/")
            else set()
        )
        return own.union(*(_references(inner) for inner in value.values()))
    return set().union(*(_references(inner) for inner in value)) if isinstance(value, list) else set()


def test_many_at_once(tmp_path: Path) -> None:
    """Two hundred sandboxes, made, filled, read and removed at the same time, never meet."""

    async def one(client: Any, number: int) -> None:
        name = f"w{number}"
        await client.ask("POST", "sandboxes", 201, {"name": name})
        await client.ask("POST", f"sandboxes/{name}/accounts", 201, {"name": "u", "password": "p"})
        await client.deliver(f"subject {number}", f"u@{name}.test")
        waited = await client.get(f"sandboxes/{name}/messages/wait?timeout=30")
        assert [message["subject"] for message in waited["messages"]] == [f"subject {number}"]
        await client.ask("POST", f"sandboxes/{name}/reset", 200)
        assert await client.get(f"sandboxes/{name}/messages") == []
        await client.ask("DELETE", f"sandboxes/{name}", 204)

    async def main() -> None:
        async with console(tmp_path) as client:
            await asyncio.gather(*(one(client, number) for number in range(200)))
            assert [each["name"] for each in await client.get("sandboxes")] == ["default"]

    run(main())


def test_a_request_that_is_none_is_refused_as_a_problem(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            long = await client.problem("GET", f"sandboxes?x={'y' * 40_000}", 414)
            assert "more than 32768" in long["detail"]

    run(main())


def test_what_certificates_lead_to_needs_no_token(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path, token="s3cret") as client:
            assert (await client.raw("ca.pem")).startswith(b"-----BEGIN CERTIFICATE-----")
            assert await client.raw("ca.crl")
            headers = {"Content-Type": "application/ocsp-request"}
            async with client.http.post(f"{client.api}/ocsp", data=b"no request", headers=headers) as response:
                assert (response.status, response.content_type) == (
                    200,
                    "application/ocsp-response",
                )  # malformedRequest
            for path in ("endpoints", "sandboxes", "ca.p12?password=x", "ca.pem/x"):
                await client.problem("GET", path, 401)

    run(main())
