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
from portyard.commons.tls.authority import Authority
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
    raw = socket.create_connection(("127.0.0.1", served.port("pop3s")), 60)
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


def test_a_sandbox_may_be_called_good(tmp_path: Path) -> None:
    async def go() -> None:
        async with open_yard(tmp_path) as yard, serve(yard, CARD) as served:
            await yard.sandboxes.create("good", domains=("good.example",))
            for name in ("good.test", "good.example", "pop3.good.test"):
                refuse = {"on": "pop3.greeting", "times": 1, "then": {"refuse": "-ERR good is closed today"}}
                await yard.rules.add("good", parse_rule(refuse))
                assert await asyncio.to_thread(greeting, served, name) == b"-ERR good is closed today\r\n"
            assert "expired" in await asyncio.to_thread(refusal, served, "expired.good.test")

    run(go())


def test_a_stalled_handshake_stalls(tmp_path: Path) -> None:
    async def go() -> None:
        async with open_yard(tmp_path) as yard, serve(yard, CARD) as served:
            await yard.rules.add("default", parse_rule({"on": "pop3.tls", "then": {"silence": True}}))
            started = threading.Event()

            def wait() -> None:
                raw = socket.create_connection(("127.0.0.1", served.port("pop3s")), 60)
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
        raw = socket.create_connection(("127.0.0.1", served.port("pop3s")), 60)
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


def refused(port: int, name: str, preamble: bytes = b"") -> str:
    """What a client's handshake fails with; after `preamble` and one line of answer to it, where the port upgrades."""
    with socket.create_connection(("127.0.0.1", port), 60) as raw:
        if preamble:
            raw.recv(1000)
            raw.sendall(preamble)
            raw.recv(1000)
        with pytest.raises(ssl.SSLError) as caught:
            ssl.create_default_context().wrap_socket(raw, server_hostname=name)
    return str(caught.value)


BY_RULE = [{"on": "pop3.tls", "then": {"tls": "plaintext"}}, {"on": "pop3.connect", "then": {"tls": "plaintext"}}]


@pytest.mark.parametrize("rule", [None, *BY_RULE], ids=["by name", "at the handshake", "at connect"])
@pytest.mark.parametrize("port", ["pop3s", "pop3"])
def test_plaintext_answers_the_hello(port: str, rule: dict[str, object] | None, tmp_path: Path) -> None:
    async def go() -> None:
        async with open_yard(tmp_path) as yard, serve(yard, CARD) as served:
            if rule:
                await yard.rules.add("default", parse_rule(rule))
            name = "localhost" if rule else "plaintext.portyard.test"
            preamble = b"STLS\r\n" if port == "pop3" else b""
            told = await asyncio.to_thread(refused, served.port(port), name, preamble)
            assert "wrong version number" in told.lower()
            await yard.journal.flush()
            (session,) = await yard.journal.sessions("default")
            events = await yard.journal.events(session.id)
            assert "plaintext" in [event.fields["step"] for event in events if event.kind == "tls"]

    run(go())


def test_plaintext_at_connect_greets_whoever_only_listens(tmp_path: Path) -> None:
    def listen(served: Served) -> bytes:
        with socket.create_connection(("127.0.0.1", served.port("pop3s")), 60) as raw:
            return raw.recv(100)

    async def go() -> None:
        async with open_yard(tmp_path) as yard, serve(yard, CARD) as served:
            await yard.rules.add("default", parse_rule({"on": "pop3.connect", "then": {"tls": "plaintext"}}))
            assert (await asyncio.to_thread(listen, served)).startswith(b"+OK")

    run(go())


def test_plaintext_after_a_hello_is_the_rooms_own(tmp_path: Path) -> None:
    """What a server does that was never told of TLS: it greets, and takes the ClientHello for a command."""

    def hear(served: Served) -> bytes:
        outgoing, heard = ssl.MemoryBIO(), b""
        client = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost")
        with pytest.raises(ssl.SSLWantReadError):
            client.do_handshake()
        with socket.create_connection(("127.0.0.1", served.port("pop3s")), 60) as raw:
            raw.sendall(outgoing.read() + b"\r\nQUIT\r\n")
            while octets := raw.recv(4096):
                heard += octets
        return heard

    async def go() -> None:
        async with open_yard(tmp_path) as yard, serve(yard, CARD) as served:
            await yard.rules.add("default", parse_rule({"on": "pop3.tls", "then": {"tls": "plaintext"}}))
            heard = await asyncio.to_thread(hear, served)
            assert heard.startswith(b"+OK")
            assert b"-ERR" in heard
            assert heard.endswith(b"\r\n")

    run(go())


@pytest.mark.parametrize("by", ["connect", "tls"])
def test_a_rule_at_connect_chooses_too_and_the_handshakes_own_wins(by: str, tmp_path: Path) -> None:
    async def go() -> None:
        async with open_yard(tmp_path) as yard, serve(yard, CARD) as served:
            await yard.rules.add("default", parse_rule({"on": "pop3.connect", "then": {"tls": "expired"}}))
            if by == "tls":
                await yard.rules.add("default", parse_rule({"on": "pop3.tls", "then": {"tls": "self_signed"}}))
            told = await asyncio.to_thread(refusal, served, "localhost")
            assert ("self-signed" if by == "tls" else "expired") in told

    run(go())


def test_a_context_is_never_made_on_the_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the first one, nor one whose leaf gets a sandbox's name."""
    where: list[bool] = []
    made = Authority._make_context

    def watched(*arguments: object) -> ssl.SSLContext:
        where.append(threading.current_thread() is threading.main_thread())
        return made(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Authority, "_make_context", watched)

    async def go() -> None:
        async with open_yard(tmp_path) as yard, serve(yard, CARD) as served:
            assert not where  # nothing is warmed at the start
            await yard.sandboxes.create("t1")
            for name in ("localhost", "pop3.t1.test", "localhost", "intermediate.portyard.test"):
                await asyncio.to_thread(greeting, served, name)
            assert len(where) >= 3
            assert not any(where)

    run(go())
