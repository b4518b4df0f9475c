"""A persona that somebody brings to one container is met in another."""

from __future__ import annotations

import imaplib
import poplib

from tests.support.containers import Containers
from tests.support.control import Console


def test_every_container_sees_it(yard: Containers) -> None:
    console = Console(yard.ports["console"])

    def bring(greeting: str) -> None:
        for room in ("imap", "pop3"):
            body = {"replies": {"greeting": greeting}}
            console.ask(f"personas/{room}/brought", method="PUT", body=body)

    bring("First")
    try:
        for room in ("imap", "pop3"):
            rule = {"on": f"{room}.connect", "then": {"persona": "brought"}}
            console.ask("sandboxes/default/rules", method="POST", body=rule)
        assert greetings(yard) == (b"First", b"First")
        bring("Second")
        assert greetings(yard) == (b"Second", b"Second")
    finally:
        console.ask("sandboxes/default/rules", method="DELETE")
        for room in ("imap", "pop3"):
            console.ask(f"personas/{room}/brought", method="DELETE")


def greetings(yard: Containers) -> tuple[bytes, bytes]:
    with imaplib.IMAP4("127.0.0.1", yard.ports["imap"], timeout=20) as imap:
        pop = poplib.POP3("127.0.0.1", yard.ports["pop3"], timeout=20)
        try:
            return imap.welcome.split()[-1], pop.getwelcome().split()[1]
        finally:
            pop.quit()
