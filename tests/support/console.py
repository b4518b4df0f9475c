"""The console in a yard of one's own, mail to look at, and sessions with events to tell."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp

from portyard.commons.card import Card
from portyard.commons.journal.model import SessionLog
from portyard.commons.yard import Yard
from portyard.console.card import CARD
from tests.support.yard import Served, open_yard, serve

EVENTS = "sandboxes/default/events"
RICH = b"""\
From: =?utf-8?q?M=C3=BCller?= <mueller@x.test>\r
To: Alice <alice@portyard.test>, carol@x.test\r
Cc: dave@x.test\r
Subject: =?utf-8?b?R3LDvMOfZQ==?=: your code\r
Message-ID: <1@x.test>\r
MIME-Version: 1.0\r
Content-Type: multipart/mixed; boundary=b\r
\r
--b\r
Content-Type: multipart/alternative; boundary=c\r
\r
--c\r
Content-Type: text/plain; charset=iso-8859-1\r
Content-Transfer-Encoding: quoted-printable\r
\r
Gr=FC=DFe & <b>\r
--c\r
Content-Type: text/html; charset=utf-8\r
\r
<p>Hello</p><script>alert(1)</script><img src="http://evil.test/x.png">\r
--c--\r
--b\r
Content-Type: application/pdf; name="x"\r
Content-Disposition: attachment; filename="../../\xe2\x82\xac report.pdf"\r
Content-ID: <pdf@x.test>\r
Content-Transfer-Encoding: base64\r
\r
AAEC\r
--b\r
Content-Type: message/rfc822\r
\r
Subject: inner\r
\r
inside\r
--b--\r
"""


class Console:
    """A client of the API.

    Attributes:
        http: aiohttp's client.
        url: Where the console is.
        api: The API below it.
    """

    def __init__(self, served: Served, http: aiohttp.ClientSession) -> None:
        self.served = served
        self.yard: Yard = served.yard
        self.http = http
        number = next(endpoint.number for endpoint in served.serving.endpoints if endpoint.port == "console")
        self.url = f"http://127.0.0.1:{number}"
        self.api = f"{self.url}/api/v1"

    async def get(self, path: str, status: int = 200) -> Any:
        async with self.http.get(f"{self.api}/{path}") as response:
            assert response.status == status, await response.text()
            return await response.json(content_type=None)

    async def ask(self, method: str, path: str, status: int = 200, body: object = None, **arguments: Any) -> Any:
        """An answer as JSON; `body` goes as JSON. None where there is no answer's body."""
        if body is not None:
            arguments["json"] = body
        async with self.http.request(method, f"{self.api}/{path}", **arguments) as response:
            assert response.status == status, await response.text()
            octets = await response.read()
            return await response.json(content_type=None) if octets else None

    async def raw(self, path: str, **arguments: Any) -> bytes:
        async with self.http.get(f"{self.api}/{path}", **arguments) as response:
            assert response.status == 200, await response.text()
            return await response.read()

    async def problem(self, method: str, path: str, status: int, **arguments: Any) -> dict[str, Any]:
        async with self.http.request(method, f"{self.api}/{path}", **arguments) as response:
            assert response.status == status, await response.text()
            assert response.content_type == "application/problem+json"
            found = await response.json(content_type=None)
            assert found["status"] == status
            return dict(found)

    async def page(self, path: str, status: int = 200) -> tuple[str, aiohttp.ClientResponse]:
        async with self.http.get(self.url + path) as response:
            assert response.status == status, await response.text()
            return await response.text(), response

    async def deliver(
        self, subject: str = "hello", to: str = "alice@portyard.test", sender: str = "bob@portyard.test"
    ) -> str:
        octets = f"From: {sender}\r\nTo: {to}\r\nSubject: {subject}\r\n\r\nText.\r\n".encode()
        return await self.put(octets, to)

    async def put(self, octets: bytes, to: str = "alice@portyard.test", mailbox: str = "INBOX") -> str:
        account = await self.yard.accounts.find(to)
        assert account is not None
        appended = await self.yard.mail.append(account.id, mailbox, octets)
        return str(appended.message_id)


@contextlib.asynccontextmanager
async def console(state: Path, *rooms: Card, **changes: object) -> AsyncIterator[Console]:
    """A console in a yard of its own, and these rooms beside it; `changes` are settings."""
    async with (
        open_yard(state, **changes) as yard,
        serve(yard, CARD, *rooms) as served,
        aiohttp.ClientSession() as http,
    ):
        yield Console(served, http)


def speak(client: Console, room: str, *commands: str, sandbox: str = "default", close: bool = True) -> SessionLog:
    """A session in the journal."""
    log = client.yard.journal.open_session(
        room=room, service=room, peer="127.0.0.1:5", local="127.0.0.1:110", port=room
    )
    log.join(sandbox)
    log.event("greeting", text="+OK ready")
    for command in commands:
        log.command(command)
        log.reply("+OK")
    if close:
        log.close("peer closed")
    return log


def texts(events: list[dict[str, Any]]) -> list[str]:
    """What was commanded, of events as the API tells them."""
    return [event["fields"]["text"] for event in events if event["kind"] == "command"]


async def sse(response: aiohttp.ClientResponse, count: int) -> list[dict[str, Any]]:
    """So many server-sent events."""
    found = []
    async for line in response.content:
        if line.startswith(b"data: "):
            found.append(json.loads(line.removeprefix(b"data: ")))
        if len(found) == count:
            break
    return found
