"""Which certificate a client gets: by the name that it asks for, by rule, and of which sandbox it is then."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from portyard.commons.scenario.parsing import parse_rule
from portyard.pop3.card import CARD
from tests.support.asyncio_tests import run
from tests.support.yard import Served, open_yard, serve

VERIFICATION = {
    "expired": "certificate has expired",
    "not-yet-valid": "certificate is not yet valid",
    "self-signed": "self-signed certificate",
    "untrusted-root": "self-signed certificate in certificate chain",
    "incomplete-chain": "unable to get local issuer certificate",
    "wrong-host": "Hostname mismatch",
    "wrong-usage": "certificate purpose",
}


@contextmanager
def shaken(served: Served, name: str, context: ssl.SSLContext | None = None) -> Iterator[ssl.SSLSocket]:
    raw = socket.create_connection(("127.0.0.1", served.port("pop3s")), 10)
    with raw, (context or served.client_context()).wrap_socket(raw, server_hostname=name) as secured:
        yield secured


def refusal(served: Served, name: str) -> str:
    with pytest.raises(ssl.SSLCertVerificationError) as caught, shaken(served, name):
        pass
    return caught.value.verify_message


@pytest.mark.parametrize(("name", "message"), VERIFICATION.items())
def test_a_name_asks_for_its_recipe(name: str, message: str, tmp_path: Path) -> None:
    async def go() -> None:
        async with open_yard(tmp_path) as yard, serve(yard, CARD) as served:
            told = await asyncio.to_thread(refusal, served, f"{name}.portyard.test")
            assert message.lower() in told.lower()

    run(go())


def test_a_rule_chooses_and_is_spent(tmp_path: Path) -> None:
    async def go() -> None:
        async with open_yard(tmp_path) as yard, serve(yard, CARD) as served:
            rule = {"on": "pop3.tls", "times": 1, "then": {"tls": "expired"}}
            await yard.rules.add("default", parse_rule(rule))
            assert "expired" in await asyncio.to_thread(refusal, served, "localhost")
            await asyncio.to_thread(greeting, served, "localhost")

    run(go())


def greeting(served: Served, name: str) -> bytes:
    with shaken(served, name) as secured:
        return secured.recv(100)


def test_a_rule_refuses_with_the_alert_it_names(tmp_path: Path) -> None:
    async def go() -> None:
        async with open_yard(tmp_path) as yard, serve(yard, CARD) as served:
            await yard.rules.add("default", parse_rule({"on": "pop3.tls", "then": {"refuse": "handshake_failure"}}))
            with pytest.raises(ssl.SSLError, match="handshake failure"):
                await asyncio.to_thread(greeting, served, "localhost")

    run(go())


def test_sni_joins_the_sandbox_and_its_names_verify(tmp_path: Path) -> None:
    async def go() -> None:
        async with open_yard(tmp_path) as yard, serve(yard, CARD) as served:
            await yard.sandboxes.create("t1")
            refuse = {"on": "pop3.greeting", "then": {"refuse": "-ERR t1 is closed today"}}
            await yard.rules.add("t1", parse_rule(refuse))
            assert await asyncio.to_thread(greeting, served, "pop3.t1.test") == b"-ERR t1 is closed today\r\n"
            assert (await asyncio.to_thread(greeting, served, "localhost")).startswith(b"+OK")
            assert "expired" in await asyncio.to_thread(refusal, served, "expired.t1.test")

    run(go())


def test_a_stalled_handshake_stalls(tmp_path: Path) -> None:
    async def go() -> None:
        async with open_yard(tmp_path) as yard, serve(yard, CARD) as served:
            await yard.rules.add("default", parse_rule({"on": "pop3.tls", "then": {"silence": True}}))
            started = threading.Event()

            def wait() -> None:
                raw = socket.create_connection(("127.0.0.1", served.port("pop3s")), 10)
                raw.settimeout(0.5)
                started.set()
                with raw, served.client_context().wrap_socket(raw, server_hostname="localhost"):
                    pass

            with pytest.raises(TimeoutError):
                await asyncio.to_thread(wait)
            assert started.is_set()

    run(go())


@pytest.mark.parametrize(("name", "clean"), [("localhost", True), ("no-close-notify.portyard.test", False)])
def test_the_end_is_said_or_not(name: str, clean: bool, tmp_path: Path) -> None:
    def end(served: Served) -> bool:
        context = served.client_context()
        context.check_hostname = False
        raw = socket.create_connection(("127.0.0.1", served.port("pop3s")), 10)
        with raw, context.wrap_socket(raw, server_hostname=name, suppress_ragged_eofs=False) as secured:
            secured.recv(200)
            secured.sendall(b"QUIT\r\n")
            secured.recv(200)
            try:
                return secured.recv(1) == b""
            except ssl.SSLEOFError:
                return False

    async def go() -> None:
        async with open_yard(tmp_path) as yard, serve(yard, CARD) as served:
            assert await asyncio.to_thread(end, served) is clean

    run(go())
