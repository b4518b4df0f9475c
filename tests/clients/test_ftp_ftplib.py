"""The standard library's client does whole errands."""

from __future__ import annotations

import asyncio
import ftplib
import io
import os
import ssl
from pathlib import Path

import pytest

from tests.support.asyncio_tests import LOOPS, run
from tests.support.ftp import PASSWORD, USER, open_ftp

LIMIT_S = 60.0


class ImplicitFtps(ftplib.FTP_TLS):
    """ftplib knows no implicit FTPS: TLS goes around the socket before the greeting."""

    def connect(self, host: str = "", port: int = 0, *_: object, **__: object) -> str:
        import socket

        self.host, self.port = host, port
        plain = socket.create_connection((host, port), LIMIT_S)
        self.af = plain.family
        self.sock = self.context.wrap_socket(plain, server_hostname=host)
        self.file = self.sock.makefile("r", encoding=self.encoding)
        self.welcome = self.getresp()
        return self.welcome


def connect(kind: str, ports: dict[str, int], context: ssl.SSLContext) -> ftplib.FTP:
    if kind == "plain":
        client = ftplib.FTP(timeout=LIMIT_S)
        client.connect("localhost", ports["ftp"])
        client.login(USER, PASSWORD)
        return client
    if kind == "explicit":
        secure = ftplib.FTP_TLS(context=context, timeout=LIMIT_S)
        secure.connect("localhost", ports["ftp"])
    else:
        secure = ImplicitFtps(context=context, timeout=LIMIT_S)
        secure.connect("localhost", ports["ftps"])
    secure.login(USER, PASSWORD)
    if kind == "clear-data":
        secure.prot_c()
    else:
        secure.prot_p()
    return secure


def errand(client: ftplib.FTP, data: bytes) -> None:
    with client:
        assert client.pwd() == "/"
        client.mkd("in")
        client.cwd("in")
        client.storbinary("STOR big.bin", io.BytesIO(data))
        assert client.size("big.bin") == len(data)
        got = io.BytesIO()
        client.retrbinary("RETR big.bin", got.write)
        assert got.getvalue() == data
        client.storlines("STOR ü.txt", io.BytesIO(b"one\ntwo\n"))
        lines: list[str] = []
        client.retrlines("RETR ü.txt", lines.append)
        assert lines == ["one", "two"]
        assert sorted(client.nlst()) == ["big.bin", "ü.txt"]
        facts = dict(client.mlsd("/in"))
        assert facts["big.bin"]["size"] == str(len(data))
        assert client.sendcmd("MFMT 20200102030405 ü.txt").startswith("213 Modify=20200102030405;")
        assert client.sendcmd("MDTM ü.txt") == "213 20200102030405"
        client.voidcmd("TYPE I")
        tail = io.BytesIO()
        client.retrbinary("RETR big.bin", tail.write, rest=len(data) - 5)
        assert tail.getvalue() == data[-5:]
        client.storbinary("APPE ü.txt", io.BytesIO(b"three\n"))
        assert client.size("ü.txt") == 14
        client.rename("ü.txt", "/moved.txt")
        client.delete("big.bin")
        client.cwd("..")
        client.rmd("in")
        assert client.nlst() == ["moved.txt"]
        client.voidcmd("SITE CHMOD 600 moved.txt")
        assert " /moved.txt" in client.sendcmd("MLST moved.txt")
        with pytest.raises(ftplib.error_perm, match="550"):
            client.cwd("missing")
        listing: list[str] = []
        client.dir(listing.append)
        assert listing[0].startswith("-rw-------")
        assert client.quit().startswith("221")


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("kind", ["plain", "explicit", "implicit", "clear-data"])
def test_errand(kind: str, loop: str, tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            ports = {name: ftp.served.port(name) for name in ("ftp", "ftps")}
            context = ftp.served.client_context()
            data = os.urandom(3_000_000)
            await asyncio.to_thread(lambda: errand(connect(kind, ports, context), data))
            assert await ftp.content("/moved.txt") == b"one\ntwo\nthree\n"

    run(go(), loop)


def test_abort(tmp_path: Path) -> None:
    def errand_that_aborts(port: int) -> None:
        with ftplib.FTP(timeout=LIMIT_S) as client:
            client.connect("localhost", port)
            client.login(USER, PASSWORD)
            client.voidcmd("TYPE I")
            connection = client.transfercmd("RETR big")
            connection.recv(1000)
            assert client.abort().startswith("426")
            connection.close()
            assert client.voidresp().startswith("226")
            assert client.size("big") == 64 << 20

    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            (await ftp.root()).open("/big", "wb").close()
            (await ftp.root()).truncate("/big", 64 << 20)
            await asyncio.to_thread(errand_that_aborts, ftp.served.port("ftp"))

    run(go())


def test_many_at_once(tmp_path: Path) -> None:
    def one(port: int, number: int) -> None:
        data = bytes([number]) * 300_000
        with ftplib.FTP(timeout=LIMIT_S) as client:
            client.connect("localhost", port)
            client.login(USER, PASSWORD)
            for turn in range(3):
                client.storbinary(f"STOR f{number}-{turn}", io.BytesIO(data))
                got = io.BytesIO()
                client.retrbinary(f"RETR f{number}-{turn}", got.write)
                assert got.getvalue() == data

    async def go() -> None:
        async with open_ftp(tmp_path) as ftp:
            port = ftp.served.port("ftp")
            await asyncio.gather(*(asyncio.to_thread(one, port, number) for number in range(8)))
            assert len((await ftp.root()).list("/")) == 24

    run(go())
