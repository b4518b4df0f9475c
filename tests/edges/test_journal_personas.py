"""The journal tells which kind of server a session met, and why; the testbed's own hops meet none."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from portyard.commons.card import Card
from portyard.commons.journal.export_sessions import capture, dialogue
from portyard.commons.journal.model import JournalEvent, SessionRecord
from portyard.commons.scenario.parsing import parse_rule
from portyard.commons.talk.parse import parse_talk
from portyard.commons.talk.print import journal_talk
from portyard.commons.talk.replay import replayable
from portyard.commons.yard import Yard
from portyard.ftp.card import CARD as FTP
from portyard.imap.card import CARD as IMAP
from portyard.pop3.card import CARD as POP3
from portyard.smtp.card import CARD as SMTP
from portyard.ssh.card import CARD as SSH
from tests.support.asyncio_tests import run
from tests.support.mail_chain import arrived, chain, submit
from tests.support.process import serving
from tests.support.yard import Served, open_yard, serve

LIMIT_S = 20.0
BOB = "bob@portyard.test"
ROOMS = [
    (IMAP, "imap", "gmail"),
    (POP3, "pop3", "exchange"),
    (SMTP, "smtp", "gmail"),
    (FTP, "ftp", "vsftpd"),
    (SSH, "ssh", "openssh-7.4"),
]


def greeted(served: Served, port: str) -> None:
    with socket.create_connection(("127.0.0.1", served.port(port)), LIMIT_S) as sock:
        assert sock.recv(4096)


async def seen(yard: Yard) -> list[tuple[SessionRecord, list[JournalEvent]]]:
    """Every session, oldest first, once each is over."""
    while True:
        await yard.journal.flush()
        records = await yard.journal.sessions("default")
        if records and all(record.closed_at for record in records):
            return [(record, await yard.journal.events(record.id)) for record in reversed(records)]


@pytest.mark.parametrize("by", ["setting", "rule"])
@pytest.mark.parametrize(("card", "port", "name"), ROOMS, ids=[card.name for card, *_ in ROOMS])
def test_who_was_met_and_why(card: Card, port: str, name: str, by: str, tmp_path: Path) -> None:
    async def go() -> None:
        chosen = {card.name: name} if by == "setting" else {}
        async with open_yard(tmp_path, personas=chosen) as yard, serve(yard, card) as served:
            if by == "rule":
                words = {"name": "dress up", "on": f"{card.name}.connect", "times": 1, "then": {"persona": name}}
                await yard.rules.add("default", parse_rule(words))
            await asyncio.to_thread(greeted, served, port)
            ((record, events),) = await seen(yard)
            (told,) = [event for event in events if event.kind == "persona"]
            assert told.fields == {"name": name, "by": by, **({"rule": "dress up"} if by == "rule" else {})}
            assert [event.kind for event in events].index("persona") < [event.kind for event in events].index(
                "greeting"
            )
            talk = journal_talk(record, events)
            assert f"# persona name={name} by={by}" in talk
            assert parse_talk(replayable(talk), "again").lines
            assert f"persona: name={name}".encode() in capture([dialogue(record, events, [card])])
            await asyncio.to_thread(greeted, served, port)
            again = (await seen(yard))[-1][1]
            assert ("persona" in [event.kind for event in again]) == (by == "setting")  # the rule is spent

    run(go())


@pytest.mark.parametrize("there", [(), ("msa",)], ids=["one process", "two processes"])
def test_hops_inside_meet_the_room_as_it_is(there: tuple[str, ...], tmp_path: Path) -> None:
    """They are known before their first word, in whichever process of the testbed they end; clients meet the persona."""
    personas = {"mta": "gmail", "mda": "dovecot"}

    async def go() -> None:
        here = tuple(name for name in ("msa", "mta", "mda", "dns") if name not in there)
        async with chain(tmp_path, here, personas=personas) as served:
            submitting = served.port("submission") if not there else 0
            if there:
                endpoint = served.yard.directory.find("msa", "submission")
                assert endpoint is not None
                submitting = endpoint.number
            await asyncio.to_thread(submit, served, [BOB], port=submitting)
            await arrived(served.yard, BOB, 1)
            await asyncio.to_thread(greeted, served, "smtp")
        async with open_yard(tmp_path) as yard:  # with every process gone, every session is over
            met = {
                (record.service, "gsmtp" in said, "persona" in [event.kind for event in events])
                for record, events in await seen(yard)
                if record.service in ("mta", "mda")
                for said in [" ".join(str(event.fields.get("text")) for event in events)]
            }
            assert met == {("mta", False, False), ("mta", True, True), ("mda", False, False)}

    if there:
        with serving(tmp_path, *there, PORTYARD_PERSONAS="mta=gmail mda=dovecot"):
            run(go())
    else:
        run(go())
