"""A container that is killed in mid-delivery: what was answered 250 arrives, and arrives once."""

from __future__ import annotations

import collections
import smtplib
import threading
from collections.abc import Callable

import pytest

from tests.support.containers import Containers
from tests.support.control import Console

MESSAGES = 200
KILL_AT = 60  # when so many are answered, the others still under way


class Submitter:
    """Sends messages one by one over new connections, and remembers which were answered 250.

    Args:
        port: The submission port.
        recipient: Whose they are.
        reached: Called once, when KILL_AT are answered.
    """

    def __init__(self, port: int, recipient: str, reached: Callable[[], None]) -> None:
        self._port = port
        self._recipient = recipient
        self._reached = reached
        self.answered: set[str] = set()

    def run(self) -> None:
        for number in range(MESSAGES):
            subject = f"{self._recipient}-{number}"
            if self._send(subject):
                self.answered.add(subject)
                if len(self.answered) == KILL_AT:
                    self._reached()

    def _send(self, subject: str) -> bool:
        try:
            with smtplib.SMTP("127.0.0.1", self._port, timeout=60) as client:
                client.login("bob@portyard.test", "bob-secret")
                text = f"Subject: {subject}\r\n\r\n" + "cargo " * 200 + "\r\n"
                client.sendmail("bob@portyard.test", [self._recipient], text)
        except (OSError, smtplib.SMTPException):
            return False  # no answer: it may have been taken or not, and counts neither way
        return True


@pytest.mark.parametrize("service", ["mda", "mta", "msa"])
def test_nothing_is_lost_and_nothing_doubled(yard: Containers, service: str) -> None:
    console = Console(yard.ports["console"])
    recipient = f"killed-{service}@portyard.test"
    reached = threading.Event()
    submitter = Submitter(yard.ports["submission"], recipient, reached.set)
    sending = threading.Thread(target=submitter.run)
    sending.start()
    assert reached.wait(300), f"only {len(submitter.answered)} were answered"
    yard.kill(service)
    yard.start(service)
    sending.join(600)
    assert not sending.is_alive()
    assert len(submitter.answered) >= KILL_AT
    came = console.wait(len(submitter.answered), to=recipient)
    # One that was taken, and whose answer nobody heard, may have come before them; one that is lost is waited for in vain.
    while submitter.answered - {message["subject"] for message in came}:
        came = console.wait(len(came) + 1, to=recipient)
    counts = collections.Counter(message["subject"] for message in came)
    assert max(counts.values()) == 1, "stored twice"
