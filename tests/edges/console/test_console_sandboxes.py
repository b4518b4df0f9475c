"""A sandbox's life over the API: made, changed, reset, removed; its accounts and its time."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from portyard.commons.leasing.store import COUNTER as LEASES
from portyard.commons.mailstore.model import NoSuchMailboxError
from portyard.pop3.card import CARD as POP3
from tests.support.asyncio_tests import run
from tests.support.console import Console, console, speak
from tests.support.yard import open_yard


async def make(client: Console, name: str = "t1", account: str = "u1", **more: Any) -> dict[str, Any]:
    made: dict[str, Any] = await client.ask("POST", "sandboxes", 201, {"name": name, **more})
    await client.ask("POST", f"sandboxes/{name}/accounts", 201, {"name": account, "password": "pw1"})
    return made


def test_a_life(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            made = await make(client)
            assert made == {
                "name": "t1",
                "generation": made["generation"],
                "capture": "any",
                "domains": ["t1.test"],
                "magic": False,
            }
            changed = await client.ask(
                "PATCH", "sandboxes/t1", 200, {"capture": "own", "domains": ["Shop.Example"], "magic": True}
            )
            assert changed == {**made, "capture": "own", "domains": ["t1.test", "shop.example"], "magic": True}
            assert await client.get("sandboxes/t1") == changed
            await client.deliver("hello", "u1@t1.test")
            await client.ask("DELETE", "sandboxes/t1", 204)
            await client.problem("GET", "sandboxes/t1", 404)
            assert [each["name"] for each in await client.get("sandboxes")] == ["default"]
            again = await make(client)
            assert again["generation"] > made["generation"]
            assert await client.get("sandboxes/t1/messages") == []

    run(main())


def test_a_reset_empties_and_what_comes_later_is_new(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            made = await make(client)
            before = await client.yard.accounts.find("u1@t1.test")
            assert before is not None
            old = await client.deliver("old", "u1@t1.test")
            speak(client, "pop3", "NOOP", sandbox="t1")
            await client.ask("POST", "sandboxes/t1/rules", 201, {"on": "pop3.stat", "then": {"hang_up": True}})
            await client.ask("POST", "sandboxes/t1/clock", 200, {"freeze": "2030-01-02T03:04:05Z"})
            await client.ask("PUT", "sandboxes/t1/files/u1/a.txt", 201, data=b"a")
            for path in ("messages", "sessions", "events", "rules", "files/u1"):
                assert len(await client.get(f"sandboxes/t1/{path}")) > 0

            after = await client.ask("POST", "sandboxes/t1/reset", 200)
            assert after == {**made, "generation": after["generation"]}
            assert after["generation"] > made["generation"]
            for path in ("messages", "sessions", "events", "rules", "files/u1"):
                assert await client.get(f"sandboxes/t1/{path}") == []
            assert (await client.get("sandboxes/t1/clock"))["mode"] == "real"
            assert [each["name"] for each in await client.get("sandboxes/t1/accounts")] == ["u1"]
            await client.problem("GET", f"sandboxes/t1/messages/{old}", 404)

            with suppress(NoSuchMailboxError):  # the sweeper may have been here
                await client.yard.mail.append(before.id, "INBOX", b"Subject: late\r\n\r\n")  # accepted before the reset
            quiet = await client.get("sandboxes/t1/messages/wait?timeout=0.1&count=0")
            assert quiet["satisfied"] is True
            waiting = asyncio.create_task(client.get("sandboxes/t1/messages/wait?timeout=30"))
            new = await client.deliver("new", "u1@t1.test")
            assert [message["id"] for message in (await waiting)["messages"]] == [new]
            assert [message["subject"] for message in await client.get("sandboxes/t1/messages")] == ["new"]

    run(main())


def test_default_is_reset_but_never_removed(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            await client.deliver()
            await client.ask("POST", "sandboxes/default/reset", 200)
            assert await client.get("sandboxes/default/messages") == []
            problem = await client.problem("DELETE", "sandboxes/default", 409)
            assert problem["key"] == "sandbox"
            assert len(await client.get("sandboxes/default/accounts")) == 2

    run(main())


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "key", "value"),
    [
        ("POST", "sandboxes", {"name": "t1"}, 409, "name", "t1"),
        ("POST", "sandboxes", {"name": "default"}, 409, "name", "default"),
        ("POST", "sandboxes", {"name": "T_1"}, 422, "name", "T_1"),
        ("POST", "sandboxes", {"name": "-t"}, 422, "name", "-t"),
        ("POST", "sandboxes", {"name": ""}, 422, "name", ""),
        ("POST", "sandboxes", {"name": "a/b"}, 422, "name", "a/b"),
        ("POST", "sandboxes", {"name": "x" * 64}, 422, "name", "x" * 64),
        ("POST", "sandboxes", {"nme": "t2"}, 400, "nme", "t2"),
        ("POST", "sandboxes", {"name": "t2", "capture": "all"}, 422, "capture", "all"),
        ("POST", "sandboxes", {"name": "t2", "domains": ["t1.test"]}, 409, "domains", "t1.test"),
        ("POST", "sandboxes", {"name": "t2", "domains": ["a b"]}, 422, "domains", "a b"),
        ("POST", "sandboxes", {"name": "t2", "default_password": ""}, 422, "default_password", "«secret»"),
        ("PATCH", "sandboxes/t1", {"magic": "yes"}, 422, "magic", "yes"),
        ("PATCH", "sandboxes/nope", {}, 404, "sandbox", "nope"),
        ("POST", "sandboxes/nope/reset", None, 404, "sandbox", "nope"),
        ("POST", "sandboxes/t1/reset", {"hard": True}, 400, "body", '{"hard": true}'),
        ("DELETE", "sandboxes/nope", None, 404, "sandbox", "nope"),
        ("POST", "sandboxes/t1/clock", {}, 400, "body", {}),
        ("POST", "sandboxes/t1/clock", {"freeze": True, "real": True}, 400, "real", ["freeze", "real"]),
        ("POST", "sandboxes/t1/clock", {"freeze": "tomorrow"}, 422, "freeze", "tomorrow"),
        ("POST", "sandboxes/t1/clock", {"freeze": "2030-01-02T03:04:05"}, 422, "freeze", "2030-01-02T03:04:05"),
        ("POST", "sandboxes/t1/clock", {"advance": "-2h"}, 422, "advance", "-2h"),
        ("POST", "sandboxes/t1/clock", {"advance": "soon"}, 422, "advance", "soon"),
        ("POST", "sandboxes/t1/clock", {"advance": 1e300}, 422, "advance", 1e300),
        ("POST", "sandboxes/t1/clock", {"advance": "99999999h"}, 422, "advance", "99999999h"),
        ("POST", "sandboxes/t1/clock", {"freeze": "0001-01-01T00:00:00Z"}, 422, "freeze", "0001-01-01T00:00:00Z"),
        ("POST", "sandboxes/t1/clock", {"real": False}, 422, "real", False),
    ],
)
def test_refusals_name_key_and_value(
    tmp_path: Path, method: str, path: str, body: object, status: int, key: str | None, value: object
) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            await make(client)
            before = await client.get("sandboxes")
            problem = await client.problem(method, path, status, **({} if body is None else {"json": body}))
            assert (problem.get("key"), problem.get("value")) == (key, value)
            assert problem["detail"]
            assert problem["allowed"]
            assert await client.get("sandboxes") == before

    run(main())


def test_the_clock(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            await make(client)
            start = await client.get("sandboxes/t1/clock")
            assert (start["mode"], start["ahead_s"]) == ("real", 0)
            assert abs(datetime.fromisoformat(start["now"]) - datetime.now(UTC)) < timedelta(minutes=1)
            frozen = await client.ask("POST", "sandboxes/t1/clock", 200, {"freeze": "2030-01-02T03:04:05Z"})
            machine = datetime.fromisoformat(frozen.pop("machine"))
            assert abs(machine - datetime.now(UTC)) < timedelta(minutes=1)
            assert frozen == {"now": "2030-01-02T03:04:05Z", "mode": "frozen", "ahead_s": 0.0}
            moved = await client.ask("POST", "sandboxes/t1/clock", 200, {"advance": "2h"})
            assert moved["now"] == "2030-01-02T05:04:05Z"
            assert client.yard.clocks.of("t1").now() == datetime(2030, 1, 2, 5, 4, 5, tzinfo=UTC)
            assert (await client.get("sandboxes/default/clock"))["mode"] == "real"
            assert (await client.ask("POST", "sandboxes/t1/clock", 200, {"real": True}))["mode"] == "real"
            ahead = await client.ask("POST", "sandboxes/t1/clock", 200, {"advance": 90})
            assert (ahead["mode"], ahead["ahead_s"]) == ("ahead", 90.0)
            assert (await client.ask("POST", "sandboxes/t1/clock", 200, {"freeze": True}))["mode"] == "frozen"

    run(main())


def test_an_account_goes_with_its_mail_and_files(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path, POP3) as client:
            await client.ask("PUT", "sandboxes/default/files/bob/notes/a.txt", 201, data=b"mine")
            await client.deliver("hers", "bob@portyard.test")
            await client.ask("DELETE", "sandboxes/default/accounts/bob", 204)
            await client.problem("GET", "sandboxes/default/files/bob/notes/a.txt", 404)
            await client.ask("POST", "sandboxes/default/accounts", 201, {"name": "bob", "password": "new"})
            assert await client.get("sandboxes/default/files/bob") == []
            assert await client.get("sandboxes/default/messages") == []

    run(main())


def test_what_was_changed_of_default_outlives_a_restart(tmp_path: Path) -> None:
    """And another process that starts beside; new settings are heeded once."""

    async def main() -> None:
        async with console(tmp_path) as client:
            changes = {"capture": "own", "domains": ["portyard.test", "more.example"], "magic": True}
            changed = await client.ask("PATCH", "sandboxes/default", 200, changes)
            async with open_yard(tmp_path):
                assert await client.get("sandboxes/default") == changed
        async with console(tmp_path) as client:
            assert await client.get("sandboxes/default") == changed
            async with open_yard(tmp_path, domains=("new.example",)):
                told = await client.get("sandboxes/default")
                assert told == {
                    **changed,
                    "capture": "any",
                    "domains": ["portyard.test", "new.example"],
                    "magic": False,
                }

    run(main())


@pytest.mark.parametrize(
    ("gone", "status", "key"),
    [("sandboxes/t1", 404, "sandbox"), ("sandboxes/t1/leases/imap", 409, "service")],
    ids=["sandbox deleted", "lease given back"],
)
def test_a_lease_that_loses_what_it_was_for_while_it_is_pending(
    tmp_path: Path, gone: str, status: int, key: str
) -> None:
    """No process serves IMAP here: nobody ever opens the listener."""

    async def main() -> None:
        async with console(tmp_path) as client:
            await make(client)
            wanted = client.yard.watcher.watch_counter(LEASES)
            asked = asyncio.ensure_future(
                client.problem("POST", "sandboxes/t1/leases", status, json={"service": "imap"})
            )
            await anext(wanted)
            await client.ask("DELETE", gone, 204)
            problem = await asked
            assert problem["key"] == key
            assert problem["allowed"]

    run(main())
