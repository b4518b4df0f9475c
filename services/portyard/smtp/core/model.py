"""Commands, paths, replies and the facts of a transaction, in the RFCs' own nouns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from portyard.commons.sandbox.model import DEFAULT, Sandbox


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A Mailbox (RFC 5321 §4.1.2), its local part without quoting.

    Attributes:
        local_part: Decoded, case kept; empty only in the null reverse-path.
        domain: As sent, case kept; empty in the null reverse-path and in `<postmaster>`. An address literal keeps its brackets.
    """

    local_part: str
    domain: str

    @property
    def is_null(self) -> bool:
        """True for `<>`."""
        return not self.local_part and not self.domain

    @property
    def is_ascii(self) -> bool:
        """False when only SMTPUTF8 can carry it (RFC 6531 §3.3)."""
        return self.local_part.isascii() and self.domain.isascii()


NULL_PATH: Final = Mailbox("", "")
POSTMASTER: Final = Mailbox("postmaster", "")


@dataclass(frozen=True, slots=True)
class Parameter:
    """An esmtp-param (RFC 5321 §4.1.2). `keyword` is in upper case; `value` is None where there is no "="."""

    keyword: str
    value: str | None = None


@dataclass(frozen=True, slots=True)
class Ehlo:
    """EHLO (RFC 5321 §4.1.1.1)."""

    domain: str


@dataclass(frozen=True, slots=True)
class Helo:
    """HELO (RFC 5321 §4.1.1.1)."""

    domain: str


@dataclass(frozen=True, slots=True)
class Lhlo:
    """LHLO (RFC 2033 §4.1)."""

    domain: str


@dataclass(frozen=True, slots=True)
class Mail:
    """MAIL (RFC 5321 §4.1.1.2)."""

    reverse_path: Mailbox
    parameters: tuple[Parameter, ...] = ()


@dataclass(frozen=True, slots=True)
class Rcpt:
    """RCPT (RFC 5321 §4.1.1.3)."""

    forward_path: Mailbox
    parameters: tuple[Parameter, ...] = ()


@dataclass(frozen=True, slots=True)
class Data:
    """DATA (RFC 5321 §4.1.1.4)."""


@dataclass(frozen=True, slots=True)
class Rset:
    """RSET (RFC 5321 §4.1.1.5)."""


@dataclass(frozen=True, slots=True)
class Vrfy:
    """VRFY (RFC 5321 §4.1.1.6)."""

    string: str


@dataclass(frozen=True, slots=True)
class Expn:
    """EXPN (RFC 5321 §4.1.1.7)."""

    string: str


@dataclass(frozen=True, slots=True)
class Help:
    """HELP (RFC 5321 §4.1.1.8)."""

    topic: str = ""


@dataclass(frozen=True, slots=True)
class Noop:
    """NOOP (RFC 5321 §4.1.1.9)."""

    string: str = ""


@dataclass(frozen=True, slots=True)
class Quit:
    """QUIT (RFC 5321 §4.1.1.10)."""


@dataclass(frozen=True, slots=True)
class StartTls:
    """STARTTLS (RFC 3207 §4)."""


@dataclass(frozen=True, slots=True)
class Auth:
    """AUTH (RFC 4954 §4).

    Attributes:
        mechanism: In upper case.
        initial_response: Still in base64; "=" for an empty one, None for none.
    """

    mechanism: str
    initial_response: str | None = field(default=None, repr=False)


Command = Ehlo | Helo | Lhlo | Mail | Rcpt | Data | Rset | Vrfy | Expn | Help | Noop | Quit | StartTls | Auth


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply (RFC 5321 §4.2).

    Attributes:
        code: Three digits.
        enhanced: RFC 3463 status ("2.1.0"), repeated on every line (RFC 2034 §4); empty where none belongs.
        lines: The text, one entry a line, at least one.
        name: Under which a persona may have words of its own for it; empty for none.
        values: What may be filled in there.
    """

    code: int
    enhanced: str
    lines: tuple[str, ...]
    name: str = field(default="", compare=False)
    values: Mapping[str, str] = field(default_factory=dict, compare=False)

    @property
    def positive(self) -> bool:
        """2xx or 3xx."""
        return self.code < 400

    @property
    def transient(self) -> bool:
        """4xx: trying again makes sense (RFC 5321 §4.2.1)."""
        return 400 <= self.code < 500

    @property
    def text(self) -> str:
        """The reply in one line, for logs and reasons."""
        return " ".join(part for part in (str(self.code), self.enhanced, *self.lines) if part)


def reply(code: int, enhanced: str, *lines: str, name: str = "", **values: str) -> Reply:
    """A reply of these lines."""
    return Reply(code, enhanced, lines, name, values)


def about(answer: Reply, **values: str) -> Reply:
    """The reply with more that may be filled in."""
    return replace(answer, values={**answer.values, **values})


class PeerError(Exception):
    """The peer's fault; `reply` is what it is told."""

    def __init__(self, answer: Reply) -> None:
        super().__init__(answer.text)
        self.reply = answer


@dataclass(frozen=True, slots=True)
class Hop:
    """What one hop of the testbed tells the next in a private MAIL parameter.

    Attributes:
        id: Minted at the first acceptance; the same over every hop and every try.
        sandbox: The submitter's sandbox (to the MTA) or the recipients' (to the MDA).
        generation: That sandbox's when the message was accepted; older traffic is dropped.
    """

    id: str
    sandbox: str
    generation: int


@dataclass(frozen=True, slots=True)
class Taker:
    """The sandbox that takes what another's account submits, as it was when the recipient was accepted.

    Attributes:
        sandbox: Its name.
        generation: Its generation; what comes after a reset is dropped.
    """

    sandbox: str
    generation: int


@dataclass(frozen=True, slots=True)
class Recipient:
    """An accepted recipient.

    Attributes:
        mailbox: Its address, a bare `<postmaster>` completed.
        sandbox: The sandbox whose traffic it is: the submitter's at the MSA, else the one that takes it.
        generation: That sandbox's at acceptance.
        taker: Who takes it, where that is known to be another.
        late: The sandbox was reset since: the recipient is accepted to be dropped, and nobody hears of it.
    """

    mailbox: Mailbox
    sandbox: str
    generation: int
    taker: Taker | None = None
    late: bool = False


@dataclass(slots=True)
class Transaction:
    """A mail transaction under way (RFC 5321 §3.3).

    Attributes:
        reverse_path: Whom bounces go to.
        eight_bit: BODY=8BITMIME was declared (RFC 6152).
        smtputf8: SMTPUTF8 was declared (RFC 6531).
        hop: The proven private parameter of a testbed peer.
        recipients: Accepted so far, in order.
        refused: How many RCPTs were refused.
        id: The delivery id, the hop's or a new one.
        looked: The domain of the recipient that is being named, and who owns it; None where nobody has looked, or not in this moment.
        since: The sandbox that the recipient which a rule kept waiting named, as it was then; None for one that nothing kept waiting.
    """

    reverse_path: Mailbox
    id: str
    eight_bit: bool = False
    smtputf8: bool = False
    hop: Hop | None = None
    recipients: list[Recipient] = field(default_factory=list)
    refused: int = 0
    looked: tuple[str, Sandbox | None] | None = None
    since: Taker | None = None


@dataclass(slots=True)
class Peer:
    """Who is at the other end.

    Attributes:
        address: Its IP address.
        hello: What it called itself in EHLO, HELO or LHLO; empty before.
        esmtp: It said EHLO or LHLO.
        tls: "TLSv1.3 TLS_AES_256_GCM_SHA384" and the like; empty in plaintext.
        account: The account's address once it is authenticated.
        sandbox: That account's sandbox.
        generation: The sandbox's when the account logged in; another one says that it was reset since.
        home: The sandbox whose listener it came to; mail for whom nobody owns is this one's.
    """

    address: str
    hello: str = ""
    esmtp: bool = False
    tls: str = ""
    account: str = ""
    sandbox: str = ""
    generation: int = 0
    home: str = DEFAULT
