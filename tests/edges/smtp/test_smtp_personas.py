"""What an independent client meets where the SMTP room is another kind of server."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import smtplib
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from portyard.dns.card import CARD as DNS
from portyard.smtp.card import CARD
from tests.support.asyncio_tests import run
from tests.support.talks import PASSWORD, USER
from tests.support.yard import Served, open_yard, serve

LETTER = "Subject: hello\r\n\r\nHello.\r\n"
PERSONAS = ["gmail", "exchange", "dovecot"]


def with_personas(tmp_path: Path, personas: dict[str, str], errand: Callable[[Served], object], **more: object) -> None:
    """Run a blocking errand against all the roles, each such a server by the settings."""

    async def go() -> None:
        async with open_yard(tmp_path, personas=personas, **more) as yard, serve(yard, CARD) as served:
            await asyncio.to_thread(errand, served)

    run(go())


@pytest.mark.parametrize("persona", PERSONAS)
def test_smtplib_submits_to_each(tmp_path: Path, persona: str) -> None:
    def errand(served: Served) -> None:
        with smtplib.SMTP("localhost", served.port("submission"), timeout=20) as client:
            client.ehlo()
            assert "auth" not in client.esmtp_features
            client.starttls(context=served.client_context())
            client.ehlo()
            assert client.esmtp_features["auth"].split() == ["PLAIN", "LOGIN"]
            client.login(USER, PASSWORD)
            assert client.sendmail(USER, ["bob@portyard.test"], LETTER) == {}

    with_personas(tmp_path, {"msa": persona}, errand)


@pytest.mark.parametrize("persona", PERSONAS)
def test_a_whole_room_passes_mail_on(tmp_path: Path, persona: str) -> None:
    """What is submitted goes through two more hops, which are such servers, too."""

    async def go() -> None:
        async with open_yard(tmp_path, personas={"smtp": persona}) as yard, serve(yard, CARD, DNS) as served:

            def errand() -> None:
                context = served.client_context()
                with smtplib.SMTP_SSL("localhost", served.port("submissions"), context=context, timeout=20) as client:
                    client.login(USER, PASSWORD)
                    assert client.sendmail(USER, ["bob@portyard.test"], LETTER) == {}

            bob = await yard.accounts.find("bob@portyard.test")
            assert bob is not None
            inbox = await yard.mail.mailbox(bob.id, "INBOX")
            assert inbox is not None
            watch = yard.watcher.watch(inbox.id)
            await asyncio.to_thread(errand)
            await asyncio.wait_for(anext(watch), 60)
            found = await yard.mail.mailbox(bob.id, "INBOX")
            assert found is not None
            assert found.messages == 1

    run(go())


def test_a_persona_for_one_role_alone(tmp_path: Path) -> None:
    def errand(served: Served) -> None:
        with smtplib.SMTP("localhost", served.port("smtp"), timeout=20) as client:
            assert b"at your service" in client.ehlo()[1]
        with smtplib.LMTP("localhost", served.port("lmtp")) as client:
            assert b"at your service" not in client.ehlo()[1]

    with_personas(tmp_path, {"mta": "gmail"}, errand)


def test_dovecot_s_lmtp(tmp_path: Path) -> None:
    def errand(served: Served) -> None:
        with smtplib.LMTP("localhost", served.port("lmtp")) as client:
            client.ehlo()
            assert client.mail("a@client.test")[0] == 250
            assert client.rcpt("bob@portyard.test") == (250, b"2.1.5 OK")
            code, text = client.data(LETTER)
            assert code == 250
            assert text.startswith(b"2.0.0 <bob@portyard.test> ")
            assert text.endswith(b" Saved")

    with_personas(tmp_path, {"mda": "dovecot"}, errand)


def test_exchange_waits_before_it_refuses(tmp_path: Path) -> None:
    async def go() -> None:
        async with open_yard(tmp_path, personas={"mta": "exchange"}) as yard, serve(yard, CARD) as served:
            loop = asyncio.get_running_loop()

            def errand() -> tuple[int, bytes]:
                with smtplib.SMTP("localhost", served.port("smtp"), timeout=20) as client:
                    return client.docmd("FOO")

            before = loop.time()
            assert await asyncio.to_thread(errand) == (500, b"5.3.3 Unrecognized command 'FOO'")
            assert loop.time() - before >= 5

    run(go())


def test_exchange_counts_an_address_s_connections(tmp_path: Path) -> None:
    def errand(served: Served) -> None:
        clients = [smtplib.SMTP("localhost", served.port("smtp"), timeout=20) for _ in range(20)]
        try:
            with pytest.raises(smtplib.SMTPConnectError, match="concurrent connections"):
                smtplib.SMTP("localhost", served.port("smtp"), timeout=20)
            clients.pop().quit()
            for _ in range(1000):  # the server may see later that it has left
                with contextlib.suppress(smtplib.SMTPConnectError):
                    clients.append(smtplib.SMTP("localhost", served.port("smtp"), timeout=20))
                    break
            assert len(clients) == 20
        finally:
            for client in clients:
                client.quit()

    with_personas(tmp_path, {"mta": "exchange"}, errand)


def test_gmail_takes_a_hundred_recipients(tmp_path: Path) -> None:
    def errand(served: Served) -> None:
        with smtplib.SMTP("localhost", served.port("smtp"), timeout=20) as client:
            recipients = [f"r{number}@portyard.test" for number in range(102)]
            refused = client.sendmail("a@client.test", recipients, LETTER)
            assert sorted(refused) == ["r100@portyard.test", "r101@portyard.test"]
            assert all(code == 452 for code, _ in refused.values())

    with_personas(tmp_path, {"mta": "gmail"}, errand)


@pytest.mark.client
@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize("persona", PERSONAS)
def test_curl_submits_to_each(tmp_path: Path, persona: str) -> None:
    letter = tmp_path / "letter.eml"
    letter.write_text(LETTER)

    def errand(served: Served) -> None:
        url = f"smtp://localhost:{served.port('submission')}/client.test"
        options = ["--ssl-reqd", "--cacert", served.ca_file, "-u", f"{USER}:{PASSWORD}", "--upload-file", str(letter)]
        envelope = ["--mail-from", USER, "--mail-rcpt", "bob@portyard.test"]
        command = ["curl", "-sS", "--max-time", "20", *options, *envelope, url]
        subprocess.run(command, capture_output=True, check=True, timeout=30)

    with_personas(tmp_path / "state", {"msa": persona}, errand)
