"""How other IMAP servers differ, by name; all off. Personas switch them on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, get_args

from msgspec import Meta, Struct

from portyard.commons.scenario.quirks import Count, QuirkError, Seconds, Words, check_fields, check_words
from portyard.imap.core.framing import LINE_LIMIT

Capability = Literal[
    "IMAP4",
    "IMAP4rev1",
    "LITERAL+",
    "LITERAL-",
    "SASL-IR",
    "ID",
    "ENABLE",
    "IDLE",
    "NAMESPACE",
    "UIDPLUS",
    "MOVE",
    "UNSELECT",
    "CHILDREN",
    "SPECIAL-USE",
    "STARTTLS",
    "LOGINDISABLED",
    "AUTH=PLAIN",
    "AUTH=LOGIN",
]
Folder = Literal["Drafts", "Sent", "Junk", "Trash", "Archive"]
FolderName = Annotated[str, Meta(pattern=r"^[ -~]{1,200}\Z", description="A mailbox's name, levels parted by slashes.")]
Keyword = Annotated[str, Meta(pattern=r"^[!#$&'+,\-./0-9:;<=>?@A-Z^_`a-z|~]{1,100}\Z")]  # RFC 3501 §9: flag-keyword

_TAGGED = ("command", "name")
_FIELDS = {
    **dict.fromkeys(("starttls", "bad_login", "privacy", "connections", "unknown", "syntax", "state"), _TAGGED),
    **dict.fromkeys(("logged_in", "too_large"), (*_TAGGED, "account")),
    **dict.fromkeys(("completed", "selected", "no_mailbox", "no_target", "exists"), (*_TAGGED, "account", "mailbox")),
}


class Replies(Struct, frozen=True, forbid_unknown_fields=True):
    """What stands after the status, response codes too but for those that OK carries; ours where it isn't set.

    All may tell `$host`, `$peer`, `$session`, `$time`, and what answers a command `$command` in capitals and `$name` with one.

    Attributes:
        greeting: The first line.
        completed: To a command that succeeded: `$account`, `$mailbox` (the selected one where it names none).
        logged_in: To a login: `$account`.
        selected: To SELECT and EXAMINE: `$account`, `$mailbox`.
        starttls: To STARTTLS.
        idling: After IDLE's "+".
        literal: After the "+" that invites a literal.
        leaving: The BYE of LOGOUT.
        bad_login: Wrong name or password.
        privacy: A login in plaintext where TLS is required.
        connections: As many sessions as an account may have.
        no_mailbox: No such mailbox: `$account`, `$mailbox`.
        no_target: No mailbox to append, copy or move to: `$account`, `$mailbox`.
        exists: There is such a mailbox: `$account`, `$mailbox`.
        too_large: A message over the limit: `$account`.
        unknown: A command that isn't known.
        syntax: A command that isn't understood.
        state: A command that may not come now.
        errors: The BYE after too many bad commands.
        logins: The BYE after too many wrong passwords.
        autologout: The BYE after too long a silence.
    """

    greeting: Words | None = None
    completed: Words | None = None
    logged_in: Words | None = None
    selected: Words | None = None
    starttls: Words | None = None
    idling: Words | None = None
    literal: Words | None = None
    leaving: Words | None = None
    bad_login: Words | None = None
    privacy: Words | None = None
    connections: Words | None = None
    no_mailbox: Words | None = None
    no_target: Words | None = None
    exists: Words | None = None
    too_large: Words | None = None
    unknown: Words | None = None
    syntax: Words | None = None
    state: Words | None = None
    errors: Words | None = None
    logins: Words | None = None
    autologout: Words | None = None

    def __post_init__(self) -> None:
        """Refuse what is never filled in.

        Raises:
            QuirkError: A text asks for it.
        """
        check_words(self, "replies", _FIELDS)


class Limits(Struct, frozen=True, forbid_unknown_fields=True):
    """What one client may ask for.

    Attributes:
        line: Octets of a line.
        errors: Bad commands in a row after which the connection is closed.
        logins: Wrong passwords after which it is.
        connections: Sessions of one account at once; any number where it isn't set.
        silence_s: Seconds without a command (RFC 3501 §5.4 asks for 30 minutes at least).
        login_s: The same before a login; `silence_s` where it isn't set.
        message: Octets of an appended message; the settings' where it isn't set, or where they are less.
    """

    line: Annotated[int, Meta(ge=512, le=1 << 20)] = LINE_LIMIT
    errors: Count = 20
    logins: Count = 10
    connections: Count | None = None
    silence_s: Annotated[float, Meta(ge=1, le=86400)] = 1800.0
    login_s: Annotated[float, Meta(ge=1, le=86400)] | None = None
    message: Annotated[int, Meta(ge=1024)] | None = None


class Quirks(Struct, frozen=True, forbid_unknown_fields=True):
    r"""Named deviations.

    Attributes:
        replies: Texts in the server's own words.
        limits: Other limits.
        capabilities: What is announced before a login, in this order, of what is served. STARTTLS, LOGINDISABLED and AUTH= stand only
            while they are true. Ours where it isn't set.
        capabilities_later: What is announced after one. A command whose capability stands in neither list is unknown.
        tells_capabilities: Where they are told unasked: in the greeting, in a login's OK, or on a line of their own before that OK.
        identity: What ID answers: `$host`, `$peer`, `$session`, `$time`.
        folders: What the mailboxes that exist from the start are called.
        separator: Between the levels of a mailbox's name.
        bare_names: Mailbox names stand without quotes where they can.
        keywords: All the keywords that are kept; others are dropped without a word. Any where it isn't set.
        auto_expunge: What is marked \Deleted goes at once: for good, or to the mailbox Archive unless it is there, in Junk or in Trash.
        require_tls: No login in plaintext.
        failed_login_delay_s: Seconds from a wrong password to its answer.
        size_error_percent: By how much RFC822.SIZE is wrong.
    """

    replies: Replies = Replies()
    limits: Limits = Limits()
    capabilities: tuple[Capability, ...] | None = None
    capabilities_later: tuple[Capability, ...] | None = None
    tells_capabilities: tuple[Literal["greeting", "login", "before-login-ok"], ...] = ("greeting", "login")
    identity: dict[Annotated[str, Meta(min_length=1, max_length=30)], Words] | None = None
    folders: dict[Folder, FolderName] = {}
    separator: Literal["/", "."] = "/"
    bare_names: bool = False
    keywords: tuple[Keyword, ...] | None = None
    auto_expunge: Literal["remove", "archive"] | None = None
    require_tls: bool = False
    failed_login_delay_s: Seconds = 0.0
    size_error_percent: Annotated[int, Meta(ge=-50, le=100)] = 0

    def __post_init__(self) -> None:
        """Hold against each other what no type can.

        Raises:
            QuirkError: Two folders would meet, only one of the lists of capabilities is set, or IMAP4rev1 isn't in it; or ID's answer
                asks for what is never filled in.
        """
        for name, value in (self.identity or {}).items():
            check_fields(f"identity.{name}", value, ())
        _check_folders(self.folders)
        lists = {"capabilities": self.capabilities, "capabilities_later": self.capabilities_later}
        unset = [name for name, some in lists.items() if some is None]
        if len(unset) == 1:
            reason = "capabilities and capabilities_later are set together"
            raise QuirkError(unset[0], reason, "both of them, or neither")
        for name, some in lists.items():
            if some is not None and "IMAP4rev1" not in some:
                raise QuirkError(name, "IMAP4rev1 is always announced", "IMAP4rev1, and others")  # RFC 3501 §6.1.1

    def lacks(self, capability: str) -> bool:
        """Whether something is neither announced nor served."""
        if self.capabilities is None or self.capabilities_later is None:
            return False
        return capability not in self.capabilities and capability not in self.capabilities_later


def _check_folders(folders: Mapping[Folder, str]) -> None:
    names = list(folders.values())
    if len({name.lower() for name in names}) < len(names):
        raise QuirkError("folders", "two folders have the same name", "a name for each, not in capitals alone another")
    if any(name.upper() == "INBOX" or "//" in f"/{name}/" for name in names):
        reason = "a folder's name is neither INBOX nor has it an empty level"
        raise QuirkError("folders", reason, "names such as Trash or Mail/Trash")
    if any(name in get_args(Folder) and name != key for key, name in folders.items()):
        raise QuirkError("folders", "a folder takes another one's name", "names that no other folder has by itself")
    if any(one.startswith(f"{other}/") for one in names for other in names):
        raise QuirkError("folders", "a folder's name lies below another's", "names side by side")


NONE = Quirks()
"""This server as it is."""
EXTENSION_OF = {
    "ENABLE": "ENABLE",
    "ID": "ID",
    "IDLE": "IDLE",
    "MOVE": "MOVE",
    "NAMESPACE": "NAMESPACE",
    "STARTTLS": "STARTTLS",
    "UNSELECT": "UNSELECT",
}
"""The capability by which a command is announced."""
