"""What the commands of one session share: the stores, who is logged in, the view of the selected mailbox, and telling what changed."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from portyard.commons.accounts.model import Account, Accounts, why_ended
from portyard.commons.clock import Clocks
from portyard.commons.effects import Effect
from portyard.commons.mailstore.model import SYSTEM_FLAGS, Mailstore, NoSuchMailboxError
from portyard.commons.scenario.obeying import Gate
from portyard.commons.scenario.quirks import Seats, worded
from portyard.commons.scenario.templates import in_ascii
from portyard.commons.scenario.vocabulary import Scalar
from portyard.imap.core.grammar import parse_command
from portyard.imap.core.lexing import BadSyntax, Frame
from portyard.imap.core.model import Expunge, Request
from portyard.imap.core.names import encode_name
from portyard.imap.core.naming import Naming
from portyard.imap.core.quirks import EXTENSION_OF, NONE, Quirks
from portyard.imap.core.replies import Refusal, Tagged, flag_list, string
from portyard.imap.core.ruling import Ruling
from portyard.imap.core.view import View

_BARE = re.compile(rb"[!#$&'+,\-./0-9:;<=>?@A-Z\[^_`a-z|}~]+")  # ATOM-CHAR (RFC 3501 §9)
_NAMES = ("mailbox", "new_name", "destination")  # fields of events that are mailboxes, by the store's names
MESSAGE_LIMIT = 64 << 20  # octets of an appended message where nobody says otherwise


class MailboxGoneError(Exception):
    """The selected mailbox (or its account) was deleted under the session."""


class BrokenAnswerError(Exception):
    """An answer broke off inside a literal; nothing that is sent now would be understood."""


@dataclass(frozen=True, slots=True)
class Dialogue:
    """The command isn't over: the client's next line goes to `answer`.

    Attributes:
        answer: Takes the line without its ending.
        watching: What happens in the mailbox is told meanwhile (IDLE).
        secret: The lines are credentials; the journal blanks them.
    """

    answer: Callable[[bytes], AsyncIterator[Answer]]
    watching: bool = False
    secret: bool = False


@dataclass(frozen=True, slots=True)
class Claimed:
    """The client has said who it is; the session joins that sandbox and asks the rules there before it goes on.

    Attributes:
        login: The name.
        mechanism: "LOGIN" for the command of that name, too.
        answer: Checks the proof, and answers; None while the name alone is known.
    """

    login: str
    mechanism: str
    answer: AsyncIterator[Answer] | None = None


class News(bytes):
    """Untagged lines that tell what happened in the mailbox: they stay true even when a rule lies about the command."""


# What a command yields: octets to send, effects to obey, and at last its tagged answer or a dialogue.
Answer = bytes | Effect | Claimed | Tagged | Dialogue


@dataclass(frozen=True, slots=True)
class Offer:
    """What the connection allows.

    Attributes:
        starttls: STARTTLS is served here.
        require_tls: No login without TLS.
        extensions: Capabilities that are served in every phase.
        message_limit: Octets of an appended message.
        version: What ID tells.
        quirks: How this server differs.
        facts: What a persona's texts may tell: `host`, `peer`, `session`, `time`.
        seats: Where an account's sessions are counted.
    """

    starttls: bool = False
    require_tls: bool = False
    extensions: tuple[str, ...] = ()
    message_limit: int = MESSAGE_LIMIT
    version: str = ""
    quirks: Quirks = NONE
    facts: Mapping[str, str] = field(default_factory=dict)
    seats: Seats = field(default_factory=Seats)

    @property
    def largest_message(self) -> int:
        """Octets of an appended message."""
        own = self.quirks.limits.message
        return self.message_limit if own is None else min(own, self.message_limit)


class Context:
    """See the module's text.

    Args:
        accounts: Who may log in.
        mail: The mailboxes.
        offer: What the connection allows.
        secure: TLS is below already.
        gate: What the rules want of this session; None for nothing.
        clocks: Every sandbox's time; None for the store's.
    """

    def __init__(
        self,
        accounts: Accounts,
        mail: Mailstore,
        offer: Offer,
        *,
        secure: bool,
        gate: Gate = None,
        clocks: Clocks | None = None,
    ) -> None:
        self.gate = gate
        self.ruling = Ruling(gate)
        self.quirks = offer.quirks
        self.naming = Naming(offer.quirks.folders.items(), offer.quirks.separator)
        if gate is not None:
            gate.spelling = self.spelt
        self._clocks = clocks
        self.accounts = accounts
        self.mail = mail
        self.offer = offer
        self.secure = secure
        self.account: Account | None = None
        self.view: View | None = None

    @property
    def account_id(self) -> int:
        """Who is logged in; the table of phases guarantees somebody."""
        assert self.account is not None
        return self.account.id

    def now(self) -> datetime | None:
        """The time in the sandbox of whoever is logged in; None for the store's."""
        return None if self._clocks is None or self.account is None else self._clocks.now(self.account.sandbox)

    @property
    def mailbox_name(self) -> str:
        """The selected mailbox's name, as it was selected; empty for none."""
        return "" if self.view is None else self.view.name

    @property
    def selected(self) -> View:
        """The selected mailbox; the table of phases guarantees one."""
        assert self.view is not None
        return self.view

    @property
    def writable(self) -> View:
        """The selected mailbox, for commands that change it.

        Raises:
            Refusal: It was opened by EXAMINE.
        """
        if self.selected.read_only:
            raise Refusal("Mailbox is read-only", "READ-ONLY")
        return self.selected

    @property
    def may_log_in(self) -> bool:
        """Whether LOGIN and AUTHENTICATE are open now."""
        return self.secure or not (self.offer.require_tls or self.quirks.require_tls)

    def capabilities(self) -> str:
        """The capabilities of this moment (RFC 3501 §6.1.1): how to log in is announced only while one can."""
        chosen = self.quirks.capabilities if self.account is None else self.quirks.capabilities_later
        if chosen is not None:
            return " ".join(name for name in chosen if name not in self._untrue())
        names = ["IMAP4rev1", *(name for name in self.offer.extensions if name != "SASL-IR")]
        if self.account is None:
            names += ["STARTTLS"] if self.offer.starttls and not self.secure else []
            names += ["SASL-IR", "AUTH=PLAIN", "AUTH=LOGIN"] if self.may_log_in else ["LOGINDISABLED"]
        return " ".join(names)

    def _untrue(self) -> set[str]:
        """Capabilities that don't stand at this moment: how to log in is announced only while one can."""
        if self.account is not None:
            return {"STARTTLS", "LOGINDISABLED"}
        found = {"LOGINDISABLED"} if self.may_log_in else {"SASL-IR", "AUTH=PLAIN", "AUTH=LOGIN"}
        return found if self.offer.starttls and not self.secure else found | {"STARTTLS"}

    def read(self, frame: Frame) -> Request:
        """Read a command: one that this server knows, with the store's names of mailboxes in it.

        Raises:
            BadSyntax: It isn't one.
        """
        request = parse_command(frame)
        name = type(request.command).__name__.upper()
        capability = EXTENSION_OF.get(name, "")
        if isinstance(request.command, Expunge) and request.command.uids is not None:
            capability = "UIDPLUS"  # RFC 4315 §2.1: UID EXPUNGE
        if capability and self.quirks.lacks(capability):
            error = BadSyntax(f"Unknown command {name}", name="unknown")
            error.tag = request.tag
            raise error
        return request if self.naming.plain else Request(request.tag, self.naming.command(request.command))

    def worded(self, answer: Tagged, command: str, fields: Mapping[str, str]) -> tuple[str, str | None]:
        """A tagged answer's text and code, in the persona's words where it has some; a refusal's words hold its code.

        Args:
            answer: It.
            command: The command's name, in capitals.
            fields: What may be filled in besides.
        """
        ours = f"[{answer.code}] {answer.text}" if answer.code and answer.status != "OK" else answer.text
        account = "" if self.account is None else self.account.address
        tagged = {"command": command, "name": command.capitalize(), "account": account}
        values = {**self.offer.facts, **tagged, **fields}
        text = worded(self.quirks.replies, answer.words, values, ours)
        return text, answer.code if answer.status == "OK" else None

    def told_name(self, name: str) -> str:
        """A mailbox's name as a status response tells it: the client's, in ASCII (RFC 3501 §5.1.3, §9: TEXT-CHAR)."""
        return encode_name(self.naming.wire(name))

    def spelt(self, values: Mapping[str, Scalar]) -> Mapping[str, Scalar]:
        """Fields of events as status responses tell them; UTF-8 may stand there only once UTF8=ACCEPT is enabled (RFC 6855 §3)."""
        names = {name: self.told_name(str(values[name])) for name in _NAMES if name in values}
        if "reference" in values:
            names["reference"] = encode_name(self.naming.parted(str(values["reference"])))
        return in_ascii({**values, **names})

    def kept(self, flags: Iterable[str]) -> tuple[str, ...]:
        """Those of some flags that this server keeps."""
        known = self.quirks.keywords
        if known is None:
            return tuple(flags)
        lowered = {keyword.lower() for keyword in known}
        return tuple(flag for flag in flags if flag.startswith("\\") or flag.lower() in lowered)

    async def why_ended(self) -> str:
        """Why the account isn't there any more, as BYE says it; "" while it is."""
        words = await why_ended(self.accounts, self.account) if self.account is not None else ""
        return words.capitalize()

    async def news(self, *, expunges: bool, uid: bool = False) -> News:
        """The untagged lines for what others (and we) did to the selected mailbox since the client was last told.

        Args:
            expunges: EXPUNGE may be told now (RFC 3501 §7.4.1).
            uid: FETCH lines carry the UID, as they must while a UID command runs (§6.4.8).

        Raises:
            MailboxGoneError: There is no such mailbox any more.
        """
        if self.view is None:
            return News()
        out = await self._catch_up(self.view, uid) if self._moved(self.view) else bytearray()
        if expunges and self.view.gone:
            for number in self.view.tell_gone():
                out += b"* %d EXPUNGE\r\n" % number
        return News(out)

    async def arrived(self) -> int:
        """How many messages there are that the client hasn't been told of; nothing is told or forgotten by asking."""
        if self.view is None or not self._moved(self.view):
            return 0
        last = self.view.uids[-1] if self.view.uids else 0
        try:
            changes = await self.mail.changes(self.view.mailbox_id, self.view.modseq)
        except NoSuchMailboxError:
            return 0
        return sum(entry.uid > last for entry in changes.changed)

    def _moved(self, view: View) -> bool:
        return self.mail.generation(view.mailbox_id) != view.generation

    async def _catch_up(self, view: View, uid: bool) -> bytearray:
        generation = self.mail.generation(view.mailbox_id)
        mailbox = await self.mail.mailbox_by_id(view.mailbox_id)
        if mailbox is None:
            raise MailboxGoneError
        recent_from = mailbox.recent_from
        keywords = len(view.keywords)
        try:
            if not view.read_only and recent_from < mailbox.uid_next:
                recent_from = await self.mail.claim_recent(view.mailbox_id)
            changes = await self.mail.changes(view.mailbox_id, view.modseq)
        except NoSuchMailboxError:
            raise MailboxGoneError from None
        fresh, changed = view.take(changes, recent_from)
        view.generation = generation
        out = bytearray()
        if len(view.keywords) != keywords:
            out += flags_line(view, self.quirks.keywords)
        for index in changed:
            out += flags_fetch(view, index, uid=uid)
        if fresh:
            out += b"* %d EXISTS\r\n* %d RECENT\r\n" % (len(view), len(view.recent))
        return out


def flags_line(view: View, keywords: Iterable[str] | None = None) -> bytes:
    """The FLAGS line: the system flags and the keywords in use, or those that there can be (RFC 3501 §7.2.6)."""
    return b"* FLAGS " + flag_list(dict.fromkeys([*SYSTEM_FLAGS, *view.keywords.values(), *(keywords or ())])) + b"\r\n"


def printed_name(context: Context, name: str) -> bytes:
    """A mailbox's name as it is printed; levels are parted as the store does in the argument.

    RFC 3501 §9: mailbox = "INBOX" / astring; astring = 1*ASTRING-CHAR / string
    """
    wire = encode_name(context.naming.parted(name)).encode()
    return wire if context.quirks.bare_names and _BARE.fullmatch(wire) else string(wire)


def flags_fetch(view: View, index: int, *, uid: bool) -> bytes:
    """A FETCH line that tells a message's flags."""
    head = b"UID %d " % view.uids[index] if uid else b""
    return b"* %d FETCH (%sFLAGS %s)\r\n" % (index + 1, head, flag_list(view.shown_flags(index)))
