"""The control API on a real socket: shapes, pages, refusals."""

from __future__ import annotations

import asyncio
import base64
import io
import os
import ssl
from datetime import datetime
from functools import partial
from pathlib import Path

import pytest

from portyard.commons.database.generations import Generations
from portyard.commons.directory import Directory
from portyard.commons.mailstore.model import FlagChange
from portyard.commons.sandbox.model import Sandbox
from portyard.commons.sandbox.sql import put
from portyard.console.calls import Route
from portyard.console.routes import ROUTES
from portyard.dns.card import CARD as DNS
from portyard.imap.card import CARD as IMAP
from portyard.pop3.card import CARD as POP3
from tests.support.asyncio_tests import run
from tests.support.console import RICH, Console, console


def test_health_and_endpoints(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            health = await client.get("health", 503)
            assert health["ready"] is False
            ready = {service["name"]: service["ready"] for service in health["services"]}
            assert ready.pop("console") is True
            assert len(ready) == 10
            assert not any(ready.values())
            (endpoint,) = await client.get("endpoints")
            assert (endpoint["port"], endpoint["host"]) == ("console", "127.0.0.1")
            assert endpoint["host_number"] == client.served.port("console")

    run(main())


async def told(client: Console, status: int) -> dict[str, bool]:
    health = await client.get("health", status)
    assert health["ready"] is (status == 200)
    return {service["name"]: service["ready"] for service in health["services"]}


def test_health_is_of_what_was_asked_for(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path, DNS, POP3) as client:
            mine = {"dns": True, "pop3": True, "console": True}
            assert await told(client, 200) == mine
            other = Directory(
                tmp_path / "endpoints", Generations(tmp_path / "generations")
            )  # as another process has it
            (imap,) = IMAP.services
            ports = list(client.yard.directory.of("pop3"))
            other.announce(imap, ports)
            assert await told(client, 200) == mine | {"imap": True}
            client.yard.directory.forget_the_dead()
            assert await told(client, 200) == mine | {"imap": True}
            other.withdraw(imap)
            assert await told(client, 200) == mine
            other.announce(imap, ports)
            os.close(other._held["imap"])  # it was killed
            assert await told(client, 503) == mine | {"imap": False}
            client.yard.directory.forget_the_dead()  # as the next process does that begins
            assert await told(client, 200) == mine

    run(main())


def test_the_ca(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            for path in ("ca.pem", "ca"):
                async with client.http.get(f"{client.api}/{path}") as response:
                    assert response.content_type == "application/x-pem-file"
                    pem = await response.text()
            ssl.create_default_context(cadata=pem)
            assert pem.encode() == client.yard.tls.ca_pem

    run(main())


def test_sandboxes_and_accounts(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            await client.yard.control_database.write(partial(put, sandbox=Sandbox("t1", 1, "any", ("t1.test",))))
            assert [each["name"] for each in await client.get("sandboxes")] == ["default", "t1"]
            assert (await client.get("sandboxes/default"))["domains"] == ["portyard.test"]
            names = [each["address"] for each in await client.get("sandboxes/default/accounts")]
            assert names == ["alice@portyard.test", "bob@portyard.test"]
            accounts = f"{client.api}/sandboxes/t1/accounts"
            async with client.http.post(accounts, json={"name": "u1", "password": "pw1"}) as response:
                assert response.status == 201
                made = await response.json()
            assert made == {"name": "u1", "address": "u1@t1.test", "sandbox": "t1", "public_keys": []}
            assert await client.yard.accounts.verify("u1@t1.test", "pw1") is not None
            async with client.http.post(accounts, data='{"name": "x@else.example"}') as response:
                assert (await response.json())["address"] == "x@else.example"
            assert await client.yard.accounts.verify("t1/x@else.example", "portyard") is not None
            await client.put(b"Subject: gone\r\n\r\n", "u1@t1.test")
            assert len(await client.get("sandboxes/t1/messages")) == 1
            async with client.http.delete(f"{accounts}/u1@t1.test") as response:
                assert response.status == 204
            assert await client.yard.accounts.verify("u1@t1.test", "pw1") is None
            assert await client.get("sandboxes/t1/messages") == []

    run(main())


def test_a_list_of_messages(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            first = await client.deliver("first")
            second = await client.put(RICH, "bob@portyard.test", "Archive")
            listed = await client.get("sandboxes/default/messages")
            assert [each["id"] for each in listed] == [second, first]
            shown = listed[0]
            assert datetime.fromisoformat(shown.pop("received_at")).tzinfo is not None
            assert shown == {
                "id": second,
                "account": "bob@portyard.test",
                "mailbox": "Archive",
                "uid": 1,
                "flags": [],
                "from": "mueller@x.test",
                "to": ["alice@portyard.test", "carol@x.test"],
                "cc": ["dave@x.test"],
                "recipient": None,
                "subject": "Grüße: your code",
                "message_id": "<1@x.test>",
                "size": len(RICH),
            }

    run(main())


def test_a_message_without_to_shows_its_recipient(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            account = await client.yard.accounts.find("alice")
            assert account is not None
            for recipient in ("alice+tag@portyard.test", "alice@portyard.test"):
                await client.yard.mail.append(
                    account.id, "INBOX", b"Subject: x\r\n\r\n", delivery_id="d1", recipient=recipient
                )
            newest, oldest = await client.get("sandboxes/default/messages")
            assert (oldest["recipient"], oldest["to"]) == ("alice+tag@portyard.test", ["alice+tag@portyard.test"])
            assert newest["recipient"] == "alice@portyard.test"
            assert len(await client.get("sandboxes/default/messages?to=%2Btag")) == 1

    run(main())


def test_pages_lead_on_without_gap_or_repeat(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            ids = [await client.deliver(f"number {n}", ("alice", "bob")[n % 2] + "@portyard.test") for n in range(25)]
            seen: list[str] = []
            url = f"{client.api}/sandboxes/default/messages?limit=10"
            while url:
                async with client.http.get(url) as response:
                    seen += [each["id"] for each in await response.json()]
                    following = response.links.get("next")
                    url = str(following["url"]) if following else ""
            assert seen == ids[::-1]
            found = await client.get("sandboxes/default/messages?subject=/number 1[0-4]/&limit=3")
            assert [each["subject"] for each in found] == ["number 14", "number 13", "number 12"]
            assert len(await client.get("sandboxes/default/messages?to=alice")) == 13

    run(main())


def test_a_message_taken_apart(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            key = await client.put(RICH)
            whole = await client.get(f"sandboxes/default/messages/{key}")
            assert whole["text"] == "Grüße & <b>"
            assert whole["html"].startswith("<p>Hello</p>")
            assert whole["headers"][:2] == [
                {"name": "From", "value": "Müller <mueller@x.test>"},
                {"name": "To", "value": "Alice <alice@portyard.test>, carol@x.test"},
            ]
            pdf, inner = whole["attachments"]
            assert (pdf["part"], pdf["type"], pdf["content_id"]) == ("2", "application/pdf", "pdf@x.test")
            assert pdf["filename"] == "../../€ report.pdf"
            assert (inner["part"], inner["type"]) == ("3", "message/rfc822")
            async with client.http.get(f"{client.api}/sandboxes/default/messages/{key}/parts/2") as response:
                assert await response.read() == b"\0\1\2"
                assert response.content_type == "application/octet-stream"
                assert response.headers["Content-Disposition"] == (
                    "attachment; filename=\"_ report.pdf\"; filename*=UTF-8''%E2%82%AC%20report.pdf"
                )
                assert response.headers["X-Content-Type-Options"] == "nosniff"
            async with client.http.get(f"{client.api}/sandboxes/default/messages/{key}/raw") as response:
                assert response.content_type == "message/rfc822"
                assert await response.read() == RICH

    run(main())


def test_a_large_message_comes_whole(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            octets = b"Subject: large\r\n\r\n" + b"0123456789abcde\r\n" * 200_000
            key = await client.put(octets)
            async with client.http.get(f"{client.api}/sandboxes/default/messages/{key}/raw") as response:
                assert response.content_length == len(octets)
                assert await response.read() == octets
            whole = await client.get(f"sandboxes/default/messages/{key}")
            assert whole["cut"] is True
            assert len(whole["text"]) == 1 << 20

    run(main())


def test_a_large_part_is_decoded_whole(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            content = bytes(range(256)) * 12_000
            head = b"Content-Type: application/zip\r\nContent-Transfer-Encoding: base64\r\n\r\n"
            key = await client.put(head + base64.encodebytes(content).replace(b"\n", b"\r\n"))
            async with client.http.get(f"{client.api}/sandboxes/default/messages/{key}/parts/1") as response:
                assert await response.read() == content
            await client.problem("GET", f"sandboxes/default/messages/{key}/parts/2", 404)

    run(main())


def test_deleting(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            keys = [await client.deliver(f"number {number}") for number in range(3)]
            await client.deliver("other", "bob@portyard.test")
            async with client.http.delete(f"{client.api}/sandboxes/default/messages/{keys[1]}") as response:
                assert response.status == 204
            await client.problem("GET", f"sandboxes/default/messages/{keys[1]}", 404)
            assert len(await client.get("sandboxes/default/messages")) == 3
            async with client.http.delete(f"{client.api}/sandboxes/default/messages") as response:
                assert response.status == 204
            assert await client.get("sandboxes/default/messages") == []

    run(main())


def test_another_sandboxes_message_is_not_here(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            await client.yard.control_database.write(partial(put, sandbox=Sandbox("t1", 1, "any", ("t1.test",))))
            key = await client.deliver()
            assert (await client.problem("GET", f"sandboxes/t1/messages/{key}", 404))["key"] == "id"
            await client.problem("DELETE", f"sandboxes/t1/messages/{key}", 404)
            async with client.http.delete(f"{client.api}/sandboxes/t1/messages") as response:
                assert response.status == 204
            assert len(await client.get("sandboxes/default/messages")) == 1

    run(main())


def test_flags_show(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            key = await client.deliver()
            message = await client.yard.mail.message(int(key))
            assert message is not None
            await client.yard.mail.change_flags(message.mailbox_id, [1], FlagChange.ADD, frozenset({"\\Seen"}))
            assert (await client.get(f"sandboxes/default/messages/{key}"))["flags"] == ["\\Seen"]

    run(main())


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "key", "value"),
    [
        ("GET", "sandboxes/nope/messages", None, 404, "sandbox", "nope"),
        ("GET", "nothing", None, 404, "path", "/api/v1/nothing"),
        ("PUT", "sandboxes", None, 405, "method", "PUT"),
        ("GET", "health?x=1", None, 400, "x", "1"),
        ("GET", "sandboxes/default/messages?limit=0", None, 422, "limit", "0"),
        ("GET", "sandboxes/default/messages?limit=many", None, 422, "limit", "many"),
        ("GET", "sandboxes/default/messages?limit=1&limit=2", None, 400, "limit", ["1", "2"]),
        ("GET", "sandboxes/default/messages?cursor=x", None, 422, "cursor", "x"),
        ("GET", "sandboxes/default/messages?subject=/(/", None, 422, "subject", "/(/"),
        ("GET", "sandboxes/default/messages/wait?timeout=301", None, 422, "timeout", "301"),
        ("GET", "sandboxes/default/messages/wait?timeout=nan", None, 422, "timeout", "nan"),
        ("GET", "sandboxes/default/messages/wait?count=-1", None, 422, "count", "-1"),
        ("GET", "sandboxes/default/messages/wait?sbject=x", None, 400, "sbject", "x"),
        ("GET", "sandboxes/default/messages/999999", None, 404, "id", "999999"),
        ("GET", "sandboxes/default/messages/x", None, 404, "id", "x"),
        ("GET", "sandboxes/default/messages/99999999999999999999", None, 404, "id", "99999999999999999999"),
        ("GET", "sandboxes/default/sessions/x", None, 404, "id", "x"),
        ("GET", "sandboxes/default/sessions/x/talk", None, 404, "id", "x"),
        ("DELETE", "sandboxes/default/accounts/nobody@portyard.test", None, 404, "address", "nobody@portyard.test"),
        ("POST", "sandboxes/default/accounts", b"", 400, "body", None),
        ("POST", "sandboxes/default/accounts", b"{", 400, "body", None),
        ("POST", "sandboxes/default/accounts", b"[1]", 400, "body", None),
        ("POST", "sandboxes/default/accounts", b"\xff", 400, "body", None),
        ("POST", "sandboxes/default/accounts", b"{}", 400, "name", None),
        ("POST", "sandboxes/default/accounts", b'{"name": 5}', 422, "name", 5),
        ("POST", "sandboxes/default/accounts", b'{"name": "a b"}', 422, "name", "a b"),
        ("POST", "sandboxes/default/accounts", b'{"name": "x", "pasword": "y"}', 400, "pasword", "y"),
        ("POST", "sandboxes/default/accounts", b'{"name": "Alice"}', 409, "name", "Alice"),
        ("POST", "sandboxes/default/accounts", b'"' + b"x" * (2 << 20) + b'"', 413, "body", (2 << 20) + 2),
    ],
)
def test_refusals_name_key_and_value(
    tmp_path: Path, method: str, path: str, body: bytes | None, status: int, key: str | None, value: object
) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            problem = await client.problem(method, path, status, data=None if body is None else io.BytesIO(body))
            assert (problem.get("key"), problem.get("value")) == (key, value)
            assert problem["detail"]

    run(main())


@pytest.mark.parametrize("host", ["evil.test", "192.0.2.1", "localhost.evil.test:8025"])
def test_only_known_names_are_answered(tmp_path: Path, host: str) -> None:
    async def main() -> None:
        async with console(tmp_path, console_hosts=("Lab.Example",)) as client:
            problem = await client.problem("GET", "health", 421, headers={"Host": host})
            assert problem["value"] == host
            assert {"localhost", "console", "lab.example"} <= set(problem["allowed"])
            for known in ("console", "console.portyard.test:8025", "lab.example", "localhost:1"):
                async with client.http.get(f"{client.api}/sandboxes", headers={"Host": known}) as response:
                    assert response.status == 200

    run(main())


def test_another_sites_page_changes_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            key = await client.deliver()
            for headers in ({"Origin": "https://evil.test"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}):
                problem = await client.problem("DELETE", f"sandboxes/default/messages/{key}", 403, headers=headers)
                assert problem["key"] == "Origin"
            await client.problem("POST", "sandboxes/default/accounts", 403, data=b"{}", headers={"Origin": "http://a"})
            assert len(await client.get("sandboxes/default/messages")) == 1
            async with client.http.delete(
                f"{client.api}/sandboxes/default/messages/{key}", headers={"Origin": client.url}
            ) as response:
                assert response.status == 204

    run(main())


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_the_table_describes_each_operation(route: Route) -> None:
    assert route.summary
    assert (route.response is None) == (route.status == 204)
    assert route.operation.__doc__


def test_a_failure_of_ours_is_a_problem_and_a_traceback(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            await client.yard.mail_database.write(lambda work: work.execute("DROP TABLE deliveries"))
            account = await client.yard.accounts.find("alice")
            assert account is not None
            await client.yard.mail.append(account.id, "INBOX", b"Subject: x\r\n\r\n", delivery_id="d1")
            problem = await client.problem("GET", "sandboxes/default/messages", 500)
            assert "see the console's log" in problem["detail"]
            assert "deliveries" not in problem["detail"]

    run(main())
    assert "no such table: deliveries" in caplog.text


def test_octets_that_are_gone_are_not_found(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            key = await client.deliver()
            await client.yard.mail_database.write(lambda work: work.execute("UPDATE bodies SET id = id + 1000"))
            await client.problem("GET", f"sandboxes/default/messages/{key}/raw", 404)

    run(main())


def test_anything_but_http_is_refused(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            reader, writer = await asyncio.open_connection("127.0.0.1", client.served.port("console"))
            writer.write(b"HELP\r\n\r\n")
            assert (await reader.readline()).startswith(b"HTTP/1.1 400")
            await reader.read()
            writer.close()
            await writer.wait_closed()
            await client.get("sandboxes")

    run(main())
