"""The journal has the first octets of what data connections carried, as they went, and counts the others."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from portyard.commons.settings import Limits
from tests.support.asyncio_tests import run
from tests.support.ftp import LIMIT_S, Ftp, open_ftp

MANY = bytes(range(256)) * 3000


async def begun(ftp: Ftp) -> list[object]:
    """What the journal shows of each data connection."""
    await ftp.yard.journal.flush()
    return [event.fields.get("begun") for event in await ftp.events("transfer")]


def test_files_and_listings_both_ways(tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            client = await ftp.logged_in()
            await client.ask("TYPE I")
            await client.store("STOR a", b"one\ntwo\n")
            assert await client.fetch("RETR a") == b"one\ntwo\n"
            await client.ask("REST 4")
            assert await client.fetch("RETR a") == b"two\n"
            await client.ask("TYPE A")
            assert await client.fetch("RETR a") == b"one\r\ntwo\r\n"
            await client.store("STOR b", b"x\r\ny\r\n")  # as it went, not as it is stored
            assert await client.fetch("NLST") == b"a\r\nb\r\n"
            texts = ["one\ntwo\n", "one\ntwo\n", "two\n", "one\r\ntwo\r\n", "x\r\ny\r\n", "a\r\nb\r\n"]
            assert await begun(ftp) == [{"text": text} for text in texts]

    run(go())


def test_a_long_file_is_cut_and_counted(tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path, limits=Limits(journal_body=9)) as ftp:
            client = await ftp.logged_in()
            await client.ask("TYPE I")
            await client.store("STOR many", MANY)
            assert await client.fetch("RETR many") == MANY
            await client.store("STOR text", "ab€cd€efg".encode())  # the ninth octet is a character's second
            first = {"base64": "AAECAwQFBgcI", "unkept": len(MANY) - 9}
            assert await begun(ftp) == [first, first, {"text": "ab€cd", "unkept": 6}]

    run(go())


def test_secrets_are_blanked(tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            client = await ftp.logged_in()
            await client.store("STOR settings", b"password=hunter22\r\n")
            await client.fetch("RETR settings")
            assert await begun(ftp) == [{"text": "password=«secret, 8 bytes»\r\n"}] * 2

    run(go())


def test_none_is_wanted(tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path, limits=Limits(journal_body=0)) as ftp:
            client = await ftp.logged_in()
            await client.ask("TYPE I")
            await client.store("STOR a", b"12345")
            assert await client.fetch("RETR a") == b"12345"
            await client.fetch("NLST")
            assert await begun(ftp) == [None] * 3

    run(go())


@pytest.mark.parametrize("kind", ["I", "A"])
def test_what_tls_carried_is_shown_as_it_was_before(kind: str, tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            client = await ftp.logged_in(implicit=True)
            await client.ask(f"TYPE {kind}")
            for command, data in (("STOR f", b"sent"), ("RETR f", b"")):
                pipe = await client.data(tls=True)
                assert (await client.ask(command)).startswith("1")
                pipe.writer.write(data)
                if not data:
                    assert await asyncio.wait_for(pipe.reader.read(), LIMIT_S) == b"sent"
                await pipe.close()
                assert (await client.reply()).startswith("226")
            assert await begun(ftp) == [{"text": "sent"}] * 2

    run(go())


def test_of_a_transfer_that_a_rule_broke_off_what_went(tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            await ftp.rule("data", where={"octets": ">4095"}, refuse="426 enough")
            client = await ftp.logged_in()
            await client.ask("TYPE I")
            await client.store("STOR many", b"z" * 20_000)
            (shown,) = await begun(ftp)
            (transfer,) = await ftp.events("transfer")
            assert shown == {"text": "z" * 1024, "unkept": int(str(transfer.fields["bytes"])) - 1024}
            assert not transfer.fields["complete"]

    run(go())
