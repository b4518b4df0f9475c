"""The queue of the mail hops, and a message's whole way, as the console shows them."""

from __future__ import annotations

import asyncio
import smtplib
from pathlib import Path

import aiohttp

from portyard.console.card import CARD
from portyard.dns.card import CARD as DNS
from portyard.smtp.card import CARD as SMTP
from tests.support.asyncio_tests import run
from tests.support.console import Console, console
from tests.support.yard import open_yard, serve


def submit(port: int, to: str) -> None:
    with smtplib.SMTP("127.0.0.1", port, timeout=30) as client:
        client.login("alice@portyard.test", "alice-secret")
        client.sendmail(
            "alice@portyard.test", [to], f"From: alice@portyard.test\r\nTo: {to}\r\nSubject: on its way\r\n\r\nx\r\n"
        )


def test_where_no_hop_ever_ran_the_queue_is_empty(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            assert await client.get("sandboxes/default/queue") == []

    run(main())


def test_what_waits_is_shown(tmp_path: Path) -> None:
    async def main() -> None:
        async with (
            open_yard(tmp_path) as yard,
            serve(yard, CARD, SMTP, names=["msa", "console"]) as served,  # nobody to hand over to
            aiohttp.ClientSession() as http,
        ):
            client = Console(served, http)
            await asyncio.to_thread(submit, served.port("submission"), "bob@portyard.test")
            (entry,) = await client.get("sandboxes/default/queue")
            assert (entry["hop"], entry["state"]) == ("msa", "queued")
            assert (entry["sender"], entry["recipient"]) == ("alice@portyard.test", "bob@portyard.test")

    run(main())


def test_a_submitted_message_ends_a_wait(tmp_path: Path) -> None:
    async def main() -> None:
        async with (
            open_yard(tmp_path) as yard,
            serve(yard, DNS, SMTP, CARD) as served,
            aiohttp.ClientSession() as http,
        ):
            client = Console(served, http)
            waiting = asyncio.create_task(
                client.get("sandboxes/default/messages/wait?to=carol@foreign.example&timeout=30")
            )
            await asyncio.to_thread(submit, served.port("submission"), "carol@foreign.example")
            waited = await waiting
            assert waited["satisfied"] is True
            assert waited["messages"][0]["recipient"] == "carol@foreign.example"
            assert waited["messages"][0]["account"] == "carol@foreign.example"
            rooms = {session["room"] for session in await client.get("sandboxes/default/sessions")}
            assert rooms == {"smtp", "dns"}

    run(main())
