"""No secret that a client sends is in the journal, its exports or the log: right or wrong, whole or malformed, in every room."""

from __future__ import annotations

import asyncio
import base64
import ftplib
import hashlib
import http.client
import json
import re
import socket
import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any
from urllib.parse import quote

import aiohttp
import asyncssh
import pytest

from portyard.commons.journal.packing import unpacked
from tests.support.control import Console
from tests.support.process import LIMIT_S, Running, serving

HOST = "127.0.0.1"
RIGHT, WRONG = "kanarienVogel$7right", "kanarienVogel$7wrong"
TOKENS = (
    "tokenKanarien1",
    "cookieKanarien2",
    "clientKanarien3",
    "queryKanarien4ofsomelength",
)
SPOKEN = "kanarie-in-a-message"
"""In WebSocket messages: short ones lie in the database as they went over the wire, and are blanked on each way out of it."""
USER = "carol@portyard.test"


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


PLAIN = {word: b64(f"\0{USER}\0{word}") for word in (RIGHT, WRONG)}


class Line:
    """A raw connection: a line out, what comes back in."""

    def __init__(self, port: int, *, greeted: bool = True) -> None:
        self.sock = socket.create_connection((HOST, port), LIMIT_S)
        if greeted:
            self.greeting = self.sock.recv(4096).decode()

    def say(self, *lines: str, end: str = "\r\n") -> str:
        answer = b""
        for line in lines:
            try:
                self.sock.sendall((line + end).encode())
                answer = self.sock.recv(65536)
            except ConnectionError:  # it was thrown out: what it said is journalled all the same
                break
        return answer.decode("utf-8", "replace")


def over(port: int, *lines: str) -> None:
    line = Line(port)
    line.say(*lines)
    line.sock.close()


def smtp(testbed: Running) -> None:
    port = testbed.port("submission")
    for word in (RIGHT, WRONG):
        over(port, "EHLO x", f"AUTH PLAIN {PLAIN[word]}", "NOOP")
        over(port, "EHLO x", f"  auth plain   {PLAIN[word]}")
        over(port, "EHLO x", "AUTH PLAIN", PLAIN[word])
        over(port, "EHLO x", "AUTH PLAIN", f"{PLAIN[word]}!!")
        over(port, "EHLO x", "AUTH LOGIN", b64(USER), b64(word))
        over(port, "EHLO x", f"AUTH LOGIN {b64(USER)}", b64(word))
        over(port, "EHLO x", f"AUTH NOSUCH {PLAIN[word]}", f"AUTH PLAIN {word} {word}", f"AUTH\t{PLAIN[word]}")
        over(port, f"AUTH PLAIN {PLAIN[word]}")  # before EHLO
        over(testbed.port("smtp"), "EHLO x", f"AUTH PLAIN {PLAIN[word]}")  # where it isn't offered
        over(port, "EHLO x", "AUTH XOAUTH2 " + b64(f"user={USER}\1auth=Bearer {TOKENS[0]}\1\1"), "")
        over(port, "EHLO x", "AUTH OAUTHBEARER " + b64(f"n,a={USER},\1auth=Bearer {TOKENS[0]}\1\1"), "")


def pop3(testbed: Running) -> None:
    port = testbed.port("pop3")
    for word in (RIGHT, WRONG):
        over(port, f"USER {USER}", f"PASS {word}", "STAT", "QUIT")
        over(port, f"USER {USER}", f"pass  {word} ", f" PASS {word}", f"PASS\t{word}")
        over(port, f"PASS {word}", f"AUTH PLAIN {PLAIN[word]}")
        over(port, "AUTH PLAIN", PLAIN[word])
        over(port, "AUTH LOGIN", b64(USER), b64(word))
        over(port, f"AUTH NOSUCH {PLAIN[word]}", f"AUTH PLAIN {PLAIN[word]} {word}")
        line = Line(port)
        stamp = re.search(r"<[^>]+>", line.greeting)
        digest = hashlib.md5(f"{stamp[0] if stamp else ''}{word}".encode(), usedforsecurity=False).hexdigest()
        DIGESTS.append(digest)
        line.say(f"APOP {USER} {digest}", "QUIT")
        line.sock.close()


DIGESTS: list[str] = []


def imap(testbed: Running) -> None:
    port = testbed.port("imap")
    for word in (RIGHT, WRONG):
        over(port, f"a LOGIN {USER} {word}", "b LOGOUT")
        over(port, f'a login "{USER}" "{word}"')
        over(port, f"a LOGIN {{{len(USER)}}}", f"{USER} {{{len(word)}}}", word)
        over(port, f"a LOGIN {USER} {{{len(word)}+}}\r\n{word}")
        over(port, f"a LOGIN {USER} {{{len(word)}+}}\r\n{word} {word}")
        over(port, f" a LOGIN {USER} {word}", f"a  LOGIN  {USER}  {word}", f"a\tLOGIN\t{USER}\t{word}")
        over(
            port,
            f'a LOGIN "{USER} {word}',
        )
        over(port, f"a AUTHENTICATE PLAIN {PLAIN[word]}")
        over(port, "a AUTHENTICATE PLAIN", PLAIN[word])
        over(port, "a AUTHENTICATE LOGIN", b64(USER), b64(word))
        over(port, f"a AUTHENTICATE NOSUCH {PLAIN[word]}", f"a AUTHENTICATE PLAIN {PLAIN[word]} {PLAIN[word]}")
        over(port, "a AUTHENTICATE XOAUTH2 " + b64(f"user={USER}\1auth=Bearer {TOKENS[0]}\1\1"), "")


def ftp(testbed: Running) -> None:
    port = testbed.port("ftp")
    for word in (RIGHT, WRONG):
        over(port, f"USER {USER}", f"PASS {word}", "QUIT")
        over(port, f"USER {USER}", f"pass  {word}", f" PASS {word}", f"PASS\t{word}", f"ACCT {word}")
        over(port, f"PASS {word}")
    with ftplib.FTP() as client:
        client.connect(HOST, port, LIMIT_S)
        client.login(USER, RIGHT)
        client.cwd("/")


def ssh(testbed: Running) -> None:
    asyncio.run(_ssh(testbed.port("ssh")))


async def _ssh(port: int) -> None:
    for word in (RIGHT, WRONG):
        for methods in ("password", "keyboard-interactive"):
            login: dict[str, Any] = {"username": USER, "password": word, "preferred_auth": methods}
            try:
                async with asyncssh.connect(HOST, port, known_hosts=None, config=None, client_keys=None, **login) as it:
                    await it.run("true")
            except asyncssh.PermissionDenied:
                assert word == WRONG


def web(testbed: Running) -> None:
    for word in (RIGHT, WRONG):
        _request(testbed, "GET", "/files/carol/", Authorization=f"Basic {b64(f'{USER}:{word}')}")
        _request(testbed, "GET", "/basic-auth/carol/x", Authorization=f"Basic {b64(f'carol:{word}')}")
        _request(testbed, "GET", f"http://carol:{quote(word)}@x.test/get", Host="x.test")
        _request(testbed, "GET", "/get", Referer=f"http://carol:{quote(word)}@x.test/")
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        body = f"grant_type=password&username={USER}&password={quote(word)}&client_id=c&client_secret={TOKENS[2]}"
        _request(testbed, "POST", "/oauth/token", body, **form)
    bearer = f"Bearer {TOKENS[0]}"
    _request(testbed, "GET", "/bearer", Authorization=bearer, Cookie=f"session={TOKENS[1]}")
    _request(
        testbed, "GET", "/get", **{"Proxy-Authorization": bearer, "X-Api-Key": TOKENS[0], "X-Auth-Token": TOKENS[0]}
    )
    for name in ("access_token", "token", "client_secret", "password", "refresh_token", "code", "api_key"):
        _request(testbed, "GET", f"/get?a=1&{name}={TOKENS[3]}&b=2")
        _request(testbed, "GET", "/get", Referer=f"http://x.test/?{name}={TOKENS[3]}")
    _request(testbed, "GET", f"/oauth/authorize?client_id=c&response_type=code&state=s&client_secret={TOKENS[3]}")
    line = Line(testbed.port("http"), greeted=False)
    line.say(f"GET /get HTTP/1.1\r\nHost: x\r\nAuthorization: {bearer}\r\n broken: {bearer}\r\n\r\n")
    line.sock.close()


def _request(testbed: Running, method: str, target: str, body: str | None = None, **fields: str) -> None:
    connection = http.client.HTTPConnection(HOST, testbed.port("http"), timeout=LIMIT_S)
    connection.request(method, target, body, fields)
    connection.getresponse().read()
    connection.close()


def websocket(testbed: Running) -> None:
    for target in ("/echo", f"/echo?access_token={TOKENS[3]}", f"/deny/401?token={TOKENS[3]}", "/socket.io/?EIO=4"):
        line = Line(testbed.port("ws"), greeted=False)
        line.say(
            f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Key: {b64('x' * 16)}\r\nAuthorization: Basic {b64(f'{USER}:{RIGHT}')}\r\n"
            f"Cookie: a={TOKENS[1]}\r\n\r\n"
        )
        line.sock.close()


def messages(testbed: Running) -> None:
    asyncio.run(_messages(f"http://{HOST}:{testbed.port('ws')}/echo"))


async def _messages(url: str) -> None:
    """Frames of every length, and of both kinds."""
    async with aiohttp.ClientSession() as client, client.ws_connect(url) as socket:
        for text in (
            json.dumps({"type": "auth", "password": SPOKEN}),
            json.dumps({"type": "auth", "api_key": SPOKEN, "more": "x" * 200}),
            f"grant_type=password&password={SPOKEN}",
        ):
            await socket.send_str(text)
            assert await socket.receive_str() == text
        octets = f"Authorization: Bearer {SPOKEN}".encode()
        await socket.send_bytes(octets)
        assert await socket.receive_bytes() == octets


ERRANDS: tuple[Callable[[Running], None], ...] = (smtp, pop3, imap, ftp, ssh, web, websocket, messages)


def forms(secret: str) -> set[str]:
    """A secret as it is, and as it shows within base64 at each of the three alignments, in a URL and in hexadecimal."""
    found = {secret, quote(secret, safe=""), secret.encode().hex()}
    for shift in range(3):
        whole = base64.b64encode(b"\0" * shift + secret.encode()).decode()
        found.add(whole[4 if shift else 0 : len(whole) - 4])
    return found


@pytest.fixture(scope="module")
def traces(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What is left of all errands, by the place where it is."""
    state = tmp_path_factory.mktemp("state")
    log: list[str] = []
    with serving(state, "all", PORTYARD_LOG_LEVEL="debug", heard=log) as testbed:
        console = Console(testbed.port("console"))
        console.ask("sandboxes/default/accounts", method="POST", body={"name": "carol", "password": RIGHT})
        for errand in ERRANDS:
            errand(testbed)
        found = {
            form: console.ask(f"sandboxes/default/export?format={form}").decode("utf-8", "replace")
            for form in ("talk", "jsonl", "har", "pcapng")
        }
        with closing(sqlite3.connect(f"file:{state / 'journal.db'}?mode=ro", uri=True)) as connection:
            found["database"] = "\n".join(
                unpacked(row[0]).decode("utf-8", "replace") for row in connection.execute("SELECT body FROM pages")
            )
    found["log"] = "".join(log)
    return found


@pytest.mark.parametrize("place", ["talk", "jsonl", "har", "pcapng", "database", "log"])
def test_no_secret_is_left(place: str, traces: dict[str, str]) -> None:
    text = traces[place]
    assert len(text) > 300
    found = []
    for secret in (RIGHT, WRONG, *TOKENS, *DIGESTS):
        for form in forms(secret):
            found += [text[max(0, at.start() - 80) : at.end() + 20] for at in re.finditer(re.escape(form), text)]
    assert found == [], f"{len(found)} places"


@pytest.mark.parametrize("place", ["talk", "jsonl", "har", "pcapng", "log"])
def test_no_message_tells_a_secret(place: str, traces: dict[str, str]) -> None:
    assert [form for form in forms(SPOKEN) if form in traces[place]] == []


def test_of_a_message_all_else_is_told(traces: dict[str, str]) -> None:
    blank = f"«secret, {len(SPOKEN)} bytes»"
    for place in ("talk", "jsonl", "har"):
        assert traces[place].count(blank) >= 6, place  # three texts, to and fro
    assert '{"type": "auth", "password": "' + blank + '"}' in traces["talk"]
    assert '{"type": "auth", "password": "' + "*" * len(SPOKEN) + '"}' in traces["pcapng"]  # as long as it was


def test_what_is_no_secret_stays_in_sight(traces: dict[str, str]) -> None:
    for shown in ("«secret, ", "AUTH PLAIN «secret, ", f"a LOGIN {USER} «secret", f"USER {USER}", "a=1&", "&b=2"):
        assert shown in traces["talk"], shown
