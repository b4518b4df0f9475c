"""A persona that somebody brings to one container is met in another, and one that a setting chose by clients alone."""

from __future__ import annotations

import imaplib
import poplib
import smtplib

import pytest

from portyard.testing import Testbed
from tests.support.containers import Containers
from tests.support.control import Console

PATIENCE_S = 60.0


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
    with imaplib.IMAP4("127.0.0.1", yard.ports["imap"], timeout=PATIENCE_S) as imap:
        pop = poplib.POP3("127.0.0.1", yard.ports["pop3"], timeout=PATIENCE_S)
        try:
            return imap.welcome.split()[-1], pop.getwelcome().split()[1]
        finally:
            pop.quit()


def test_a_hop_between_containers_meets_the_room_as_it_is(yard: Containers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTYARD_PERSONAS", "mta=gmail mda=dovecot")
    yard.start("mta", "mda")
    try:
        with (
            Testbed.connect(f"http://{yard.host}:{yard.ports['console']}") as testbed,
            testbed.own_sandbox() as sandbox,
        ):
            mira = sandbox.account("mira", "m-secret")
            with smtplib.SMTP(yard.host, yard.ports["submission"], timeout=PATIENCE_S) as client:
                client.login(mira.address, mira.password)
                client.sendmail(mira.address, [mira.address], "Subject: within\r\n\r\nAs it is.\r\n")
            sandbox.mail.wait(subject="within", timeout=PATIENCE_S)
            with smtplib.SMTP(yard.host, yard.ports["smtp"], timeout=PATIENCE_S) as client:
                client.sendmail("shop@harbour.test", [mira.address], "Subject: without\r\n\r\nAs another.\r\n")
            sandbox.mail.wait(subject="without", timeout=PATIENCE_S)
            sandbox.events.wait(
                kind="greeting", text="*gsmtp*", timeout=PATIENCE_S
            )  # the MTA writes its journal behind
            met = {
                (session["service"], "# persona name=gmail by=setting" in talk, "gsmtp" in talk)
                for session in sandbox.sessions("smtp")
                if session["service"] != "msa"
                for talk in [sandbox.talk(session)]
            }
            assert met == {("mta", False, False), ("mta", True, True), ("mda", False, False)}
    finally:
        monkeypatch.delenv("PORTYARD_PERSONAS")
        yard.start("mta", "mda")
