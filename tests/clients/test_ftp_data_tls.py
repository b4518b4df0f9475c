"""Every recipe on FTPS data connections, to Python's ssl and to s_client: the control connection is good, the data connection isn't."""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from portyard.ftp import private
from tests.edges.tls.matrix import CLIENTS, FOR_EVER, LIMIT_S, STALL_S, VIEWS, Files, View
from tests.support.asyncio_tests import run
from tests.support.ftp import Client, Ftp, open_ftp

pytestmark = pytest.mark.client


def cells(*, openssl: bool = False) -> Iterator[object]:
    """Each recipe as each client sees it; s_client has no patience that could be set, and would wait for ever."""
    for recipe, views in VIEWS.items():
        for view in views:
            if not (openssl and recipe == "stalled"):
                yield pytest.param(recipe, view, id=f"{recipe}-{view.client}")


async def files_of(ftp: Ftp) -> Files:
    def make() -> Files:
        tls = ftp.yard.tls
        tls.crl_pem()
        folder = ftp.yard.state / "tls"
        return Files(
            folder / "ca.pem", folder / "crl.pem", tls.certificate_files(), tls.certificate_files("self_signed")
        )

    return await asyncio.to_thread(make)


async def listing(ftp: Ftp, recipe: str) -> tuple[Client, int]:
    """A control connection on which a listing was promised, and the port where its data connection is awaited."""
    await ftp.rule("tls", where={"channel": "data"}, tls=recipe)
    client = await ftp.logged_in(implicit=True)
    assert (await client.ask("MKD d")).startswith("257")
    return client, await client.passive()


def receive(
    port: int, context: ssl.SSLContext, limit_s: float, promised: threading.Event
) -> tuple[str, str | None, str]:
    """What goes wrong, the version, and the octets that came; whoever is impatient is so once they were promised."""
    with socket.create_connection(("127.0.0.1", port), LIMIT_S) as raw:
        raw.settimeout(limit_s)
        got, version = b"", None
        try:
            with context.wrap_socket(
                raw, server_hostname="localhost", suppress_ragged_eofs=False, do_handshake_on_connect=False
            ) as secure:
                if limit_s < LIMIT_S:
                    _knock(secure, promised)
                secure.do_handshake()
                version = secure.version()
                while piece := secure.recv(65_536):
                    got += piece
        except ssl.SSLCertVerificationError as error:
            return error.verify_message, version, ""
        except TimeoutError:
            return FOR_EVER, version, ""
        except ssl.SSLEOFError:
            return "ragged", version, got.decode()
        except ssl.SSLError as error:
            return str(error), version, got.decode()
        return "", version, got.decode()


async def received(
    client: Client, port: int, context: ssl.SSLContext, limit_s: float = LIMIT_S
) -> tuple[str, str | None, str]:
    """What comes of a listing that is promised."""
    promised = threading.Event()
    meeting = asyncio.create_task(asyncio.to_thread(receive, port, context, limit_s, promised))
    assert (await client.ask("NLST")).startswith("1")
    promised.set()
    return await meeting


def _knock(secure: ssl.SSLSocket, promised: threading.Event) -> None:
    """Say hello, and wait until there must be an answer: how long it takes to be promised is another matter."""
    try:
        secure.do_handshake()
    except TimeoutError:
        assert promised.wait(LIMIT_S)


def awaited(view: View) -> str:
    return view.error or ("" if view.said_bye else "ragged")


@pytest.mark.parametrize(("recipe", "view"), list(cells()))
def test_python(recipe: str, view: View, tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            context = CLIENTS[view.client].context(await files_of(ftp))
            client, port = await listing(ftp, recipe)
            limit_s = STALL_S if view.error == FOR_EVER else LIMIT_S
            error, version, got = await received(client, port, context, limit_s)
            assert awaited(view).lower() in error.lower()
            if view.error:
                assert view.error == FOR_EVER or (await client.reply()).startswith("522")
            else:
                assert (error, version, got) == (awaited(view), view.version, "d\r\n")
                assert (await client.reply()).startswith("226")
            if view.error != FOR_EVER:
                assert (await client.ask("NOOP")).startswith("200")
            steps = [event.fields["step"] for event in await ftp.events("tls") if event.fields["channel"] == "data"]
            assert steps[0] == "data hello"
            last = {"plaintext": "data plaintext", "stalled": "data hello"}.get(recipe)
            assert steps[-1] == (last or ("failed" if view.error else "data established"))

    run(go())


TRIES = 12
LOST_COUNT = 13
"""What curl always ends with where the handshake fails before the 1xx; and now and then where it had no processor until both were there."""


def known_to_curl() -> Iterator[object]:
    for recipe, views in VIEWS.items():
        view = next((view for view in views if view.client == "strict"), None)
        if view is not None and recipe != "stalled":
            yield pytest.param(recipe, view, id=recipe)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed (package curl)")
@pytest.mark.parametrize(("recipe", "view"), list(known_to_curl()))
def test_curl(recipe: str, view: View, tmp_path: Path) -> None:
    """It says its ClientHello before TYPE and LIST, and takes a handshake that fails before the 1xx for a port that can't be reached."""

    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            client, _ = await listing(ftp, recipe)
            await client.close()
            words = ["curl", "-sS", "--max-time", str(LIMIT_S), "--ssl-reqd", "--cacert", ftp.served.ca_file, "-l"]
            url = f"ftp://localhost:{ftp.served.port('ftp')}/"
            for _ in range(TRIES):
                process = await asyncio.create_subprocess_exec(
                    *words,
                    *("-u", "alice:alice-secret", url),
                    stdout=asyncio.subprocess.PIPE,
                    stderr=asyncio.subprocess.PIPE,
                )
                out, said = await process.communicate()
                if process.returncode != LOST_COUNT:
                    break
            if not view.error:
                assert (process.returncode, out.split()) == (0, [b"d"]), said
            elif view.alert is not None and view.alert[1] == "peer":
                assert process.returncode == 60, said  # the certificate isn't good
            else:
                assert process.returncode in (35, 56), said  # TLS went wrong

    run(go())


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl isn't installed")
@pytest.mark.parametrize(("recipe", "view"), list(cells(openssl=True)))
def test_openssl(recipe: str, view: View, tmp_path: Path) -> None:
    def s_client(port: int, words: list[str]) -> str:
        command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-ign_eof", *words]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=LIMIT_S, check=False)
        return (done.stdout + done.stderr).decode(errors="replace")

    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            words = CLIENTS[view.client].s_client(await files_of(ftp), "localhost")
            client, port = await listing(ftp, recipe)
            meeting = asyncio.create_task(asyncio.to_thread(s_client, port, words))
            assert (await client.ask("NLST")).startswith("1")
            printed = await meeting
            assert view.openssl.lower() in printed.lower(), printed
            assert (await client.reply()).startswith("522" if view.error else "226")

    run(go())


def test_an_alert_and_silence_where_a_data_connection_says_hello(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            await ftp.rule("tls", where={"channel": "data"}, refuse="unrecognized_name", delay="20ms", times=1)
            await ftp.rule("tls", where={"channel": "data"}, silence=True, times=1)
            client = await ftp.logged_in(implicit=True)
            error, *_ = await received(client, await client.passive(), client.context)
            assert "unrecognized name" in error.lower().replace("_", " ")
            assert (await client.reply()).startswith("522")
            monkeypatch.setattr(private, "HANDSHAKE_S", STALL_S)  # the server's patience, which ends the silence
            begun = time.monotonic()
            assert await received(client, await client.passive(), client.context) == ("ragged", None, "")
            assert time.monotonic() - begun >= STALL_S
            assert (await client.reply()).startswith("522")

    run(go())
