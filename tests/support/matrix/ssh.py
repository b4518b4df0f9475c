"""SSH: octet by octet before the key exchange, from there on through asyncssh's client."""

from __future__ import annotations

import asyncio
import contextlib
import re
import struct
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import asyncssh

from tests.support.matrix.place import (
    DELAY_S,
    PASSWORD,
    PATIENCE_S,
    QUIET_S,
    Cell,
    Client,
    Delayed,
    Place,
)

CONTENT = b"cargo"
_VERSION = rb"SSH-2\.0-[^\n]*\n"
_GONE = (asyncssh.Error, ConnectionError)


def ssh(place: Place) -> Iterator[Cell]:
    """SSH's cells; some files."""
    place.ensure_account("m-ssh")
    asyncio.run(_furnish(place))
    yield Cell("ssh", "greeting", "refuse", {"refuse": "not today"}, partial(_greets, b"not today\r\n"))
    yield Cell("ssh", "greeting", "say", {"say": "SSH-2.0-Old_1.0"}, partial(_begins, b"SSH-2.0-Old_1.0\r\n"))
    yield Cell("ssh", "kex", "refuse", {"refuse": "not today"}, _is_sent_away)
    # The RST at `connect` comes last: the room greets a client that is gone, which would spend a rule that is set next.
    for verb in ("greeting", "connect"):
        yield Cell("ssh", verb, "silence", {"silence": True}, _greets_never)
        yield Cell("ssh", verb, "delay", {"delay": DELAY_S}, _greets_late)
        yield Cell("ssh", verb, "hang_up", {"hang_up": True}, partial(_greets, b""))
        yield Cell("ssh", verb, "bytes", {"reset": True}, _greets_with_a_reset)
    for verb, (where, work, answers) in _REQUESTS.items():
        yield from _cells(verb, where, work, answers)
    for operation, (where, prepare, work) in _OPERATIONS.items():
        yield from _cells(f"sftp_{operation}", where, partial(_files, prepare, work), _SFTP)


# Before the key exchange


def _greets(words: bytes, place: Place) -> None:
    with Client(place.connect("ssh")) as client:
        assert client.rest() == words


def _begins(words: bytes, place: Place) -> None:
    with Client(place.connect("ssh")) as client:
        assert client.until(re.escape(words)) == words


def _greets_never(place: Place) -> None:
    with Client(place.connect("ssh")) as client:
        place.acted()
        client.is_quiet()


def _greets_late(place: Place) -> None:
    with Delayed():
        _begins_well(place)


def _begins_well(place: Place) -> None:
    with Client(place.connect("ssh")) as client:
        client.until(_VERSION)


def _greets_with_a_reset(place: Place) -> None:
    with Client(place.connect("ssh")) as client:
        client.is_reset()


def _is_sent_away(place: Place) -> None:
    """Octet by octet: asyncssh's client, while it thinks about our KEXINIT, forgets what came before the end (RFC 4253 §11.1)."""
    with Client(place.connect("ssh")) as client:
        client.say(b"SSH-2.0-matrix\r\n" + _kexinit())
        heard = client.rest()
        # SSH_MSG_DISCONNECT, SSH_DISCONNECT_KEY_EXCHANGE_FAILED
        assert b"\x01\0\0\0\x03" + _string(b"not today") in heard, heard


def _kexinit() -> bytes:
    """A KEXINIT (RFC 4253 §7.1), in a packet without encryption (§6)."""
    names = [
        b"curve25519-sha256",
        b"ssh-ed25519",
        *[b"aes128-ctr"] * 2,
        *[b"hmac-sha2-256"] * 2,
        *[b"none"] * 2,
        b"",
        b"",
    ]
    payload = b"\x14" + bytes(16) + b"".join(map(_string, names)) + bytes(5)
    padding = 8 - (len(payload) + 5) % 8 + 8
    return struct.pack(">IB", len(payload) + padding + 1, padding) + payload + bytes(padding)


def _string(octets: bytes) -> bytes:
    return struct.pack(">I", len(octets)) + octets


# From there on


class User(asyncssh.SSHClient):
    """Answers prompts with the password, and remembers what it was told."""

    def __init__(self) -> None:
        self.tries = 0
        self.prompts: list[str] = []
        self.banners: list[str] = []
        self.lost: list[Exception | None] = []

    def auth_banner_received(self, msg: str, lang: str) -> None:
        self.banners.append(msg)

    def kbdint_auth_requested(self) -> str | None:
        self.tries += 1
        return "" if self.tries == 1 else None

    def kbdint_challenge_received(
        self, name: str, instructions: str, lang: str, prompts: Sequence[tuple[str, bool]]
    ) -> list[str]:
        self.prompts += [prompt for prompt, _ in prompts]
        return [PASSWORD for _ in prompts]

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.append(exc)


class Asked:
    """An errand's connection, and what a cell wants to know of it."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.user = User()
        self.said = ""
        self.client: asyncssh.SSHClientConnection | None = None

    @contextlib.asynccontextmanager
    async def connected(self, method: str = "password") -> Any:
        host, number = self.place.ports["ssh"]
        client = self.client = await asyncssh.connect(
            host,
            number,
            username=f"m-ssh@{self.place.domain}",
            password=PASSWORD if method == "password" else None,
            known_hosts=None,
            config=None,
            client_keys=None,
            agent_path=None,
            preferred_auth=method,
            client_factory=lambda: self.user,
        )
        try:
            yield client
        finally:
            client.abort()
            await client.wait_closed()


Work = Callable[[Asked], Awaitable[object]]
Answer = tuple[object, Callable[[Work, Asked], Awaitable[None]]]


async def log_in(asked: Asked, method: str = "password") -> None:
    async with asked.connected(method):
        pass


async def _run(asked: Asked, command: str | None = "echo hi", **options: Any) -> None:
    async with asked.connected() as client:
        done = await client.run(command, **options)
        asked.said = f"{done.stdout}|{done.stderr}|{done.exit_status}"


async def _sftp(asked: Asked) -> None:
    async with asked.connected() as client:
        await client.start_sftp_client()


async def _files(
    prepare: Callable[[asyncssh.SFTPClient], Awaitable[object]] | None,
    work: Callable[[asyncssh.SFTPClient], Awaitable[object]],
    asked: Asked,
) -> None:
    async with asked.connected() as client:
        files = await client.start_sftp_client()
        if prepare is not None:
            with contextlib.suppress(asyncssh.SFTPError):
                await prepare(files)
        await work(files)


def _fails(kind: type[Exception], words: str = "") -> Callable[[Work, Asked], Awaitable[None]]:
    async def see(work: Work, asked: Asked) -> None:
        told = None
        try:
            await work(asked)
        except kind as error:
            told = [str(error), *asked.user.banners]
        assert told is not None, "it was granted"
        assert words in "".join(told), told

    return see


def _hears(words: str) -> Callable[[Work, Asked], Awaitable[None]]:
    async def see(work: Work, asked: Asked) -> None:
        await work(asked)
        assert words in (asked.said, *asked.user.prompts), (asked.said, asked.user.prompts)

    return see


_DENIED = asyncssh.PermissionDenied
_CLOSED = asyncssh.ChannelOpenError
_PROMPTS: Mapping[str, Answer] = {
    "refuse": ("not today", _fails(_DENIED)),
    "say": ("Passphrase, friend? ", _hears("Passphrase, friend? ")),
    "script": ([{"say": "Password: "}, {"expect": PASSWORD}, {"say": "Code: "}, {"expect": "*"}], _hears("Code: ")),
}
_STUB = {"body": "a stub\n", "stderr": "oops\n", "status": 3}
_EXEC: Mapping[str, Answer] = {
    "refuse": ("not today", _fails(_CLOSED)),
    "say": ("so they say\n", _hears("so they say\n||0")),
    "respond": (_STUB, _hears("a stub\n|oops\n|3")),
}
_REQUESTS: Mapping[str, tuple[Mapping[str, object], Work, Mapping[str, Answer]]] = {
    "kex": ({}, log_in, {}),
    "auth": ({"method": "password"}, log_in, {"refuse": ("not today", _fails(_DENIED, "not today"))}),
    "prompt": ({}, partial(log_in, method="keyboard-interactive"), _PROMPTS),
    "env": (
        {"name": "LANG"},
        partial(_run, command='echo "$LANG"', env={"LANG": "tlh"}),
        {"refuse": ("not today", _hears("\n||0"))},
    ),
    "pty": ({}, partial(_run, term_type="xterm"), {"refuse": ("not today", _fails(_CLOSED))}),
    "shell": ({}, partial(_run, command=None, input="exit\n"), {"refuse": ("not today", _fails(_CLOSED))}),
    "exec": ({}, _run, _EXEC),
    "subsystem": ({}, _sftp, {"refuse": ("not today", _fails(_CLOSED))}),
    "output": ({}, _run, {}),
}
_SFTP: Mapping[str, Answer] = {
    "refuse": ("permission denied: not today", _fails(asyncssh.SFTPPermissionDenied, "not today")),
    "say": ("failure: so they say", _fails(asyncssh.SFTPFailure, "so they say")),
}


def _cells(verb: str, where: Mapping[str, object], work: Work, answers: Mapping[str, Answer]) -> Iterator[Cell]:
    common: dict[str, Answer] = {
        "silence": (True, _is_silent),
        "delay": (DELAY_S, _is_late),
        "hang_up": (True, _ends),
        "bytes": (True, is_reset),
    }
    for action, (then, see) in {**common, **answers}.items():
        rule = {"reset" if action == "bytes" else action: then}
        yield Cell("ssh", verb, action, rule, partial(_look, work, see), where)


def _look(work: Work, see: Callable[[Work, Asked], Awaitable[None]], place: Place) -> None:
    async def look() -> None:
        async with asyncio.timeout(PATIENCE_S):
            await see(work, Asked(place))

    asyncio.run(look())


async def _is_silent(work: Work, asked: Asked) -> None:
    task = asyncio.ensure_future(work(asked))
    while not asked.place.hits():
        await asyncio.wait([task], timeout=0.01)
    done, _ = await asyncio.wait([task], timeout=QUIET_S)
    assert not done, task
    if asked.client is None:
        task.cancel()
    else:
        asked.client.abort()
    with contextlib.suppress(asyncio.CancelledError, *_GONE):
        await task


async def _is_late(work: Work, asked: Asked) -> None:
    with Delayed():
        await work(asked)


async def _ends(work: Work, asked: Asked) -> None:
    with contextlib.suppress(*_GONE):
        await work(asked)
    assert asked.user.lost, "the connection stands"
    assert not isinstance(asked.user.lost[0], ConnectionResetError)


async def is_reset(work: Work, asked: Asked) -> None:
    with contextlib.suppress(*_GONE):
        await work(asked)
    assert asked.user.lost, "the connection stands"
    assert isinstance(asked.user.lost[0], ConnectionResetError), asked.user.lost


# SFTP


async def _furnish(place: Place) -> None:
    async with Asked(place).connected() as client:
        files = await client.start_sftp_client()
        await _write(files, "f")
        for name in ("d", "d/inside"):
            await files.mkdir(name)
        await files.symlink("f", "l")


async def _read(files: asyncssh.SFTPClient) -> None:
    async with files.open("f", "rb", block_size=0) as file:
        assert await file.read() == CONTENT


async def _write(files: asyncssh.SFTPClient, name: str) -> None:
    async with files.open(name, "wb", block_size=0) as file:
        await file.write(CONTENT)


async def _with_open(files: asyncssh.SFTPClient, what: str, *arguments: object) -> None:
    async with files.open("f", "r+b", block_size=0) as file:
        await getattr(file, what)(*arguments)


Do = Callable[[asyncssh.SFTPClient], Awaitable[object]]
_OPERATIONS: Mapping[str, tuple[Mapping[str, object], Do | None, Do]] = {
    "open": ({"path": "/f"}, None, _read),
    "close": ({"path": "/f"}, None, _read),
    "read": ({"path": "/f", "offset": 0}, None, _read),
    "write": ({"path": "/w"}, None, lambda files: _write(files, "w")),
    "stat": ({"path": "/f"}, None, lambda files: files.stat("f")),
    "lstat": ({"path": "/f"}, None, lambda files: files.lstat("f")),
    "fstat": ({"path": "/f"}, None, lambda files: _with_open(files, "stat")),
    "setstat": ({"path": "/f"}, None, lambda files: files.chmod("f", 0o600)),
    "fsetstat": ({"path": "/f"}, None, lambda files: _with_open(files, "chmod", 0o600)),
    "opendir": ({"path": "/d"}, None, lambda files: files.listdir("d")),
    "readdir": ({"path": "/d"}, None, lambda files: files.listdir("d")),
    "remove": ({"path": "/gone"}, lambda files: _write(files, "gone"), lambda files: files.remove("gone")),
    "mkdir": ({"path": "/new"}, lambda files: files.rmdir("new"), lambda files: files.mkdir("new")),
    "rmdir": ({"path": "/empty"}, lambda files: files.mkdir("empty"), lambda files: files.rmdir("empty")),
    "realpath": ({"path": "/d/f"}, None, lambda files: files.realpath("d/f")),
    "rename": (
        {"path": "/old"},
        lambda files: _write(files, "old"),
        lambda files: files.posix_rename("old", "other"),
    ),
    "readlink": ({"path": "/l"}, None, lambda files: files.readlink("l")),
    "symlink": ({"path": "/l2"}, lambda files: files.remove("l2"), lambda files: files.symlink("f", "l2")),
    "link": ({"path": "/h"}, lambda files: files.remove("h"), lambda files: files.link("f", "h")),
    "statvfs": ({"path": "/d"}, None, lambda files: files.statvfs("d")),
    "fsync": ({"path": "/f"}, None, lambda files: _with_open(files, "fsync")),
    "copy": ({"path": "/f"}, None, lambda files: files.remote_copy("f", "copy")),
}
