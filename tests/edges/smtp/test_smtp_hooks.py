"""A handler class written for aiosmtpd sees the conversation and may refuse; aiosmtpd's own objects tell the truth."""

from __future__ import annotations

import asyncio
import smtplib
from pathlib import Path

from aiosmtpd.smtp import SMTP, Envelope, Session

from portyard.commons.card import Service
from portyard.commons.yard import Handler, Yard
from portyard.smtp import edge
from portyard.smtp.card import CARD
from portyard.smtp.spool import queue
from tests.support.asyncio_tests import run
from tests.support.yard import open_yard, serve


class Watcher:
    """Notes what it is told; refuses one recipient and one message."""

    def __init__(self) -> None:
        self.seen: list[object] = []

    async def handle_MAIL(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        self.seen.append(("MAIL", session.host_name, session.extended_smtp, bool(session.ssl), address, options))
        return "250 OK"

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        self.seen.append(("RCPT", envelope.mail_from, address))
        return "550 5.7.1 not this one" if address.startswith("eve") else "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        self.seen.append(("DATA", envelope.rcpt_tos, envelope.content))
        assert server.transport is not None
        return "554 5.7.1 spam" if b"spam" in (envelope.original_content or b"") else "250 OK"


def errand(port: int, context: object) -> tuple[dict[str, tuple[int, bytes]], int]:
    with smtplib.SMTP("localhost", port, "client.test", timeout=20) as client:
        client.starttls(context=context)  # type: ignore[arg-type]
        refused = client.sendmail("a@client.test", ["bob@portyard.test", "eve@portyard.test"], b"fine\r\n")
        try:
            client.sendmail("a@client.test", ["bob@portyard.test"], b"spam\r\n")
        except smtplib.SMTPDataError as error:
            return refused, error.smtp_code
    return refused, 0


def test_a_handler_watches_and_refuses(tmp_path: Path, monkeypatch: object) -> None:
    watcher = Watcher()
    open_service = edge.open_service

    async def with_handler(yard: Yard, service: Service) -> Handler:
        return await open_service(yard, service, handler=watcher)

    async def go() -> None:
        monkeypatch.setattr(edge, "open_service", with_handler)  # type: ignore[attr-defined]
        async with open_yard(tmp_path) as yard, serve(yard, CARD, names=["mta"]) as served:
            refused, code = await asyncio.to_thread(errand, served.port("smtp"), served.client_context())
            assert refused == {"eve@portyard.test": (550, b"5.7.1 not this one")}
            assert code == 554
            assert [entry.recipient for entry in await queue(yard.mail_database)] == ["bob@portyard.test"]
        assert watcher.seen[:4] == [
            ("MAIL", "client.test", True, True, "a@client.test", []),
            ("RCPT", "a@client.test", "bob@portyard.test"),
            ("RCPT", "a@client.test", "eve@portyard.test"),
            ("DATA", ["bob@portyard.test"], b"fine\r\n"),
        ]

    run(go())
