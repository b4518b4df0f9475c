"""Personas over the API: brought, shown, replaced, refused whole, taken away, and met by the next connection."""

from __future__ import annotations

import asyncio
import imaplib
import json
from pathlib import Path

import pytest

from portyard.imap.card import CARD as IMAP
from portyard.rooms import cards
from tests.support.asyncio_tests import run
from tests.support.console import console

TOML = {"Content-Type": "application/toml"}
MINE = 'name = "mine"\nsummary = "My own"\n[replies]\ngreeting = "Ahoy"\n'


def test_the_list_names_every_room_s(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            found = await client.get("personas")
            having = {card.name for card in cards() if card.quirks}
            assert {persona["room"] for persona in found} == having
            assert {persona["room"] for persona in found if persona["name"] == "gmail"} == {"smtp", "pop3", "imap"}
            assert all(persona["builtin"] and persona["summary"] for persona in found)
            for persona in found:
                whole = await client.get(f"personas/{persona['room']}/{persona['name']}")
                assert whole["keys"].get("name", persona["name"]) == persona["name"]

    run(main())


def test_one_s_own_from_beginning_to_end(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path, IMAP) as client:
            port = client.served.port("imap")

            def greeting() -> bytes:
                with imaplib.IMAP4("localhost", port, timeout=20) as imap:
                    return imap.welcome

            made = await client.ask("PUT", "personas/imap/mine", 200, data=MINE.encode(), headers=TOML)
            assert (made["name"], made["room"], made["builtin"]) == ("mine", "imap", False)
            assert made["keys"]["replies"] == {"greeting": "Ahoy"}
            assert {"name": "mine", "room": "imap", "summary": "My own", "builtin": False} in await client.get(
                "personas"
            )
            await client.ask(
                "POST", "sandboxes/default/rules", 201, {"on": "imap.connect", "then": {"persona": "mine"}}
            )
            assert (await asyncio.to_thread(greeting)).endswith(b"] Ahoy")
            copied = (await client.get("personas/imap/mine"))["keys"] | {"replies": {"greeting": "Again"}}
            await client.ask("PUT", "personas/imap/mine", 200, copied)
            assert (await asyncio.to_thread(greeting)).endswith(b"] Again")
            await client.ask("DELETE", "personas/imap/mine", 204)
            await client.problem("GET", "personas/imap/mine", 404)
            assert b"Portyard" in await asyncio.to_thread(greeting)
            (left,) = await client.get("sandboxes/default/rules")
            assert left["warnings"] == ["imap has no persona mine any more: its clients meet the room as it is"]
            rule = {"on": "imap.connect", "then": {"persona": "mine"}}
            problem = await client.problem("POST", "sandboxes/default/rules", 422, json=rule)
            assert (problem["key"], problem["value"]) == ("then.persona", "mine")

    run(main())


@pytest.mark.parametrize(
    ("path", "body", "status", "key", "value", "allowed"),
    [
        ("imap/mine", {"greting": "x"}, 422, "greting", "x", "replies"),
        ("imap/mine", {"replies": {"greting": "x"}}, 422, "replies.greting", "x", "greeting"),
        (
            "imap/mine",
            {"replies": {"greeting": "a\r\n* BYE"}},
            422,
            "replies.greeting",
            "a\r\n* BYE",
            "One line of printable ASCII",
        ),
        ("imap/mine", {"limits": {"line": 3}}, 422, "limits.line", 3, ">= 512"),
        ("imap/mine", {"capabilities": ["QRESYNC"]}, 422, "capabilities.0", "QRESYNC", "UIDPLUS"),
        ("imap/mine", {"folders": {"Sent": "INBOX"}}, 422, "folders", {"Sent": "INBOX"}, "names such as Trash"),
        ("imap/mine", {"folders": {"INBOX": "x"}}, 422, "folders.INBOX", "x", "Drafts, Sent"),
        (
            "imap/mine",
            {"capabilities": ["IDLE"], "capabilities_later": ["IMAP4rev1"]},
            422,
            "capabilities",
            ["IDLE"],
            "IMAP4rev1",
        ),
        ("ssh/mine", {"kex": []}, 422, "kex", [], "one name"),
        ("ssh/mine", {"version": "a-b"}, 422, "version", "a-b", "SSH-2.0-"),
        ("ftp/mine", {"features": ["MDTM"], "unknown": ["MDTM"]}, 422, "features", ["MDTM"], "commands are known"),
        ("ftp/mine", {"replies": {"nope.550": "550 x"}}, 422, "replies.nope.550", "550 x", "cwd.550"),
        ("ftp/mine", {"replies": {"cwd": "550 x"}}, 422, "replies.cwd", "550 x", "cwd.550"),
        ("ftp/mine", {"replies": {"cwd.550": "no"}}, 422, "replies.cwd.550", "no", "three digits first"),
        ("ftp/mine", {"replies": {"stat.211-": "211 x"}}, 422, "replies.stat.211-", "211 x", "begins as 211- does"),
        ("ftp/mine", {"replies": {"cwd.550": "250 yes"}}, 422, "replies.cwd.550", "250 yes", "first digit is 5"),
        ("ftp/mine", {"replies": {"cwd.550": "550 a\nb"}}, 422, "replies.cwd.550", "550 a\nb", "One line"),
        ("imap/mine", {"separator": "|"}, 422, "separator", "|", "/, ."),
        ("imap/mine", {"name": "other"}, 422, "name", "other", "mine"),
        ("imap/Mine", {}, 422, "name", "Mine", "small letters"),
        ("imap/gmail", {}, 409, "name", "gmail", "a name of your own"),
        ("smtp/mine", {"replies": {"sender": "550 no"}}, 422, "replies.sender", "550 no", "A reply of class 2"),
        ("smtp/mine", {"mta": {"tarpit_s": -1}}, 422, "mta.tarpit_s", -1, ">= 0"),
        ("smtp/mine", {"mtb": {}}, 422, "mtb", {}, "mta"),
        ("dns/mine", {}, 404, "room", "dns", None),
        ("nowhere/mine", {}, 404, "room", "nowhere", None),
    ],
)
def test_what_is_malformed_is_refused_whole(
    tmp_path: Path, path: str, body: object, status: int, key: str, value: object, allowed: str | None
) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            for room in ("imap", "smtp"):
                await client.ask("PUT", f"personas/{room}/mine", 200, {"summary": "before"})
            problem = await client.problem("PUT", f"personas/{path}", status, json=body)
            assert (problem.get("key") or "", problem["value"]) == (key, value)
            if allowed is not None:
                assert allowed in problem["allowed"] + problem["detail"]
                assert problem["allowed"] not in problem["detail"]
                assert problem["detail"].count(key) == 1 or "." not in key
            for room in ("imap", "smtp"):
                assert (await client.get(f"personas/{room}/mine"))["summary"] == "before"

    run(main())


@pytest.mark.parametrize("body", [b"= 3", b"\xff", b"a = " + b"[" * 100_000])
def test_what_is_no_toml(tmp_path: Path, body: bytes) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            problem = await client.problem("PUT", "personas/imap/mine", 400, data=body, headers=TOML)
            assert problem["key"] == "body"

    run(main())


@pytest.mark.parametrize("body", [b"", b"\n \n", b"# not a key in it\n"])
def test_an_empty_file_takes_no_persona_s_place(tmp_path: Path, body: bytes) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            before = await client.ask("PUT", "personas/imap/mine", 200, data=MINE.encode(), headers=TOML)
            problem = await client.problem("PUT", "personas/imap/mine", 400, data=body, headers=TOML)
            assert (problem["key"], problem["detail"]) == ("body", "the body is empty")
            assert "TOML" in problem["allowed"]
            assert await client.get("personas/imap/mine") == before
            await client.problem("PUT", "personas/imap/another", 400, data=body, headers=TOML)
            await client.problem("GET", "personas/imap/another", 404)
            await client.ask("PUT", "personas/imap/another", 200, data=b'name = "another"', headers=TOML)

    run(main())


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"3", b'"a"', b"[" * 100_000])
def test_what_is_no_object(tmp_path: Path, body: bytes) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            headers = {"Content-Type": "application/json"}
            problem = await client.problem("PUT", "personas/imap/mine", 400, data=body, headers=headers)
            assert problem["key"] == "body"

    run(main())


def test_what_rooms_bring_stays(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            before = await client.get("personas/pop3/gmail")
            await client.problem("DELETE", "personas/pop3/gmail", 409)
            await client.problem("DELETE", "personas/pop3/nobody", 404)
            assert await client.get("personas/pop3/gmail") == before

    run(main())


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"on": "imap.connect", "then": {"persona": "vsftpd"}}, "it is one of ftp"),
        ({"on": "imap.connect", "then": {"persona": "gmial"}}, "did you mean gmail"),
        ({"on": "dns.connect", "then": {"persona": "gmail"}}, "dns has no personas"),
        ({"on": "imap.fetch", "then": {"persona": "gmail"}}, "ask for it on connect"),
    ],
)
def test_a_rule_that_names_another_room_s(tmp_path: Path, rule: dict[str, object], words: str) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            problem = await client.problem("POST", "sandboxes/default/rules", 422, json=rule)
            assert problem["key"] == "then.persona"
            assert words in problem["detail"]
            problem = await client.problem("POST", "sandboxes/default/rules", 422, data=json.dumps([rule]))
            assert problem["key"] == "rule[0].then.persona"
            assert await client.get("sandboxes/default/rules") == []

    run(main())
