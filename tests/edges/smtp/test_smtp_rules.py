"""Rules as stock clients meet them: time, silence and endings; sandboxes; and what goes on inside spends nothing."""

from __future__ import annotations

import asyncio
import smtplib
import socket
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from portyard.commons.sandbox.model import Sandbox
from portyard.commons.scenario.parsing import parse_rule
from portyard.commons.yard import Yard
from tests.support.asyncio_tests import run
from tests.support.mail_chain import MESSAGE, arrived, chain, inbox, settled
from tests.support.process import serving
from tests.support.yard import Served, open_yard

Errand = Callable[[int], None]
PORTS = {"msa": "submission", "mta": "smtp", "mda": "lmtp"}
PATIENCE_S = 20.0


async def rule(yard: Yard, on: str, then: dict[str, object], sandbox: str = "default", **more: object) -> int:
    return (await yard.rules.add(sandbox, parse_rule({"on": f"smtp.{on}", "then": then, **more})))[0].id


def with_rule(tmp_path: Path, errand: Errand, *rules: dict[str, object], role: str = "mta", **changes: object) -> None:
    """Run a blocking client against one service with rules set."""

    async def go() -> None:
        async with chain(tmp_path, [role], **changes) as served:
            for found in rules:
                await served.yard.rules.add("default", parse_rule(found))
            await asyncio.to_thread(errand, served.port(PORTS[role]))

    run(go())


def send(port: int, recipient: str = "bob@portyard.test") -> None:
    with smtplib.SMTP("127.0.0.1", port, "client.test", timeout=PATIENCE_S) as client:
        client.sendmail("a@client.test", [recipient], MESSAGE)


def test_fails_twice_then_succeeds(tmp_path: Path) -> None:
    def errand(port: int) -> None:
        for _ in range(2):
            with pytest.raises(smtplib.SMTPRecipientsRefused, match=r"4\.7\.1 greylisted"):
                send(port)
        send(port)

    with_rule(tmp_path, errand, {"on": "smtp.rcpt", "times": 2, "then": {"refuse": "451 4.7.1 greylisted"}})


def test_magic_addresses_need_no_rule(tmp_path: Path) -> None:
    def errand(port: int) -> None:
        with pytest.raises(smtplib.SMTPRecipientsRefused, match="550"):
            send(port, "anyone+550@portyard.test")
        for _ in range(2):
            with pytest.raises(smtplib.SMTPRecipientsRefused, match="451"):
                send(port, "anyone+451x2@portyard.test")
        send(port, "anyone+451x2@portyard.test")
        with pytest.raises(smtplib.SMTPServerDisconnected):
            send(port, "anyone+hangup@portyard.test")
        began = time.monotonic()
        send(port, "anyone+delay1@portyard.test")
        assert time.monotonic() - began >= 1.0

    with_rule(tmp_path, errand, magic=True)


STEPS = {  # what the client says up to and at each verb
    "greeting": b"",
    "ehlo": b"EHLO c.test\r\n",
    "helo": b"HELO c.test\r\n",
    "mail": b"EHLO c.test\r\nMAIL FROM:<a@b.test>\r\n",
    "rcpt": b"EHLO c.test\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<bob@portyard.test>\r\n",
    "data": b"EHLO c.test\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<bob@portyard.test>\r\nDATA\r\n",
    "content": b"EHLO c.test\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<bob@portyard.test>\r\nDATA\r\nSubject: x\r\n\r\n.\r\n",
    "starttls": b"EHLO c.test\r\nSTARTTLS\r\n",
    "rset": b"RSET\r\n",
    "noop": b"NOOP\r\n",
    "vrfy": b"VRFY bob\r\n",
    "expn": b"EXPN staff\r\n",
    "help": b"HELP\r\n",
    "quit": b"QUIT\r\n",
}
STEPS["receiving"] = STEPS["data"]
LAST = {"greeting": b"", "receiving": b"354 ", "ehlo": b"220 ", "helo": b"220 ", "rset": b"220 ", "noop": b"220 "}
LAST |= {"vrfy": b"220 ", "expn": b"220 ", "help": b"220 ", "quit": b"220 ", "mail": b"250 HELP\r\n"}
LAST |= {"rcpt": b"250 2.1.0 ", "data": b"250 2.1.5 ", "content": b"354 ", "starttls": b"250 HELP\r\n"}


def said(client: socket.socket) -> bytes:
    """All that the server says until it closes."""
    octets = b""
    while piece := client.recv(65536):
        octets += piece
    return octets


@pytest.mark.parametrize("verb", STEPS)
def test_hangs_up_at_every_step(verb: str, tmp_path: Path) -> None:
    def errand(port: int) -> None:
        with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as client:
            client.sendall(STEPS[verb])
            heard = said(client)
            assert heard.endswith(b"\r\n") or not heard
            assert heard[heard[:-2].rfind(b"\r\n") + 2 if b"\r\n" in heard[:-2] else 0 :].startswith(LAST[verb]), heard
            assert bool(heard) is (verb != "greeting")

    with_rule(tmp_path, errand, {"on": f"smtp.{verb}", "then": {"hang_up": True}})


@pytest.mark.parametrize("verb", STEPS)
def test_is_silent_at_every_step(verb: str, tmp_path: Path) -> None:
    """Nothing comes to the end: a half-closed client hears the end of the connection and no word more."""

    def errand(port: int) -> None:
        with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as client:
            client.sendall(STEPS[verb] + b"NOOP\r\nNOOP\r\n")
            client.shutdown(socket.SHUT_WR)
            heard = said(client)
            assert heard[heard[:-2].rfind(b"\r\n") + 2 if b"\r\n" in heard[:-2] else 0 :].startswith(LAST[verb]), heard
            assert bool(heard) is (verb != "greeting")

    with_rule(tmp_path, errand, {"on": f"smtp.{verb}", "then": {"silence": True}})


@pytest.mark.parametrize("verb", STEPS)
def test_delays_every_step(verb: str, tmp_path: Path) -> None:
    """What was answered before is not withheld; the rest comes after the delay, true."""

    def in_two(port: int) -> bool:
        """Whether what comes before the delay was heard apart from the rest."""
        began = time.monotonic()
        with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as client:
            client.sendall(STEPS[verb] + (b".\r\n" if verb in ("data", "receiving") else b"") + b"QUIT\r\n")
            first = rest = b"" if verb == "greeting" else client.recv(65536)
            early = time.monotonic()
            wanted = b"220 2.0.0 ready to start TLS\r\n" if verb == "starttls" else b"221 2.0.0 "
            while wanted not in rest:
                rest += client.recv(65536)
        late = time.monotonic()
        assert late - began >= 0.5
        return verb == "greeting" or (late - early >= 0.1 and wanted not in first)

    def errand(port: int) -> None:
        assert any(in_two(port) for _ in range(5))  # once is enough: a busy machine may read late

    with_rule(tmp_path, errand, {"on": f"smtp.{verb}", "then": {"delay": "500ms"}})


@pytest.mark.parametrize("verb", [verb for verb in STEPS if verb not in ("receiving", "greeting")])
def test_refuses_every_step_and_goes_on(verb: str, tmp_path: Path) -> None:
    def errand(port: int) -> None:
        with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as client:
            client.sendall(STEPS[verb] + b"NOOP x\r\n")
            heard = b""
            while b"250 2.0.0 ok\r\n" not in heard:
                heard += client.recv(65536)
        before = b"450 4.0.0 no at all\r\n"
        assert heard.count(before) == 1
        assert heard.endswith(before + b"250 2.0.0 ok\r\n")

    with_rule(tmp_path, errand, {"on": f"smtp.{verb}", "times": 1, "then": {"refuse": "450 4.0.0 no at all"}})


def test_a_session_shows_in_each_recipients_sandbox(tmp_path: Path) -> None:
    async def go() -> None:
        async with chain(tmp_path, ["mta"]) as served:
            yard = served.yard
            for name in ("t1", "t2"):
                await yard.sandboxes.create(name)
            refused = await rule(yard, "rcpt", {"refuse": "450 4.0.0 t2 rests"}, "t2")
            await asyncio.to_thread(talk_to_three, served)
            await yard.journal.flush()
            found = {name: await yard.journal.sessions(name) for name in ("default", "t1", "t2")}
            assert [len(found[name]) for name in found] == [0, 1, 1]
            assert found["t1"][0].id == found["t2"][0].id
            assert [found[name][0].sandbox for name in ("t1", "t2")] == ["t1", "t2"]
            whole = await yard.journal.session(found["t1"][0].id, "t2")
            assert whole is not None
            assert whole.sandbox == "t2"
            assert await yard.journal.session(found["t1"][0].id, "default") is None
            assert [stored.hits for stored in await yard.rules.list("t2") if stored.id == refused] == [1]
            await yard.sandboxes.reset("t2")
            assert await yard.journal.sessions("t2") == []
            assert len(await yard.journal.sessions("t1")) == 1

    def talk_to_three(served: Served) -> None:
        with smtplib.SMTP("127.0.0.1", served.port("smtp"), "client.test", timeout=PATIENCE_S) as client:
            refused = client.sendmail("a@client.test", ["x@t1.test", "y@t2.test", "z@t1.test"], MESSAGE)
            assert list(refused) == ["y@t2.test"]

    run(go())


def through_the_chain(tmp_path: Path, errand: Callable[[Served], Awaitable[None]], **changes: object) -> None:
    async def go() -> None:
        async with chain(tmp_path, **changes) as served:
            await errand(served)

    run(go())


def submit(served: Served, *recipients: str) -> None:
    submit_at(served.port("submission"), *recipients)


def submit_at(port: int, *recipients: str) -> None:
    with smtplib.SMTP("127.0.0.1", port, "client.test", timeout=PATIENCE_S) as client:
        client.login("alice@portyard.test", "alice-secret")
        client.sendmail("alice@portyard.test", recipients, MESSAGE)


@pytest.mark.parametrize("verb", ["connect", "greeting", "ehlo", "lhlo", "starttls", "mail", "rcpt", "data", "content"])
def test_hops_inside_spend_no_counts(verb: str, tmp_path: Path) -> None:
    async def errand(served: Served) -> None:
        number = await rule(served.yard, verb, {"delay": "1ms"}, name="seen")
        await asyncio.to_thread(submit, served, "bob@portyard.test")
        await arrived(served.yard, "bob@portyard.test", 1)
        hits = {stored.id: stored.hits for stored in await served.yard.rules.list("default")}
        assert hits[number] == (
            0 if verb in ("lhlo", "starttls") else 1
        )  # the client's own: it spoke no LMTP and no TLS

    through_the_chain(tmp_path, errand)


@pytest.mark.parametrize(
    ("here", "there"),
    [(("mta", "mda", "dns"), ("msa",)), (("msa", "mda"), ("mta", "dns")), (("mda",), ("msa", "mta", "dns"))],
)
def test_hops_of_other_processes_spend_no_counts(here: tuple[str, ...], there: tuple[str, ...], tmp_path: Path) -> None:
    """Neither a hop's connection, known before its first word, nor the queries by which it finds its way."""

    async def go() -> None:
        with serving(tmp_path, *there):
            async with chain(tmp_path, here) as served:
                for verb in ("smtp.connect", "smtp.greeting", "smtp.ehlo", "smtp.quit", "dns.query"):
                    words = {"on": verb, "name": verb, "then": {"delay": "1ms"}}
                    await served.yard.rules.add("default", parse_rule(words))
                endpoint = served.yard.directory.find("msa", "submission")
                assert endpoint is not None
                await asyncio.to_thread(submit_at, endpoint.number, "bob@portyard.test")
                await arrived(served.yard, "bob@portyard.test", 1)
                assert await settled(served.yard) == []
        async with open_yard(tmp_path) as yard:  # with every process gone, every hop has said QUIT
            hits = {stored.rule.name: stored.hits for stored in await yard.rules.list("default")}
        assert hits == {"smtp.connect": 1, "smtp.greeting": 1, "smtp.ehlo": 1, "smtp.quit": 1, "dns.query": 0}

    run(go())


def test_a_rule_that_names_the_role_meets_queries_of_ours(tmp_path: Path) -> None:
    """What the DNS says may be a lie from message to message: nothing is kept while there are rules."""

    async def errand(served: Served) -> None:
        await asyncio.to_thread(submit, served, "bob@portyard.test")
        await arrived(served.yard, "bob@portyard.test", 1)
        lie = {"on": "dns.query", "where": {"role": "dns"}, "times": 1, "then": {"refuse": "SERVFAIL"}}
        await served.yard.rules.add("default", parse_rule(lie))
        await asyncio.to_thread(submit, served, "bob@portyard.test")
        await arrived(served.yard, "bob@portyard.test", 2)
        assert [stored.hits for stored in await served.yard.rules.list("default")] == [1]

    through_the_chain(tmp_path, errand, retry_s=(0.05,) * 4)


def test_a_rule_that_names_the_role_meets_the_hop(tmp_path: Path) -> None:
    """A recipient that the next hop defers is tried again; one that it refuses fails in the queue."""

    async def errand(served: Served) -> None:
        await rule(served.yard, "rcpt", {"refuse": "451 4.2.0 later"}, where={"role": "mta"}, times=1)
        await rule(served.yard, "content", {"refuse": "554 5.6.0 never"}, where={"role": "mda", "recipient": "alice@*"})
        await asyncio.to_thread(submit, served, "bob@portyard.test", "alice@portyard.test")
        await arrived(served.yard, "bob@portyard.test", 1)
        assert [(entry.recipient, entry.reason) for entry in await settled(served.yard)] == [
            ("alice@portyard.test", "554 5.6.0 never")
        ]
        assert await inbox(served.yard, "alice@portyard.test") == []

    through_the_chain(tmp_path, errand, retry_s=(0.05,) * 4)


def test_magic_words_act_at_the_first_hop_alone(tmp_path: Path) -> None:
    async def errand(served: Served) -> None:
        await asyncio.to_thread(submit, served, "bob+delay20ms@portyard.test")
        assert len(await arrived(served.yard, "bob@portyard.test", 1)) == 1
        with pytest.raises(smtplib.SMTPRecipientsRefused, match="550"):
            await asyncio.to_thread(submit, served, "bob+550@portyard.test")

    through_the_chain(tmp_path, errand, magic=True)


@pytest.mark.parametrize("role", ["mta", "mda"])
def test_who_owns_a_recipient_is_asked_once(role: str, tmp_path: Path) -> None:
    """To know whose rules are asked is to know who takes it."""
    asked: list[str] = []

    async def go() -> None:
        async with chain(tmp_path, [role]) as served:
            yard = served.yard
            await rule(yard, "rcpt", {"refuse": "550 5.7.1 no"}, where={"recipient": "carol@*"})
            look = yard.sandboxes.owner

            async def counted(domain: str) -> Sandbox | None:
                asked.append(domain)
                return await look(domain)

            yard.sandboxes.owner = counted  # type: ignore[method-assign]

            def errand() -> None:
                kind = smtplib.SMTP if role == "mta" else smtplib.LMTP
                with kind("127.0.0.1", served.port(PORTS[role]), "client.test", timeout=PATIENCE_S) as client:
                    client.ehlo()
                    client.mail("a@client.test")
                    for recipient in ("bob@Portyard.test", "bob@Portyard.test", "x@nobody.example", "carol@new.test"):
                        asked.append(recipient)
                        client.rcpt(recipient)
                    assert asked == [
                        *("bob@Portyard.test", "portyard.test") * 2,
                        *("x@nobody.example", "nobody.example"),
                        *("carol@new.test", "new.test"),
                    ]

            await asyncio.to_thread(errand)

    run(go())
