"""The outgoing side: an ESMTP or LMTP client, the same grammar run the other way. Lines in, effects and outcomes out; no socket.

It pipelines the envelope where the server offers it (RFC 2920), one transaction after the other on a connection.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from portyard.commons.effects import Close, Send, StartTls
from portyard.commons.events import Event, Gone, Line, Timeout, TlsStarted
from portyard.smtp.core import model
from portyard.smtp.core.framing import stuff
from portyard.smtp.core.grammar import ReplyReader, print_command
from portyard.smtp.core.hop import KEYWORD
from portyard.smtp.core.model import Command, Mailbox, Parameter, PeerError, Reply, reply

LOST: Final = reply(451, "4.4.2", "the connection was lost")
NO_UTF8: Final = reply(550, "5.6.7", "the next server takes no address beyond ASCII")
NO_EIGHT_BIT: Final = reply(554, "5.6.3", "the next server takes no 8-bit message")
TOO_LARGE: Final = reply(552, "5.3.4", "the message passes the next server's size limit")


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A transaction to run.

    Attributes:
        reverse_path: Whom bounces go to.
        recipients: At least one.
        octets: The message.
        eight_bit: It needs 8BITMIME.
        smtputf8: It needs SMTPUTF8.
        hop: The private parameter's value, for testbed peers only; empty for none.
        takers: The same for each recipient, where any has one.
    """

    reverse_path: Mailbox
    recipients: tuple[Mailbox, ...]
    octets: bytes = field(repr=False)
    eight_bit: bool = False
    smtputf8: bool = False
    hop: str = field(default="", repr=False)
    takers: tuple[str, ...] = field(default=(), repr=False)

    def rcpt(self, number: int) -> model.Rcpt:
        """The command that names a recipient."""
        taker = self.takers[number] if self.takers else ""
        return model.Rcpt(self.recipients[number], (Parameter(KEYWORD, taker),) if taker else ())


@dataclass(frozen=True, slots=True)
class Ready:
    """The hellos are said: `begin` may be called."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A transaction's end.

    Attributes:
        replies: The last word on each recipient, in order.
    """

    replies: tuple[Reply, ...]


@dataclass(frozen=True, slots=True)
class Failed:
    """The server turned us away before any transaction."""

    reply: Reply


Step = Send | StartTls | Close | Ready | Finished | Failed


class Client:
    """One connection's outgoing core.

    Args:
        host: What we call ourselves.
        lmtp: Speak LMTP.
        starttls: Upgrade where the server offers it.
        proof: Said in NOOP before the hello, so that a server of the testbed knows us; empty for others.
    """

    def __init__(self, host: str, *, lmtp: bool = False, starttls: bool = True, proof: str = "") -> None:
        self._host = host
        self._lmtp = lmtp
        self._starttls = starttls
        self._pass = proof
        self._reader = ReplyReader()
        self._awaited: deque[Callable[[Reply], Sequence[Step]]] = deque([self._greeted])
        self._extensions: dict[str, str] = {}
        self._outgoing: Outgoing | None = None
        self._verdicts: list[Reply | None] = []
        self._mail_refusal: Reply | None = None
        self._unclean = False  # the last transaction may still be open at the server

    @property
    def extensions(self) -> dict[str, str]:
        """What the server announced last: keyword in upper case to its parameters."""
        return self._extensions

    def receive(self, event: Event) -> Sequence[Step]:
        """The next steps after an event."""
        match event:
            case Line(data):
                try:
                    answer = self._reader.feed(data)
                except PeerError as error:
                    return self._give_up(error.reply)
                return () if answer is None else self._hear(answer)
            case TlsStarted():
                self._extensions = {}  # RFC 3207 §4.2
                return self._hello()
            case Gone() | Timeout():
                return self._give_up(LOST)
            case _:
                return self._give_up(reply(451, "4.5.0", "the peer's reply is too long"))

    def begin(self, outgoing: Outgoing) -> Sequence[Step]:
        """Run a transaction; `Finished` follows."""
        self._outgoing = outgoing
        self._verdicts = [None] * len(outgoing.recipients)
        self._mail_refusal = self._unable(outgoing)
        if self._mail_refusal:
            return self._conclude(self._mail_refusal)
        commands: list[Command] = []
        if self._unclean:
            commands.append(model.Rset())
            self._awaited.append(lambda answer: ())
        self._unclean = True
        commands.append(model.Mail(outgoing.reverse_path, self._parameters(outgoing)))
        self._awaited.append(self._mail_answered)
        if "PIPELINING" not in self._extensions:
            return (Send(b"".join(map(print_command, commands))),)
        for number in range(len(outgoing.recipients)):
            commands.append(outgoing.rcpt(number))
            self._awaited.append(self._recipient_answered(number))
        commands.append(model.Data())  # RFC 2920 §3.1: the last of a group
        self._awaited.append(self._data_answered)
        return (Send(b"".join(map(print_command, commands))),)

    def end(self) -> Sequence[Step]:
        """Say goodbye (RFC 5321 §4.1.1.10)."""
        self._awaited.append(lambda answer: (Close(),))
        return (Send(print_command(model.Quit())),)

    def _hear(self, answer: Reply) -> Sequence[Step]:
        if answer.code == 421:  # RFC 5321 §3.8: the server closes
            return self._give_up(answer)
        if not self._awaited:
            return self._give_up(reply(451, "4.5.0", "the peer answered what nobody asked"))
        return self._awaited.popleft()(answer)

    def _give_up(self, answer: Reply) -> Sequence[Step]:
        self._awaited.clear()
        ending: Step = Failed(answer) if self._outgoing is None else self._conclude(answer)[0]
        return (ending, Close())

    def _greeted(self, answer: Reply) -> Sequence[Step]:
        if answer.code != 220:
            return (Failed(answer), Close())  # RFC 5321 §3.1
        if not self._pass:
            return self._hello()
        self._awaited.append(lambda _: self._hello())
        return (Send(print_command(model.Noop(self._pass))),)  # RFC 5321 §4.1.1.9: at any time, with any string

    def _hello(self) -> Sequence[Step]:
        self._awaited.append(self._hello_answered)
        return (Send(print_command(model.Lhlo(self._host) if self._lmtp else model.Ehlo(self._host))),)

    def _hello_answered(self, answer: Reply) -> Sequence[Step]:
        if answer.code in (500, 502, 504) and not self._lmtp:  # RFC 5321 §3.2
            self._awaited.append(self._helo_answered)
            return (Send(print_command(model.Helo(self._host))),)
        if answer.code != 250:
            return (Failed(answer), Close())
        words = (line.partition(" ") for line in answer.lines[1:])
        self._extensions = {keyword.upper(): parameters for keyword, _, parameters in words}
        if self._starttls and "STARTTLS" in self._extensions:
            self._starttls = False
            self._awaited.append(self._starttls_answered)
            return (Send(print_command(model.StartTls())),)
        return (Ready(),)

    def _helo_answered(self, answer: Reply) -> Sequence[Step]:
        return (Ready(),) if answer.code == 250 else (Failed(answer), Close())

    def _starttls_answered(self, answer: Reply) -> Sequence[Step]:
        return (StartTls(),) if answer.code == 220 else (Ready(),)  # RFC 3207 §4.1: go on without

    def _unable(self, outgoing: Outgoing) -> Reply | None:
        """Why the server can't take the message, told by its own announcement."""
        limit = self._extensions.get("SIZE", "")
        if limit.isdecimal() and 0 < int(limit) < len(outgoing.octets):  # RFC 1870 §4
            return TOO_LARGE
        if outgoing.smtputf8 and "SMTPUTF8" not in self._extensions:  # RFC 6531 §3.1
            return NO_UTF8
        if outgoing.eight_bit and "8BITMIME" not in self._extensions:  # RFC 6152 §3
            return NO_EIGHT_BIT
        return None

    def _parameters(self, outgoing: Outgoing) -> tuple[Parameter, ...]:
        found = []
        if "SIZE" in self._extensions:
            found.append(Parameter("SIZE", str(len(outgoing.octets))))
        if outgoing.eight_bit:
            found.append(Parameter("BODY", "8BITMIME"))
        if outgoing.smtputf8:
            found.append(Parameter("SMTPUTF8"))
        if outgoing.hop:
            found.append(Parameter(KEYWORD, outgoing.hop))
        return tuple(found)

    def _mail_answered(self, answer: Reply) -> Sequence[Step]:
        if not answer.positive:
            self._mail_refusal = answer
        if "PIPELINING" in self._extensions:
            return ()
        return self._conclude(answer) if self._mail_refusal else self._ask_recipient(0)

    def _ask_recipient(self, number: int) -> Sequence[Step]:
        """The next RCPT, or DATA after the last, one command at a time."""
        assert self._outgoing is not None
        if number < len(self._outgoing.recipients):
            self._awaited.append(self._recipient_answered(number))
            return (Send(print_command(self._outgoing.rcpt(number))),)
        if all(self._verdicts):
            return self._conclude(LOST)
        self._awaited.append(self._data_answered)
        return (Send(print_command(model.Data())),)

    def _recipient_answered(self, number: int) -> Callable[[Reply], Sequence[Step]]:
        def hear(answer: Reply) -> Sequence[Step]:
            if not answer.positive:
                self._verdicts[number] = self._mail_refusal or answer
            return () if "PIPELINING" in self._extensions else self._ask_recipient(number + 1)

        return hear

    def _data_answered(self, answer: Reply) -> Sequence[Step]:
        assert self._outgoing is not None
        if answer.code != 354:
            return self._conclude(self._mail_refusal or answer)
        waiting = [number for number, verdict in enumerate(self._verdicts) if verdict is None]
        if not waiting:  # RFC 2920 §3.1: nothing to send, but the server waits for the dot
            self._awaited.append(lambda last: self._conclude(last))
            return (Send(b".\r\n"),)
        if self._lmtp:  # RFC 2033 §4.2: one reply for each accepted recipient
            self._awaited.extend(self._delivered(number, last=number == waiting[-1]) for number in waiting)
        else:
            self._awaited.append(self._accepted)
        return (Send(stuff(self._outgoing.octets), note=f"«message, {len(self._outgoing.octets)} octets»"),)

    def _accepted(self, answer: Reply) -> Sequence[Step]:
        self._unclean = not answer.positive
        return self._conclude(answer)

    def _delivered(self, number: int, *, last: bool) -> Callable[[Reply], Sequence[Step]]:
        def hear(answer: Reply) -> Sequence[Step]:
            self._verdicts[number] = answer
            if not last:
                return ()
            self._unclean = False
            return self._conclude(LOST)

        return hear

    def _conclude(self, answer: Reply) -> Sequence[Step]:
        """The transaction is over; `answer` is the word on whoever has none yet."""
        self._outgoing = None
        return (Finished(tuple(verdict or answer for verdict in self._verdicts)),)
