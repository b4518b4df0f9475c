"""Kill -9 of each hop in mid-delivery: nothing that was answered 250 is lost, nothing at all is doubled."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import smtplib
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import IO

from portyard.commons.directory import Directory
from portyard.commons.yard import Yard
from tests.support.asyncio_tests import run
from tests.support.mail_chain import PATIENCE_S, inbox, queue_changes, settled
from tests.support.yard import open_yard

ROUNDS = ("mta", "mda", "msa", "mta", "mda")
MESSAGES_A_ROUND = 25


class Processes:
    """Each service as a process of its own on one state directory."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.drains: list[tuple[threading.Thread, IO[bytes]]] = []
        self.directory = Directory(state / "endpoints")

    def start(self, service: str) -> None:
        room = "dns" if service == "dns" else "smtp"
        environment = os.environ | {
            "PORTYARD_STATE": str(self.state),
            "PORTYARD_PORTS": "ephemeral",
            "PORTYARD_LOG_LEVEL": "info",
        }
        command = [sys.executable, "-m", f"portyard.{room}", service]
        process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)
        self.running[service] = process
        assert process.stderr is not None
        for line in process.stderr:
            if b" ready: " in line:
                break
        drain = threading.Thread(target=process.stderr.read, daemon=True)  # so that it never waits for a reader
        drain.start()
        self.drains.append((drain, process.stderr))

    def kill(self, service: str) -> None:
        process = self.running.pop(service)
        process.send_signal(signal.SIGKILL)
        process.wait()

    def stop(self) -> None:
        for process in self.running.values():
            process.terminate()
        for process in self.running.values():
            process.wait(PATIENCE_S)
        for drain, pipe in self.drains:
            drain.join(PATIENCE_S)
            pipe.close()


def submit_some(processes: Processes, name: str, acknowledged: set[str]) -> None:
    """Submit until enough are answered 250; one whose answer is lost is never sent again under its name."""
    number = 0
    while len([token for token in acknowledged if token.startswith(name)]) < MESSAGES_A_ROUND:
        endpoint = processes.directory.find("msa", "submission")
        try:
            assert endpoint is not None
            with smtplib.SMTP(endpoint.host, endpoint.host_number, timeout=PATIENCE_S) as client:
                client.login("alice", "alice-secret")
                for _ in range(5):
                    number += 1
                    token = f"{name}-{number}"
                    body = "x" * 76 + "\r\n"
                    octets = f"Subject: {token}\r\n\r\n{body * (1500 if number % 7 == 0 else 2)}"
                    client.sendmail("alice@portyard.test", ["bob@portyard.test", f"{name}@foreign.test"], octets)
                    acknowledged.add(token)
        except (OSError, smtplib.SMTPException, AssertionError):
            continue  # the service is down just now


def test_no_loss_and_no_doubles(tmp_path: Path) -> None:
    processes = Processes(tmp_path)
    acknowledged: set[str] = set()

    async def go() -> None:
        async with open_yard(tmp_path) as yard:
            for service in ("dns", "msa", "mta", "mda"):
                processes.start(service)
            for number, victim in enumerate(ROUNDS):
                submitting = asyncio.create_task(
                    asyncio.to_thread(submit_some, processes, f"round{number}", acknowledged)
                )
                await some_delivered(yard, f"round{number}")
                processes.kill(victim)
                processes.start(victim)
                await submitting
            assert await settled(yard) == []
            for login in ("bob", *(f"default/round{number}@foreign.test" for number in range(len(ROUNDS)))):
                check(login, await inbox(yard, login), acknowledged)

    try:
        run(go(), limit_s=600)
    finally:
        processes.stop()


async def some_delivered(yard: Yard, name: str) -> None:
    """Wait until the round is under way: at least one of its messages lies in a mailbox."""
    async for _ in queue_changes(yard):
        if await inbox(yard, f"default/{name}@foreign.test"):
            return


def check(login: str, messages: list[bytes], acknowledged: set[str]) -> None:
    subjects = [match[1].decode() for octets in messages for match in re.finditer(rb"^Subject: (\S+)\r$", octets, re.M)]
    counts = Counter(subjects)
    assert max(counts.values()) == 1, f"{login}: doubled {counts.most_common(3)}"
    name = login.removeprefix("default/").partition("@")[0]
    wanted = {token for token in acknowledged if login == "bob" or token.startswith(f"{name}-")}
    assert wanted <= set(counts), f"{login}: lost {wanted - set(counts)}"
