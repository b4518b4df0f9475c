"""The outgoing core, against servers that are written out line by line."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from portyard.commons.effects import Close, Send, StartTls
from portyard.commons.events import Gone, Line, Timeout, TlsStarted, TooLong
from portyard.smtp.core.client import (
    LOST,
    NO_EIGHT_BIT,
    NO_UTF8,
    TOO_LARGE,
    Client,
    Failed,
    Finished,
    Outgoing,
    Ready,
    Step,
)
from portyard.smtp.core.grammar import print_mailbox
from portyard.smtp.core.model import Mailbox, Reply

ONE, TWO = Mailbox("one", "b.test"), Mailbox("two", "b.test")
MAIL = Outgoing(Mailbox("a", "a.test"), (ONE, TWO), b"Subject: x\r\n\r\n.dot\r\n")


def say(client: Client, *lines: str) -> list[Step]:
    return [step for line in lines for step in client.receive(Line(line.encode()))]


def sent(steps: list[Step] | tuple[Step, ...]) -> list[str]:
    return [line for step in steps if isinstance(step, Send) for line in step.data.decode().split("\r\n")[:-1]]


def ready(client: Client, *extensions: str) -> None:
    assert sent(say(client, "220 hi")) in (["EHLO me.test"], ["LHLO me.test"])
    lines = ["hello", *extensions]
    steps = say(client, *(f"250-{line}" for line in lines[:-1]), f"250 {lines[-1]}")
    assert steps == [Ready()]


def codes(steps: list[Step]) -> list[int]:
    (finished,) = [step for step in steps if isinstance(step, Finished)]
    return [answer.code for answer in finished.replies]


def test_one_command_at_a_time_where_nothing_is_announced() -> None:
    client = Client("me.test")
    ready(client)
    assert sent(list(client.begin(MAIL))) == ["MAIL FROM:<a@a.test>"]
    assert sent(say(client, "250 ok")) == ["RCPT TO:<one@b.test>"]
    assert sent(say(client, "550 5.1.1 no")) == ["RCPT TO:<two@b.test>"]
    assert sent(say(client, "250 ok")) == ["DATA"]
    assert sent(say(client, "354 go")) == ["Subject: x", "", "..dot", "."]
    assert codes(say(client, "250 taken")) == [550, 250]


def test_a_pipelined_transaction_and_the_next() -> None:
    client = Client("me.test")
    ready(client, "PIPELINING", "SIZE 1000", "8BITMIME", "SMTPUTF8")
    envelope = ["MAIL FROM:<a@a.test> SIZE=20", "RCPT TO:<one@b.test>", "RCPT TO:<two@b.test>", "DATA"]
    assert sent(list(client.begin(MAIL))) == envelope
    assert say(client, "250 ok", "250 ok", "450 4.2.1 later") == []
    assert sent(say(client, "354 go"))[-1] == "."
    assert codes(say(client, "250 taken")) == [250, 450]
    assert sent(list(client.begin(MAIL))) == envelope  # no RSET: the last one ended cleanly
    assert codes(say(client, "250 ok", "250 ok", "250 ok", "451 no room")) == [451, 451]
    assert sent(list(client.begin(MAIL))) == ["RSET", *envelope]


def test_a_refused_sender_is_the_word_on_everybody() -> None:
    client = Client("me.test")
    ready(client, "PIPELINING")
    client.begin(MAIL)
    assert codes(say(client, "553 5.7.1 no", "503 a", "503 b", "503 c")) == [553, 553]


def test_a_server_that_waits_for_a_dot_gets_it() -> None:
    client = Client("me.test")
    ready(client, "PIPELINING")
    client.begin(MAIL)
    assert sent(say(client, "250 ok", "550 a", "551 b", "354 go")) == ["."]
    assert codes(say(client, "554 nothing")) == [550, 551]


def test_lmtp_answers_for_each_accepted_recipient() -> None:
    client = Client("me.test", lmtp=True)
    ready(client, "PIPELINING")
    three = Outgoing(MAIL.reverse_path, (ONE, TWO, ONE), b"x\r\n")
    client.begin(three)
    say(client, "250 ok", "250 ok", "550 no", "250 ok", "354 go")
    assert say(client, "250 a") == []
    assert codes(say(client, "452 b")) == [250, 550, 452]


def test_parameters_where_they_are_announced() -> None:
    client = Client("me.test")
    ready(client, "PIPELINING", "8BITMIME", "SMTPUTF8")
    outgoing = Outgoing(Mailbox("ä", "a.test"), (ONE,), b"x\r\n", eight_bit=True, smtputf8=True, hop="a:b")
    assert sent(list(client.begin(outgoing)))[0] == "MAIL FROM:<ä@a.test> BODY=8BITMIME SMTPUTF8 XPORTYARD=a:b"


@pytest.mark.parametrize("extensions", [("PIPELINING",), ()])
def test_who_takes_a_recipient_is_told_with_it(extensions: Sequence[str]) -> None:
    client = Client("me.test")
    ready(client, *extensions)
    outgoing = Outgoing(MAIL.reverse_path, (ONE, TWO), b"x\r\n", hop="a:b", takers=("", "c:d"))
    said = sent(list(client.begin(outgoing)))
    while len(said) < 4:
        said += sent(say(client, "250 ok"))
    assert said[1:3] == [f"RCPT TO:<{print_mailbox(ONE)}>", f"RCPT TO:<{print_mailbox(TWO)}> XPORTYARD=c:d"]


@pytest.mark.parametrize(
    ("outgoing", "answer"),
    [
        (Outgoing(ONE, (TWO,), b"x" * 11), TOO_LARGE),
        (Outgoing(ONE, (TWO,), b"x", eight_bit=True), NO_EIGHT_BIT),
        (Outgoing(ONE, (TWO,), b"x", smtputf8=True), NO_UTF8),
    ],
)
def test_what_the_server_cannot_take_is_not_tried(outgoing: Outgoing, answer: Reply) -> None:
    client = Client("me.test")
    ready(client, "SIZE 10")
    assert list(client.begin(outgoing)) == [Finished((answer,))]


def test_helo_where_ehlo_is_unknown() -> None:
    client = Client("me.test")
    say(client, "220 hi")
    assert sent(say(client, "502 what")) == ["HELO me.test"]
    assert say(client, "250 hi") == [Ready()]


def test_tls_where_it_is_offered() -> None:
    client = Client("me.test")
    say(client, "220 hi")
    assert sent(say(client, "250-hi", "250-PIPELINING", "250 STARTTLS")) == ["STARTTLS"]
    assert say(client, "220 go") == [StartTls()]
    assert sent(list(client.receive(TlsStarted("", "")))) == ["EHLO me.test"]
    assert client.extensions == {}
    assert say(client, "250-hi", "250 STARTTLS") == [Ready()]


def test_a_server_that_turns_us_away() -> None:
    for lines in (["554 no"], ["220 hi", "550 no"], ["220 hi", "502 no", "550 no"], ["421 busy"], ["nonsense"]):
        steps = say(Client("me.test"), *lines)
        assert isinstance(steps[-2], Failed)
        assert steps[-1] == Close()


@pytest.mark.parametrize("event", [Gone(), Timeout(), TooLong(1)])
def test_a_connection_that_ends_within(event: Gone | Timeout | TooLong) -> None:
    client = Client("me.test")
    ready(client, "PIPELINING")
    client.begin(MAIL)
    say(client, "250 ok", "550 no")
    finished, close = client.receive(event)
    assert isinstance(finished, Finished)
    assert finished.replies[0].code == 550
    assert finished.replies[1].code == 451
    assert close == Close()


def test_421_ends_the_connection() -> None:
    client = Client("me.test")
    ready(client)
    client.begin(MAIL)
    assert codes(say(client, "421 4.3.2 stopping")) == [421, 421]
    assert say(Client("me.test"), "220 hi", "250 hi", "250 nobody asked")[-1] == Close()


def test_goodbye() -> None:
    client = Client("me.test")
    ready(client)
    assert sent(list(client.end())) == ["QUIT"]
    assert say(client, "221 bye") == [Close()]
    assert LOST.transient


def test_says_who_it_is_before_the_hello() -> None:
    client = Client("me.test", proof="XPORTYARD=word")
    assert sent(say(client, "220 hi")) == ["NOOP XPORTYARD=word"]
    assert sent(say(client, "500 never heard of it")) == ["EHLO me.test"]
