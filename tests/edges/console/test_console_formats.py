"""What a journal and the mail look like in other formats."""

from __future__ import annotations

import asyncio
import contextlib
import json
import mailbox
import urllib.request
from pathlib import Path

from portyard.http.card import CARD as HTTP
from tests.support.asyncio_tests import run
from tests.support.console import console, speak

EVENTS = "sandboxes/default/events"


def test_a_session_in_every_format(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            log = speak(client, "pop3", "STAT")
            path = f"sandboxes/default/sessions/{log.id}"
            assert await client.raw(f"{path}/export") == await client.raw(f"{path}/talk")
            lines = (await client.raw(f"{path}/export?format=jsonl")).splitlines()
            assert [json.loads(line)["kind"] for line in lines] == ["opened", "greeting", "command", "reply", "closed"]
            problem = await client.problem("GET", f"{path}/export?format=har", 422)
            assert (problem["key"], problem["allowed"]) == ("format", ["talk", "test", "jsonl", "pcapng"])
            assert (await client.raw(f"{path}/export?format=pcapng"))[:4] == b"\x0a\x0d\x0d\x0a"

    run(main())


def fetch(port: int) -> None:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/anything?a=1&b=", data=b"body", headers={"Authorization": "Basic c2VjcmV0"}
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        answer.read()


def test_a_har(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path, HTTP) as client:
            await asyncio.to_thread(fetch, client.served.port("http"))
            waited = await client.get(f"{EVENTS}/wait?room=http&kind=closed&timeout=20")
            path = f"sandboxes/default/sessions/{waited['events'][0]['session']}/export?format=har"
            log = json.loads(await client.raw(path))["log"]
            assert log["version"] == "1.2"
            (entry,) = log["entries"]
            request, response = entry["request"], entry["response"]
            assert (request["method"], response["status"]) == ("POST", 200)
            assert request["url"].endswith("/anything?a=1&b=")
            assert request["queryString"] == [{"name": "a", "value": "1"}, {"name": "b", "value": ""}]
            headers = {header["name"].lower(): header["value"] for header in request["headers"]}
            assert "c2VjcmV0" not in json.dumps(log)
            assert headers["authorization"].startswith("«secret")
            assert response["content"]["mimeType"].startswith("application/json")

    run(main())


def test_an_mbox_is_read_back(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            await client.put(b"From: a@x.test\r\nSubject: one\r\n\r\nFrom here\r\n>From there\r\nend")
            await client.deliver("two", "bob@portyard.test")
            path = tmp_path / "export.mbox"
            path.write_bytes(await client.raw("sandboxes/default/messages/export"))
            with contextlib.closing(mailbox.mbox(path)) as box:
                assert [message["subject"] for message in box] == ["two", "one"]
            assert b"\n>From here\n>>From there\nend\n" in path.read_bytes()
            # RFC 4155's originator is the envelope's, where there was one.
            await client.put(b"Return-Path: <env@y.test>\r\nFrom: a@x.test\r\nSubject: three\r\n\r\n")
            await client.put(b"Return-Path: <>\r\nFrom: a@x.test\r\nSubject: four\r\n\r\n")
            path.write_bytes(await client.raw("sandboxes/default/messages/export"))
            with contextlib.closing(mailbox.mbox(path)) as box:
                senders = {message["subject"]: message.get_from().split()[0] for message in box}
            assert (senders["one"], senders["three"], senders["four"]) == ("a@x.test", "env@y.test", "MAILER-DAEMON")
            some = await client.raw("sandboxes/default/messages/export?to=bob")
            assert some.count(b"Subject:") == 1

    run(main())
