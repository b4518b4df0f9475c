"""What kept sessions hear when their sandbox was reset or their account deleted: the reason, in each protocol's words."""

from __future__ import annotations

import asyncio
import ftplib
import imaplib
import poplib
from collections.abc import Callable
from pathlib import Path

import asyncssh
import pytest

from portyard.commons.scenario.parsing import parse_rule
from portyard.ftp.card import CARD as FTP
from portyard.imap.card import CARD as IMAP
from portyard.pop3.card import CARD as POP3
from portyard.ssh.card import CARD as SSH
from tests.support.asyncio_tests import run
from tests.support.resets import LOGIN, PASSWORD, account_of, with_t1
from tests.support.ssh_client import connect

LIMIT_S = 20.0
OCTETS = b"Subject: late\r\n\r\n"


def abort_of(act: Callable[[], object]) -> str:
    with pytest.raises(imaplib.IMAP4.abort) as caught:
        act()
    return str(caught.value).partition(" => ")[2]


def maildrop(port: int) -> poplib.POP3:
    client = poplib.POP3("127.0.0.1", port, timeout=LIMIT_S)
    client.user(LOGIN)
    client.pass_(PASSWORD)
    client.dele(1)
    return client


def mailboxes(port: int) -> list[imaplib.IMAP4]:
    """Logged in; selected; idling."""
    clients = [imaplib.IMAP4("127.0.0.1", port, timeout=LIMIT_S) for _ in range(3)]
    for client in clients:
        client.login(LOGIN, PASSWORD)
    for client in clients[1:]:
        client.select()
    clients[2].send(b"i IDLE\r\n")
    assert clients[2].readline().startswith(b"+ ")
    return clients


ENDINGS = {"reset": "sandbox was reset since the login", "delete": "account was deleted"}


@pytest.mark.parametrize("act", ENDINGS)
def test_what_kept_mail_sessions_hear(act: str, tmp_path: Path) -> None:
    """The reason, and not what it looks like from within the session."""
    told = ENDINGS[act]

    async def go() -> None:
        async with with_t1(tmp_path, IMAP, POP3) as served:
            yard = served.yard
            for _ in range(2):
                await yard.mail.append((await account_of(yard)).id, "INBOX", OCTETS)
            pop = await asyncio.to_thread(maildrop, served.port("pop3"))
            listing, selected, idling = await asyncio.to_thread(mailboxes, served.port("imap"))
            await getattr(yard.sandboxes, act)("t1")

            def hear() -> None:
                assert idling.readline() == f"* BYE {told.capitalize()}\r\n".encode()
                assert abort_of(selected.noop) == told.capitalize()
                assert abort_of(listing.list) == told.capitalize()
                assert pop.stat()[0] == 1  # RFC 1939 §4: the maildrop that was locked
                assert pop.quit() == f"+OK Portyard POP3 signing off (the {told})".encode()
                for client in (listing, selected, idling):
                    client.shutdown()

            await asyncio.to_thread(hear)

    run(go())


@pytest.mark.parametrize("persona", ["", "vsftpd"])
@pytest.mark.parametrize("act", ENDINGS)
def test_what_kept_ftp_sessions_hear(act: str, persona: str, tmp_path: Path) -> None:
    """Whatever they ask for; what is under way goes on, who said nothing but goodbye is let go, and who logs in anew is somebody."""

    def keep(port: int) -> ftplib.FTP:
        client = ftplib.FTP(timeout=LIMIT_S)
        client.connect("127.0.0.1", port)
        client.login(LOGIN, PASSWORD)
        return client

    def hear(commands: dict[str, ftplib.FTP]) -> None:
        for command, client in commands.items():
            with pytest.raises(ftplib.error_temp, match=f"^421 The {ENDINGS[act]}"):
                client.sendcmd(command)
            with pytest.raises(EOFError):
                client.voidcmd("NOOP")
            client.close()

    async def go() -> None:
        async with with_t1(tmp_path, FTP) as served:
            yard = served.yard
            if persona:
                words = {"on": "ftp.connect", "then": {"persona": persona}}
                await yard.rules.add("default", parse_rule(words))
            port = served.port("ftp")
            commands = {
                word: await asyncio.to_thread(keep, port) for word in ("CWD /", "MKD d", "NOOP", "PASV", "NLST")
            }
            leaving, anew = [await asyncio.to_thread(keep, port) for _ in range(2)]
            await yard.accounts.create("default", "new@portyard.test", "pw")  # another's changes nothing
            assert (await asyncio.to_thread(leaving.pwd)) == "/"
            await getattr(yard.sandboxes, act)("t1")
            await yard.rules.add("default", parse_rule({"on": "ftp.cwd", "then": {"refuse": "550 a rule's"}}))
            await asyncio.to_thread(hear, commands)
            assert (await asyncio.to_thread(leaving.quit)).startswith("221")
            if act == "reset" and not persona:
                assert (await asyncio.to_thread(anew.login, LOGIN, PASSWORD)).startswith("230")
                assert await asyncio.to_thread(anew.nlst) == []
            anew.close()

    run(go())


@pytest.mark.parametrize("act", ENDINGS)
def test_what_kept_ssh_sessions_hear(act: str, tmp_path: Path) -> None:
    told = f"the {ENDINGS[act]}"

    async def go() -> None:
        async with (
            with_t1(tmp_path, SSH) as served,
            connect(served, username=LOGIN, password=PASSWORD) as connection,
            connection.start_sftp_client() as sftp,
            connection.create_process() as shell,
        ):
            async with sftp.open("/file", "wb+") as file:
                await file.write(b"x")
                await getattr(served.yard.sandboxes, act)("t1")
                assert await file.read(1, 0) == b"x"
            for work in (sftp.listdir("."), sftp.stat("/file"), sftp.mkdir("/d"), sftp.realpath(".")):
                with pytest.raises(asyncssh.SFTPNoSuchFile, match=told):
                    await work
            for command in ("echo x > y", "true", "scp -f file"):
                done = await connection.run(command)
                assert (done.exit_status, done.stdout) == (1, "")
                assert str(done.stderr) in (f"sh: {told}\n", f"scp: {told}\n")
            shell.stdin.write("true\n")
            done = await shell.wait()
            assert (done.exit_status, done.stderr) == (1, f"sh: {told}\n")

    run(go())
