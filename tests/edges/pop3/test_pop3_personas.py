"""What an independent client meets where the POP3 room is another kind of server."""

from __future__ import annotations

import asyncio
import poplib
import shutil
import subprocess
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from portyard.commons.scenario.parsing import make_rule
from portyard.commons.scenario.personas import Wardrobe
from portyard.pop3.card import CARD
from tests.support.asyncio_tests import run
from tests.support.talks import PASSWORD, USER, deliver
from tests.support.yard import Served, open_yard, serve


def with_persona(
    tmp_path: Path, persona: str, errand: Callable[[Served], object], mail: str = "two-short.mbox"
) -> None:
    """Run a blocking errand against a whole room that is such a server by its settings."""

    async def go() -> None:
        async with open_yard(tmp_path, personas={"pop3": persona}) as yard, serve(yard, CARD) as served:
            if mail:
                await deliver(yard, mail)
            await asyncio.to_thread(errand, served)

    run(go())


def connected(served: Served) -> closing[poplib.POP3]:
    return closing(poplib.POP3_SSL("localhost", served.port("pop3s"), context=served.client_context(), timeout=20))


def client_of(served: Served, login: str = USER) -> poplib.POP3:
    client = poplib.POP3_SSL("localhost", served.port("pop3s"), context=served.client_context(), timeout=20)
    try:
        client.user(login)
        client.pass_(PASSWORD)
    except poplib.error_proto:
        client.close()
        raise
    return client


def stored(served: Served) -> int:
    async def count() -> int:
        account = await served.yard.accounts.find(USER)
        assert account is not None
        inbox = await served.yard.mail.mailbox(account.id, "INBOX")
        assert inbox is not None
        return inbox.messages

    return asyncio.run(count())


def test_gmail_shows_a_message_once_and_keeps_it(tmp_path: Path) -> None:
    def errand(served: Served) -> None:
        first = client_of(served)
        assert first.getwelcome().startswith(b"+OK Gpop ready for requests from 127.0.0.1 ")
        assert first.stat()[0] == 2
        assert first.uidl(1).split()[2].startswith(b"GmailId")
        other = client_of(served)  # several at once
        assert other.stat()[0] == 2
        other.quit()
        assert first.retr(1)[0] == b"+OK message follows"
        first.quit()
        second = client_of(served)
        assert second.stat()[0] == 1, "the one that was retrieved isn't shown"
        second.dele(1)
        second.rset()
        second.dele(1)
        second.quit()
        third = client_of(served)
        assert third.stat() == (0, 0)
        third.quit()
        again = client_of(served, f"recent:{USER}")
        assert again.stat()[0] == 2, "recent mode shows them again"
        again.quit()
        assert stored(served) == 2

    with_persona(tmp_path, "gmail", errand)


def test_gmail_s_recent_days_are_the_sandbox_s(tmp_path: Path) -> None:
    async def go() -> None:
        async with open_yard(tmp_path, personas={"pop3": "gmail"}) as yard, serve(yard, CARD) as served:
            await deliver(yard, "two-short.mbox")
            await yard.clocks.advance("default", timedelta(days=31))

            def errand() -> tuple[int, int]:
                with closing(client_of(served, f"recent:{USER}")) as recent, closing(client_of(served)) as usual:
                    return recent.stat()[0], usual.stat()[0]

            assert await asyncio.to_thread(errand) == (0, 2)

    run(go())


def test_a_session_that_breaks_off_hides_nothing(tmp_path: Path) -> None:
    def errand(served: Served) -> None:
        client = client_of(served)
        client.retr(1)
        client.dele(2)
        client.close()
        with closing(client_of(served)) as another:
            assert another.stat()[0] == 2

    with_persona(tmp_path, "gmail", errand)


def test_gmail_s_seats(tmp_path: Path) -> None:
    def errand(served: Served) -> None:
        clients = [client_of(served) for _ in range(10)]
        with pytest.raises(poplib.error_proto, match="Too many connections"):
            client_of(served)
        clients.pop().quit()
        clients.append(client_of(served))
        for client in clients:
            client.quit()

    with_persona(tmp_path, "gmail", errand, mail="")


def test_who_finds_the_maildrop_in_use_takes_no_seat(tmp_path: Path) -> None:
    def errand(served: Served) -> None:
        first = client_of(served)
        with connected(served) as second, connected(served) as third:
            for each in (second, third):
                each.user(USER)
                with pytest.raises(poplib.error_proto, match="in use by another session"):
                    each.pass_(PASSWORD)
        first.quit()

    Wardrobe(tmp_path).put(CARD, "two", {"limits": {"connections": 2}})
    with_persona(tmp_path, "two", errand, mail="")


def test_exchange_s_sizes_are_estimates(tmp_path: Path) -> None:
    def errand(served: Served) -> None:
        client = client_of(served)
        told = int(client.list(1).split()[2])
        octets = sum(len(line) + 2 for line in client.retr(1)[1])
        assert told == octets + octets * 3 // 100
        assert client.stat()[1] == sum(int(line.split()[1]) for line in client.list()[1])
        client.quit()

    with_persona(tmp_path, "exchange", errand)


def test_exchange_s_lines_are_short(tmp_path: Path) -> None:
    def errand(served: Served) -> None:
        with connected(served) as client:
            client.user("a" * 500)
            with pytest.raises(poplib.error_proto, match="longer than 512 octets"):
                client.user("a" * 510)

    with_persona(tmp_path, "exchange", errand, mail="")


def test_dovecot_takes_its_time_after_a_wrong_password(tmp_path: Path) -> None:
    async def go() -> None:
        async with open_yard(tmp_path, personas={"pop3": "dovecot"}) as yard, serve(yard, CARD) as served:
            loop = asyncio.get_running_loop()

            def errand() -> None:
                with connected(served) as client:
                    client.user(USER)
                    with pytest.raises(poplib.error_proto, match=r"-ERR \[AUTH\] Authentication failed\."):
                        client.pass_("wrong")

            before = loop.time()
            await asyncio.to_thread(errand)
            assert loop.time() - before >= 2

    run(go())


@pytest.mark.client
@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize("persona", ["gmail", "exchange", "dovecot"])
def test_curl_fetches_from_each(tmp_path: Path, persona: str) -> None:
    def errand(served: Served) -> None:
        url = f"pop3s://localhost:{served.port('pop3s')}/1"
        command = ["curl", "-sS", "--max-time", "20", "--cacert", served.ca_file, "-u", f"{USER}:{PASSWORD}", url]
        got = subprocess.run(command, capture_output=True, check=True, timeout=30)
        assert b"High water" in got.stdout

    with_persona(tmp_path, persona, errand)


def test_a_rule_goes_before_the_settings(tmp_path: Path) -> None:
    async def go() -> None:
        async with open_yard(tmp_path, personas={"pop3": "gmail"}) as yard, serve(yard, CARD) as served:
            await yard.rules.add("default", make_rule("pop3.connect", {"persona": "dovecot"}, times=1))

            def greeting() -> bytes:
                client = poplib.POP3("localhost", served.port("pop3"), timeout=20)
                client.close()
                return client.getwelcome()

            assert await asyncio.to_thread(greeting) == b"+OK Dovecot ready."
            assert b"Gpop" in await asyncio.to_thread(greeting)

    run(go())
