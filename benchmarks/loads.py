"""The loads: what each room is asked again and again, by how it is called in a table and how it is chosen on the command line."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.asking import Asking
from benchmarks.driver import Driver, Work
from benchmarks.load import Job, message
from benchmarks.processes import HOST, BenchmarkError, Testbed
from benchmarks.shells import Shells
from benchmarks.smtp import drive
from benchmarks.together import Together

LOGIN = ("alice@portyard.test", "alice-secret")
TEAMS = 4  # at most, each with connections and maildrops of its own
OCTETS = 4096
Step = tuple[str, str]
Steps = tuple[Step, ...]
Make = Callable[[Testbed, int, int], Work]
"""A job for a team: the testbed, the number of its first connection, and how many it has."""


@dataclass(frozen=True, slots=True)
class Load:
    """One room under load.

    Attributes:
        key: What chooses it: the room, and what is special.
        room: Whose vocabulary its events are of; empty for those of every room.
        title: What the table calls it.
        unit: What is counted.
        make: Its job.
        handed_on: A unit is done when the mail is delivered, not when it is accepted.
        journal: Whether its sessions are ones that stay, so that each can be with a journal or without.
        least: Units of a slice, at least.
    """

    key: str
    room: str
    title: str
    unit: str
    make: Make
    handed_on: bool = False
    journal: bool = True
    least: int = 8


def _asking(port: str, prelude: Steps, cycle: Steps, greeted: str = "line", *, datagrams: bool = False) -> Make:
    def make(testbed: Testbed, first: int, connections: int) -> Asking:
        return Asking(testbed.port(port), prelude, cycle, greeted, 0.0, connections, datagrams, first)

    return make


def _shells(errand: str) -> Make:
    return lambda testbed, _, connections: Shells(testbed.port("ssh"), errand, LOGIN, connections)


def _mail(port: str, hello: str, recipient: str) -> Make:
    envelope = (("MAIL FROM:<load@example.org>\r\n", "line"), (f"RCPT TO:<{recipient}>\r\n", "line"))
    block = message(OCTETS).decode("ascii") + ".\r\n"
    return _asking(port, ((f"{hello} bench.test\r\n", "line"),), (*envelope, ("DATA\r\n", "line"), (block, "line")))


def _web(target: str) -> Make:
    head = f"GET {target} HTTP/1.1\r\nHost: {HOST}\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n"
    return _asking("http", (), ((head, "body"),), greeted="")


def _resolve(labels: Sequence[str]) -> Make:
    """An MX query (RFC 1035 §4.1)."""
    name = "".join(chr(len(label.replace("%c", "12345678"))) + label for label in (*labels, ""))
    query = "\0\0\1\0\0\1\0\0\0\0\0\0" + name + "\0\x0f\0\1"
    return _asking("dns-udp", (), ((query, "resolved"),), greeted="", datagrams=True)


_USER, _PASSWORD = LOGIN
_KEY = base64.b64encode(bytes(16)).decode()
_UPGRADE = (
    f"GET /echo HTTP/1.1\r\nHost: {HOST}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {_KEY}\r\n\r\n"
)
_IN_BOX = ((f"a LOGIN {_USER} {_PASSWORD}\r\n", "tagged"), ("a SELECT INBOX\r\n", "tagged"))
_IMAP = (("a NOOP\r\n", "tagged"), ("a FETCH 1 (UID FLAGS)\r\n", "tagged"), ("a FETCH 1 (BODY.PEEK[])\r\n", "tagged"))
_MAILDROP = (("USER u%n@portyard.test\r\n", "line"), ("PASS portyard\r\n", "line"))
_POP3 = (("STAT\r\n", "line"), ("LIST 1\r\n", "line"), ("RETR 1\r\n", "block"))
_FTP_LOGIN = ((f"USER {_USER}\r\n", "line"), (f"PASS {_PASSWORD}\r\n", "line"))
_FTP = (("PWD\r\n", "line"), ("TYPE I\r\n", "line"), ("NOOP\r\n", "line"))
_FTP_VARIED = (("SIZE nothing%c\r\n", "refused"), ("CWD /\r\n", "line"), ("MDTM nothing%c\r\n", "refused"))
_FRAME = (("\x81\x85\0\0\0\0hello", "frame"),)
_FRAME_VARIED = (("\x81\x88\0\0\0\0%c", "frame"),)
_OBJECT = '{"id":"%c","kind":"moved","to":"'  # the number has eight digits
_FRAME_OBJECT = ((f'\x81\xfe\0\xc8\0\0\0\0{_OBJECT}{"x" * (200 - len(_OBJECT) - 6 - 2)}"}}', "frame"),)

SINGLE = (
    Load(
        "smtp",
        "smtp",
        "SMTP, the MTA accepts and hands on",
        "message",
        _mail("smtp", "EHLO", "bob@portyard.test"),
        handed_on=True,
    ),
    Load("lmtp", "smtp", "LMTP, into the store", "message", _mail("lmtp", "LHLO", "bob@portyard.test")),
    Load(
        "lmtp-varied",
        "smtp",
        "LMTP, another recipient each time",
        "message",
        _mail("lmtp", "LHLO", "bob+n%c@portyard.test"),
    ),
    Load(
        "imap",
        "imap",
        "IMAP: NOOP, FETCH flags, FETCH a message of 4 KiB",
        "three commands",
        _asking("imap", _IN_BOX, _IMAP),
    ),
    Load("pop3", "pop3", "POP3: STAT, LIST 1, RETR 1 (4 KiB)", "three commands", _asking("pop3", _MAILDROP, _POP3)),
    Load("http", "http", "HTTP: GET /get", "request", _web("/get")),
    Load("http-varied", "http", "HTTP: GET, another path each time", "request", _web("/anything/%c")),
    Load(
        "websocket",
        "websocket",
        "WebSocket: a text frame, echoed",
        "frame",
        _asking("ws", ((_UPGRADE, "body"),), _FRAME, greeted=""),
    ),
    Load(
        "websocket-varied",
        "websocket",
        "WebSocket: another text each time, echoed",
        "frame",
        _asking("ws", ((_UPGRADE, "body"),), _FRAME_VARIED, greeted=""),
    ),
    Load(
        "websocket-object",
        "websocket",
        "WebSocket: another JSON object of 200 octets each time, echoed",
        "frame",
        _asking("ws", ((_UPGRADE, "body"),), _FRAME_OBJECT, greeted=""),
    ),
    Load("ftp", "ftp", "FTP: PWD, TYPE I, NOOP", "three commands", _asking("ftp", _FTP_LOGIN, _FTP)),
    Load(
        "ftp-varied",
        "ftp",
        "FTP: SIZE and MDTM of another path each time, CWD",
        "three commands",
        _asking("ftp", _FTP_LOGIN, _FTP_VARIED),
    ),
    Load("dns", "dns", "DNS: an MX record, by UDP", "query", _resolve(("portyard", "test"))),
    Load("dns-varied", "dns", "DNS: another name's MX each time", "query", _resolve(("n%c", "example"))),
    Load("sftp", "ssh", "SFTP: stat, open, read 4 KiB, close", "file", _shells("sftp")),
    Load("exec", "ssh", "SSH: exec echo", "command", _shells("exec")),
)
SHARES = {
    **{"smtp": 1, "lmtp": 1, "lmtp-varied": 1, "imap": 9, "pop3": 18, "http": 12, "http-varied": 10, "websocket": 60},
    **{"websocket-varied": 60, "websocket-object": 50, "ftp": 18, "ftp-varied": 8, "dns": 12, "dns-varied": 10},
    **{"sftp": 2, "exec": 1},
}
"""How many units of each load make a round of every room: each room has some three milliseconds of a processor."""


def _every_room(testbed: Testbed, first: int, connections: int) -> Together:
    jobs = [(load.make(testbed, first, connections), SHARES[load.key]) for load in SINGLE]
    return Together(tuple((job, share) for job, share in jobs if not isinstance(job, Together)))


LOADS = (
    Load("all", "", "Every room at once, each as busy as the others", "round", _every_room, handed_on=True, least=2),
    *SINGLE,
)


def chosen(words: Sequence[str]) -> list[Load]:
    """The loads that words choose: a key, or all that begin with it; all of them where there is no word.

    Raises:
        BenchmarkError: A word chooses none.
    """
    found = [load for load in LOADS if not words or any(f"{load.key}-".startswith(f"{word}-") for word in words)]
    for word in words:
        if not any(f"{load.key}-".startswith(f"{word}-") for load in LOADS):
            raise BenchmarkError(f"no room {word}: expected some of {', '.join(load.key for load in LOADS)}")
    return found


def fill_journal(testbed: Testbed, events: int) -> None:
    """Frames until the journal has so many events: two each."""
    load = next(load for load in LOADS if load.key == "websocket")
    with Driver() as driver:
        driver.open("fill", load.make(testbed, 0, TEAMS))
        for _ in range(10):
            driver.work("fill", cycles=events // 20)


def fill(testbed: Testbed, connections: int) -> None:
    """Something to read: one message of 4 KiB for those who log in. A maildrop has one session at a time, so each has its own."""
    drops = (f"u{number}@portyard.test" for number in range(connections * TEAMS))
    for recipient in (LOGIN[0], *drops):
        drive(Job(testbed.port("lmtp"), recipient, messages=1, connections=1, lmtp=True))
