"""The spoken rooms' talks against the containers, through their published ports."""

from __future__ import annotations

import asyncio
import imaplib
import json
import ssl
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import imap, pop3, smtp
from tests.support.asyncio_tests import run
from tests.support.containers import Containers
from tests.support.control import Console
from tests.support.talk_peers import SocketPeer
from tests.support.talks import PASSWORD, USER, Talk, TalkRoom, cases, implicit, messages_of, read_talk, run_talk

PASSWORDS = {USER: PASSWORD, "bob@portyard.test": "bob-secret"}
PRELUDES = {"pop3": pop3.PRELUDES, "imap": imap.PRELUDES, "smtp": smtp.PRELUDES}
CASES = [
    pytest.param(path, feeding, id=f"{room}-{path.stem}-{feeding}")
    for room in PRELUDES
    for path, feeding in cases(room, "container")
]


@dataclass(frozen=True, slots=True)
class PublishedStores:
    """The stores as IMAP shows them, and rules through the control API. Implements `talks.Stores`."""

    port: int
    console: Console

    async def deliver(self, name: str) -> None:
        await asyncio.to_thread(self._append, name)

    async def check(self, fact: str) -> None:
        await asyncio.to_thread(self._check, fact)

    async def rule(self, text: str) -> None:
        await asyncio.to_thread(self.console.ask, "sandboxes/default/rules", method="POST", body=json.loads(text))

    def _append(self, name: str) -> None:
        with self._client(USER) as client:
            for octets in messages_of(name):
                assert client.append("INBOX", "", "", octets)[0] == "OK"

    def _check(self, fact: str) -> None:
        what, _, login = fact.partition(" for ")
        name, _, count = what.rpartition(" has ")
        with self._client(login or USER) as client:
            kind, answer = client.status(f'"{name}"', "(MESSAGES)")
        assert kind == "OK"
        assert answer[0].endswith(f"(MESSAGES {count})".encode()), f"{answer[0]!r}, wanted {count}"

    def _client(self, login: str) -> imaplib.IMAP4:
        client = imaplib.IMAP4("127.0.0.1", self.port, timeout=60)
        client.login(login, PASSWORDS.get(login, "portyard"))
        return client


def port_of(talk: Talk) -> str:
    plain = smtp.PORTS[talk.headers["role"]] if talk.room == "smtp" else talk.room
    return f"{plain}s" if implicit(talk) else plain


def bindings_of(talk: Talk) -> dict[str, str]:
    return smtp.public_bindings() if talk.room == "smtp" else {}


@pytest.mark.parametrize(("path", "feeding"), CASES)
def test_talk(path: Path, feeding: str, yard: Containers) -> None:
    talk = read_talk(path)
    console = Console(yard.ports["console"])
    console.only(PASSWORDS)
    context = ssl.create_default_context(cadata=console.ask("ca.pem").decode())

    async def connect(_: Talk) -> SocketPeer:
        return await SocketPeer.connect(yard.ports[port_of(talk)], context, implicit=implicit(talk))

    room = TalkRoom(connect, PRELUDES[talk.room], bindings_of(talk))
    try:
        run(run_talk(room, PublishedStores(yard.ports["imap"], console), talk, feeding))
    finally:
        console.ask("sandboxes/default/rules", method="DELETE")
