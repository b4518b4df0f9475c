"""`portyard export`: what clients did, in the formats of other programs, and read by tshark."""

from __future__ import annotations

import asyncio
import ftplib
import http.client
import imaplib
import io
import json
import poplib
import shutil
import smtplib
import ssl
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp
import asyncssh
import dns.message
import dns.query
import pytest

from tests.support.control import Console
from tests.support.process import LIMIT_S, Running, portyard, serving

HOST = "127.0.0.1"
MESSAGE = b"From: ada@example.com\r\nTo: alice@portyard.test\r\nSubject: packets\r\n\r\n.dot\r\nhello\r\n"
LONG = 80  # of them are more than the journal shows of a literal
needs_tshark = [
    pytest.mark.client,
    pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed (package tshark)"),
]


@pytest.fixture(scope="module")
def testbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serving(tmp_path_factory.mktemp("state"), "all") as running:
        mail_errands(running)
        other_errands(running)
        yield running


def mail_errands(testbed: Running) -> None:
    with smtplib.SMTP(HOST, testbed.port("smtp")) as mta:
        mta.sendmail("ada@example.com", ["alice@portyard.test"], MESSAGE)
    trusting = ssl.create_default_context(cafile=str(testbed.state / "tls" / "ca.pem"))
    with smtplib.SMTP(HOST, testbed.port("submission")) as msa:
        msa.starttls(context=trusting)
        msa.login("alice", "alice-secret")
        msa.sendmail("alice@portyard.test", ["bob@portyard.test"], MESSAGE)
    Console(testbed.port("console")).wait(2)
    pop = poplib.POP3_SSL(HOST, testbed.port("pop3s"), context=trusting)
    pop.user("alice")
    pop.pass_("alice-secret")
    assert pop.retr(1)[1][-1] == b"hello"
    pop.quit()
    imap = imaplib.IMAP4(HOST, testbed.port("imap"))
    imap.starttls(ssl_context=trusting)
    imap.login("alice", "alice-secret")
    imap.append("INBOX", "", "", MESSAGE * LONG)
    imap.append("INBOX", "", "", b"Subject: short\r\n\r\n")
    imap.select()
    assert len(imap.fetch("1:*", "(FLAGS RFC822)")[1]) > 3
    names = [f"INBOX/{number}-{'x' * 90}" for number in range(40)]
    assert {imap.create(name)[0] for name in names} == {"OK"}
    assert len(imap.list()[1]) > len(names)
    imap.logout()
    rule = {"on": "smtp.content", "where": {"sender": "refused@*"}, "then": {"refuse": "554 5.6.0 no"}}
    Console(testbed.port("console")).post("rules", rule)
    with smtplib.SMTP(HOST, testbed.port("smtp")) as mta, pytest.raises(smtplib.SMTPDataError):
        mta.sendmail("refused@example.com", ["alice@portyard.test"], MESSAGE)


def other_errands(testbed: Running) -> None:
    ftp = ftplib.FTP()
    ftp.connect(HOST, testbed.port("ftp"))
    ftp.login("alice", "alice-secret")
    ftp.storbinary("STOR a.txt", io.BytesIO(b"hello" * 300))
    ftp.set_pasv(False)
    assert ftp.nlst() == ["a.txt"]
    ftp.quit()
    web = http.client.HTTPConnection(HOST, testbed.port("http"))
    for method, path, body in (("POST", "/post", b"a=1"), ("HEAD", "/get", None), ("GET", "/stream/2", None)):
        web.request(method, path, body, {"Content-Type": "text/plain", "Authorization": "Basic YTpi"})
        web.getresponse().read()
    web.close()
    query = dns.message.make_query("portyard.test", "MX")
    assert dns.query.udp(query, HOST, port=testbed.port("dns-udp"), timeout=LIMIT_S).answer
    assert dns.query.tcp(query, HOST, port=testbed.port("dns-tcp"), timeout=LIMIT_S).answer
    asyncio.run(frames(testbed.port("ws")))
    asyncio.run(shell(testbed.port("ssh")))


async def shell(port: int) -> None:
    login: dict[str, Any] = {"username": "alice", "password": "alice-secret", "known_hosts": None, "config": None}
    async with asyncssh.connect(HOST, port, client_keys=None, **login) as connection:
        await connection.run("true")


async def frames(port: int) -> None:
    async with aiohttp.ClientSession() as client, client.ws_connect(f"http://{HOST}:{port}/echo") as socket:
        await socket.send_str("hello, frames")
        assert (await socket.receive()).data == "hello, frames"
        await socket.send_bytes(bytes(300))
        await socket.receive()


def export(testbed: Running, cwd: Path, *words: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    url = f"http://{HOST}:{testbed.port('console')}"
    done = portyard("export", *words, cwd=cwd, PORTYARD_URL=url)
    assert done.returncode == status, done.stdout + done.stderr
    return done


# ── text formats ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_talk(testbed: Running, console: Console, tmp_path: Path) -> None:
    sessions = [each["id"] for each in console.get("sessions", room="pop3")]
    talk = export(testbed, tmp_path, *sessions).stdout
    assert talk.startswith("room: pop3  port: pop3s  account: alice@portyard.test\n")
    assert "C: RETR 1\nS: +OK" in talk
    assert export(testbed, tmp_path, "last", "--room", "pop3").stdout == talk


def test_json_lines(testbed: Running, tmp_path: Path) -> None:
    export(testbed, tmp_path, "--room", "ftp", "--output", "x.jsonl")
    events = [json.loads(line) for line in (tmp_path / "x.jsonl").read_text().splitlines()]
    assert {event["room"] for event in events} == {"ftp"}
    assert "STOR a.txt" in [event["fields"].get("text") for event in events]


def test_a_reply_that_was_cut_tells_how_it_ended(testbed: Running, tmp_path: Path) -> None:
    export(testbed, tmp_path, "--room", "imap", "--output", "x.jsonl")
    events = [json.loads(line)["fields"] for line in (tmp_path / "x.jsonl").read_text().splitlines()]
    (cut,) = [fields for fields in events if "unkept" in fields]
    assert cut["end"].splitlines(keepends=True)[-1].endswith(" OK List completed\r\n")
    assert len(cut["end"]) < 128 < cut["unkept"]


def test_a_har_of_every_exchange(testbed: Running, tmp_path: Path) -> None:
    export(testbed, tmp_path, "--output", "x.har")
    log = json.loads((tmp_path / "x.har").read_text())["log"]
    assert [entry["request"]["method"] for entry in log["entries"]] == ["POST", "HEAD", "GET", "GET"]
    assert log["entries"][0]["request"]["bodySize"] == 3
    assert [m["data"] for m in log["entries"][3]["_webSocketMessages"]][:2] == ["hello, frames"] * 2


REQUIRED: dict[str, dict[str, Any]] = {  # HAR 1.2: what each object must have, with its JSON type
    "request": {
        "method": str,
        "url": str,
        "httpVersion": str,
        "cookies": list,
        "headers": list,
        "queryString": list,
        "headersSize": int,
        "bodySize": int,
    },
    "response": {
        "status": int,
        "statusText": str,
        "httpVersion": str,
        "cookies": list,
        "headers": list,
        "content": dict,
        "redirectURL": str,
        "headersSize": int,
        "bodySize": int,
    },
    "timings": {"send": (int, float), "wait": (int, float), "receive": (int, float)},
    "cache": {},
}


def test_a_har_has_what_the_format_demands(testbed: Running, tmp_path: Path) -> None:
    export(testbed, tmp_path, "--output", "x.har")
    log = json.loads((tmp_path / "x.har").read_text())["log"]
    assert (log["version"], log["creator"].keys() >= {"name", "version"}) == ("1.2", True)
    for entry in log["entries"]:
        assert datetime.fromisoformat(entry["startedDateTime"]).tzinfo is not None
        assert entry["time"] >= 0
        for part, demanded in REQUIRED.items():
            for name, kind in demanded.items():
                assert isinstance(entry[part][name], kind), (part, name)
        for pair in (*entry["request"]["headers"], *entry["response"]["headers"], *entry["request"]["queryString"]):
            assert isinstance(pair["name"], str)
            assert isinstance(pair["value"], str)
        assert entry["response"]["content"].keys() >= {"size", "mimeType"}


def test_an_mbox(testbed: Running, tmp_path: Path) -> None:
    import mailbox

    export(testbed, tmp_path, "--format", "mbox", "--output", "all.mail")
    box = mailbox.mbox(tmp_path / "all.mail")
    try:
        assert sorted(str(message["Subject"]) for message in box) == ["packets", "packets", "packets", "short"]
    finally:
        box.close()


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (("nope",), 1, "no session nope in sandbox default"),
        (("--output", "x.gif"), 2, "no format is called gif"),
        (("--room", "telnet"), 2, "there is no room telnet"),
        (("--sandbox", "nowhere", "--room", "ssh"), 1, "no sandbox nowhere"),
        (("--format", "mbox", "last"), 2, "an mbox holds messages"),
        (("last", "--room", "ftp", "--format", "har"), 2, "holds no HTTP exchanges"),
        (("last", "--output", "missing/x.talk"), 1, "missing/x.talk: No such file or directory"),
    ],
)
def test_what_cannot_be_written_is_told_in_a_line(
    words: tuple[str, ...], status: int, told: str, testbed: Running, tmp_path: Path
) -> None:
    (line,) = export(testbed, tmp_path, *words, status=status).stderr.strip().splitlines()
    assert told in line


# ── packets ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


class Capture:
    """An exported file as tshark reads it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self, shown: str, *fields: str) -> list[list[str]]:
        """The fields of the packets that fit."""
        listed = [word for name in fields for word in ("-e", name)]
        checks = ["-o", "tcp.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE"]
        done = subprocess.run(
            ["tshark", "-n", "-r", str(self._path), *checks, "-Y", shown, "-T", "fields", *listed],
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return [line.split("\t") for line in done.stdout.splitlines()]

    def column(self, shown: str, field: str) -> list[str]:
        """One field, of packets that have it several times each of them."""
        return [value for (values,) in self.read(shown, field) for value in values.split(",")]


@pytest.fixture(scope="module")
def capture(testbed: Running, tmp_path_factory: pytest.TempPathFactory) -> Capture:
    folder = tmp_path_factory.mktemp("capture")
    export(testbed, folder, "--output", "all.pcapng")
    return Capture(folder / "all.pcapng")


class TestByTshark:
    pytestmark = needs_tshark

    def test_every_protocol_is_named(self, capture: Capture) -> None:
        stacks = capture.column("frame", "frame.protocols")
        named = {name for stack in stacks for name in stack.split(":")}
        assert named >= {
            "eth",
            "ip",
            "tcp",
            "udp",
            "smtp",
            "pop",
            "imap",
            "ftp",
            "http",
            "dns",
            "websocket",
            "ssh",
            "imf",
        }

    def test_nothing_is_malformed_lost_or_summed_up_wrongly(self, capture: Capture) -> None:
        wrong = (
            "_ws.malformed",
            "tcp.analysis.lost_segment",
            "tcp.analysis.ack_lost_segment",
            "tcp.analysis.retransmission",
        )
        sums = ('tcp.checksum.status == "Bad"', 'udp.checksum.status == "Bad"', 'ip.checksum.status == "Bad"')
        for shown in (*wrong, "tcp.analysis.out_of_order", "tcp.analysis.window_full", *sums):
            assert capture.read(shown, "frame.number", "frame.protocols") == [], shown
        assert capture.read('tcp.checksum.status == "Good"', "frame.number")

    def test_each_connection_begins_and_ends(self, capture: Capture) -> None:
        streams = {stream for (stream,) in capture.read("tcp", "tcp.stream")}
        assert {
            stream for (stream,) in capture.read("tcp.flags.syn == 1 && tcp.flags.ack == 0", "tcp.stream")
        } == streams
        assert len(streams) > 8

    def test_commands_and_replies_in_their_order(self, capture: Capture) -> None:
        asked = capture.column("tcp.dstport == 25 && smtp.req.command", "smtp.req.command")
        assert [word.upper() for word in asked[:5]] == ["EHLO", "MAIL", "RCPT", "DATA", "QUIT"]
        hops = capture.column('smtp.req.command == "LHLO" && tcp.dstport == 25', "tcp.stream")
        assert len(hops) > 0  # port 24 would say nothing to a dissector
        assert capture.column("smtp.response.code == 354", "smtp.response.code")
        assert capture.column("pop.request.command", "pop.request.command") == ["USER", "PASS", "RETR", "QUIT"]
        words = capture.column("imap.request.command", "imap.request.command")
        assert [word.upper() for word in words if word.isalpha()][-2:] == ["LIST", "LOGOUT"]
        assert {"USER", "STOR", "QUIT"} <= set(capture.column("ftp.request.command", "ftp.request.command"))
        assert capture.column("ftp.response.code == 227", "ftp.passive.port")

    def test_what_followed_an_upgrade_is_read_as_plaintext(self, capture: Capture) -> None:
        asked = capture.column("tcp.dstport == 587 && smtp.req.command", "smtp.req.command")
        assert [word.upper() for word in asked] == ["EHLO", "STAR", "EHLO", "AUTH", "MAIL", "RCPT", "DATA", "QUIT"]
        assert capture.read("tls", "frame.number") == []

    def test_exchanges_with_their_heads(self, capture: Capture) -> None:
        requests = capture.read("http.request && tcp.dstport == 80", "http.request.method", "http.request.uri")
        assert requests == [["POST", "/post"], ["HEAD", "/get"], ["GET", "/stream/2"], ["GET", "/echo"]]
        codes = capture.column("http.response", "http.response.code")
        assert codes == ["200", "200", "200", "101"]
        assert capture.column("http.content_length_header == 3", "http.request.method") == ["POST"]
        assert "<secret" in capture.column("http.authorization", "http.authorization")[0]

    def test_frames_with_their_text(self, capture: Capture) -> None:
        opcodes = capture.column("websocket", "websocket.opcode")
        assert opcodes == ["1", "1", "2", "2", "8", "8"]
        lengths = capture.column("websocket.opcode == 2", "websocket.payload_length_ext_16")
        assert lengths == ["300", "300"]
        texts = capture.column('data-text-lines contains "hello, frames"', "tcp.srcport")
        assert len(texts) == 2

    def test_queries_and_answers_over_both_transports(self, capture: Capture) -> None:
        mine = 'dns.qry.name == "portyard.test" && dns.flags.response == 1'
        assert "mta.portyard.test" in capture.column(f"udp && {mine}", "dns.mx.mail_exchange")
        assert capture.column(f"tcp && {mine}", "dns.mx.mail_exchange") == ["mta.portyard.test"]

    def test_messages_are_read_from_the_store(self, capture: Capture) -> None:
        """The journal has their sizes alone: RFC 5321's DATA, RFC 1939's RETR, RFC 3501's APPEND and FETCH."""
        for port, count in (("tcp.dstport == 25", 4), ("tcp.dstport == 587", 1), ("tcp.srcport == 110", 1)):
            subjects = capture.column(f"imf && {port}", "imf.subject")
            assert subjects == ["packets"] * count, port
        (sent,) = capture.column("imf && tcp.dstport == 587", "tcp.payload")
        assert bytes.fromhex(sent) == MESSAGE.replace(b"\r\n.", b"\r\n..") + b".\r\n"
        fetched = capture.column("imf && tcp.srcport == 143", "imf.subject")
        assert set(fetched) >= {"packets"}
        uploaded = capture.column(f"tcp.dstport == 143 && tcp.len == {len(MESSAGE) * LONG}", "tcp.payload")
        assert [bytes.fromhex(each) for each in uploaded] == [MESSAGE * LONG]
        told = capture.read('frame.comment contains "from the mail store"', "frame.number")
        assert len(told) == 8

    def test_data_connections_stand_beside_theirs(self, capture: Capture) -> None:
        asked = 'frame.comment contains "data connection of"'
        (passive,) = capture.column("ftp.response.code == 227", "ftp.passive.port")
        assert capture.column(f'{asked} && frame.comment contains "STOR"', "tcp.dstport") == [passive]
        (active,) = capture.column('ftp.request.command == "PORT"', "ftp.active.port")
        assert capture.column(f'{asked} && frame.comment contains "NLST"', "tcp.srcport") == [active]
        carried = capture.read("ftp-data", "tcp.srcport", "tcp.dstport", "tcp.payload")
        assert [(port, bytes.fromhex(octets)) for _, port, octets in carried] == [
            (passive, (b"hello" * 300)[:1024]),
            (active, b"a.txt\r\n"),
        ]
        assert int(carried[0][0]) > 1023
        assert carried[1][0] == "20"
        ((size, comment),) = capture.read("frame.cap_len < frame.len && ftp-data", "tcp.len", "frame.comment")
        assert (size, comment) == ("1500", "the rest of what STOR /a.txt carried wasn't kept: 476 octets")

    def test_what_ssh_carried_is_a_comment(self, capture: Capture) -> None:
        assert capture.read('tcp.port == 22 && frame.comment contains "of SSH only the version lines"', "frame.number")
        said = capture.read('tcp.dstport == 22 && frame.comment contains "command: text=true"', "tcp.len")
        assert said == [["0"]]

    def test_what_was_not_kept_is_said(self, capture: Capture) -> None:
        ((comment, size),) = capture.read("frame.cap_len < frame.len && tcp.dstport == 25", "frame.comment", "tcp.len")
        assert comment.endswith(
            f"a message of {len(MESSAGE)} octets, as it was before dots were doubled, wasn't kept; its end mark follows"
        )
        assert size == str(len(MESSAGE) - 2)
        assert capture.read("frame.cap_len < frame.len && tcp.dstport == 143", "frame.number") == []
        cut = capture.read("frame.cap_len < frame.len && tcp.srcport == 143", "frame.comment", "tcp.len")
        comment, length = cut[-1]
        kept = int(length) - int(comment.removeprefix("what comes here wasn't kept: ").removesuffix(" octets"))
        assert kept == 1024
        ends = capture.column('tcp.srcport == 143 && imap.response.command == "List"', "imap.response")
        assert any("OK List completed" in end for end in ends)
        assert capture.read('frame.comment contains "a secret is blanked"', "frame.number")


def test_python_needs_no_tshark_to_write_them(testbed: Running, tmp_path: Path) -> None:
    url = f"http://{HOST}:{testbed.port('console')}"
    words: list[Any] = [sys.executable, "-m", "portyard", "export", "last", "-f", "pcapng", "--url", url]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, timeout=LIMIT_S, check=True)
    assert done.stdout[:4] == b"\x0a\x0d\x0d\x0a"  # piped on
