"""What the commands of one session share: the stores, who is logged in, the view of the selected mailbox, and telling what changed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime

from portyard.commons.accounts.model import Account, Accounts
from portyard.commons.clock import Clocks
from portyard.commons.effects import Effect
from portyard.commons.mailstore.model import SYSTEM_FLAGS, Mailstore, NoSuchMailboxError
from portyard.commons.scenario.obeying import Gate
from portyard.imap.core.replies import Refusal, Tagged, flag_list
from portyard.imap.core.view import View

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
    """

    starttls: bool = False
    require_tls: bool = False
    extensions: tuple[str, ...] = ()
    message_limit: int = MESSAGE_LIMIT
    version: str = ""


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
        return self.secure or not self.offer.require_tls

    def capabilities(self) -> str:
        """The capabilities of this moment (RFC 3501 §6.1.1): how to log in is announced only while one can."""
        names = ["IMAP4rev1", *(name for name in self.offer.extensions if name != "SASL-IR")]
        if self.account is None:
            names += ["STARTTLS"] if self.offer.starttls and not self.secure else []
            names += ["SASL-IR", "AUTH=PLAIN", "AUTH=LOGIN"] if self.may_log_in else ["LOGINDISABLED"]
        return " ".join(names)

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
            out += flags_line(view)
        for index in changed:
            out += flags_fetch(view, index, uid=uid)
        if fresh:
            out += b"* %d EXISTS\r\n* %d RECENT\r\n" % (len(view), len(view.recent))
        return out


def flags_line(view: View) -> bytes:
    """The FLAGS line: the system flags and the keywords in use (RFC 3501 §7.2.6)."""
    return b"* FLAGS " + flag_list([*SYSTEM_FLAGS, *view.keywords.values()]) + b"\r\n"


def flags_fetch(view: View, index: int, *, uid: bool) -> bytes:
    """A FETCH line that tells a message's flags."""
    head = b"UID %d " % view.uids[index] if uid else b""
    return b"* %d FETCH (%sFLAGS %s)\r\n" % (index + 1, head, flag_list(view.shown_flags(index)))
