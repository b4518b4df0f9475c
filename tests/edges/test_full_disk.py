"""A disk that is full: a temporary refusal, nothing half-stored, everybody else unaffected, and room again once something goes."""

from __future__ import annotations

import contextlib
import json
import os
import poplib
import smtplib
import subprocess
import time
import urllib.error
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.control import Console
from tests.support.process import Running, serving

DISK_MEGABYTES = 32
PATIENCE_S = 30.0
MESSAGE = b"Subject: ballast\r\n\r\n" + (b"0123456789abcdef" * 4 + b"\r\n") * 60_000  # 4 MB


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MEGABYTES}m", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def fill(running: Running, recipient: str = "alice@portyard.test") -> tuple[int, smtplib.SMTPDataError]:
    """Deliver until the server refuses; how many it took, and the refusal."""
    taken = 0
    with smtplib.LMTP("127.0.0.1", running.port("lmtp"), timeout=60) as client:
        while taken * len(MESSAGE) < 2 * DISK_MEGABYTES * 1_000_000:
            try:
                client.sendmail("mira@harbour.test", [recipient], MESSAGE)
            except smtplib.SMTPDataError as refusal:
                return taken, refusal
            except smtplib.SMTPRecipientsRefused as refusal:
                ((code, text),) = refusal.recipients.values()
                return taken, smtplib.SMTPDataError(code, text)
            taken += 1
    raise AssertionError("it took twice what the disk holds")


def make_sandboxes(console: Console) -> None:
    """More than fit into what the disk has given already."""
    for number in range(1000):
        console.ask("sandboxes", method="POST", body={"name": f"another{number}"})


def maildrop(running: Running) -> poplib.POP3:
    client = poplib.POP3("127.0.0.1", running.port("pop3"), timeout=60)
    client.user("alice@portyard.test")
    client.pass_("alice-secret")
    return client


def test_a_full_disk_refuses_for_now_and_loses_nothing(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk, serving(disk, "mda", "pop3") as running:
        taken, refusal = fill(running)
        assert refusal.smtp_code == 452, refusal  # RFC 5321 §4.2.3: insufficient system storage
        assert b"4.3.1" in refusal.smtp_error  # RFC 3463 §3.4: mail system full
        client = maildrop(running)
        count, octets = client.stat()
        assert count == taken
        whole = [b"\r\n".join(client.retr(number)[1]) + b"\r\n" for number in range(1, count + 1)]
        assert sum(map(len, whole)) == octets
        assert all(message.endswith(MESSAGE) for message in whole)
        client.dele(1)
        client.dele(2)
        client.quit()
        with smtplib.LMTP("127.0.0.1", running.port("lmtp"), timeout=60) as again:
            assert again.sendmail("mira@harbour.test", ["alice@portyard.test"], MESSAGE) == {}
        client = maildrop(running)
        assert client.stat()[0] == taken - 1
        client.quit()


def test_a_sandbox_that_is_deleted_makes_room_at_once(tmp_path: Path) -> None:
    """Its octets would else be kept some minutes for those who might be in the midst of reading them."""
    with small_disk(tmp_path / "disk") as disk, serving(disk, "mda", "mta", "console") as running:
        console = Console(running.port("console"), "small")
        console.ask("sandboxes", method="POST", body={"name": "large"})
        console.ask("sandboxes", method="POST", body={"name": "small"})
        fill(running, "u@large.test")
        with contextlib.suppress(OSError), (disk / "rest").open("wb", buffering=0) as rest:
            while rest.write(bytes(4096)):
                pass
        with pytest.raises(urllib.error.HTTPError) as refused:
            make_sandboxes(console)
        with refused.value as refusal:
            problem = json.loads(refusal.read())
        assert problem["status"] == 507
        assert "no room to write" in problem["detail"]
        console.ask("sandboxes/large", method="DELETE")
        deadline = time.monotonic() + PATIENCE_S
        with smtplib.SMTP("127.0.0.1", running.port("smtp"), timeout=60) as client:
            while True:
                try:
                    client.sendmail("mira@harbour.test", ["u@small.test"], MESSAGE)
                    break
                except smtplib.SMTPDataError:  # it is swept behind the answer
                    assert time.monotonic() < deadline
        console.wait(1, PATIENCE_S)
        assert (disk / "ballast").exists()
