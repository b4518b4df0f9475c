"""How other POP3 servers differ, by name; all off. Personas switch them on."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from portyard.commons.scenario.quirks import Count, QuirkError, Seconds, Words, check_words
from portyard.commons.scenario.templates import names_in
from portyard.pop3.core.framing import LINE_LIMIT

Capability = Literal[
    "TOP", "UIDL", "RESP-CODES", "AUTH-RESP-CODE", "PIPELINING", "EXPIRE", "IMPLEMENTATION", "STLS", "USER", "SASL"
]
Command = Literal["APOP", "AUTH", "CAPA", "STLS", "TOP", "UIDL", "NOOP", "RSET"]
_REFUSALS = ("bad_login", "privacy", "unknown", "syntax", "state", "missing", "deleted", "locked", "connections")
_FIELDS = {
    **dict.fromkeys(_REFUSALS, ("command",)),
    "welcome": ("messages", "octets"),
    "list": ("messages", "octets"),
    "uidl": ("messages",),
    "retr": ("octets",),
    "dele": ("message",),
    "rset": ("messages", "octets"),
    "quit": ("messages", "deleted"),
    "missing": ("command", "message", "messages"),
    "deleted": ("command", "message"),
}


class Replies(Struct, frozen=True, forbid_unknown_fields=True):
    """What stands after "+OK" or "-ERR", response codes too. All may tell `$host`, `$peer`, `$session`, `$time`.

    Attributes:
        greeting: The first line.
        user: To USER.
        welcome: To a login: `$messages`, `$octets`.
        capa: Above the capabilities.
        mechanisms: Above AUTH's list.
        stls: To STLS.
        list: Above the scan listing: `$messages`, `$octets`.
        uidl: Above the unique-id listing: `$messages`.
        retr: Above a message: `$octets`.
        top: Above the top of one.
        dele: To DELE: `$message`.
        noop: To NOOP.
        rset: To RSET: `$messages`, `$octets`.
        quit: To QUIT after a login: `$messages` that are left, `$deleted` that went.
        goodbye: To QUIT before one.
        bad_login: Wrong name or password: `$command`.
        privacy: A login in plaintext where TLS is required: `$command`.
        unknown: A command that isn't known: `$command`.
        syntax: A command that isn't understood: `$command`.
        state: A command that may not come now: `$command`.
        missing: No message of this number: `$message`, `$messages`, `$command`.
        deleted: A message that is marked: `$message`, `$command`.
        locked: Another session has the maildrop: `$command`.
        connections: As many sessions as an account may have: `$command`.
        errors: The last word after too many errors.
    """

    greeting: Words | None = None
    user: Words | None = None
    welcome: Words | None = None
    capa: Words | None = None
    mechanisms: Words | None = None
    stls: Words | None = None
    list: Words | None = None
    uidl: Words | None = None
    retr: Words | None = None
    top: Words | None = None
    dele: Words | None = None
    noop: Words | None = None
    rset: Words | None = None
    quit: Words | None = None
    goodbye: Words | None = None
    bad_login: Words | None = None
    privacy: Words | None = None
    unknown: Words | None = None
    syntax: Words | None = None
    state: Words | None = None
    missing: Words | None = None
    deleted: Words | None = None
    locked: Words | None = None
    connections: Words | None = None
    errors: Words | None = None

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
        errors: Refused commands after which the connection is closed.
        logins: Wrong passwords after which it is.
        connections: Sessions of one account at once; any number where it isn't set.
        silence_s: Seconds without a command (RFC 1939 §3 asks for ten minutes at least).
    """

    line: Annotated[int, Meta(ge=64, le=65536)] = LINE_LIMIT
    errors: Count = 50
    logins: Count = 10
    connections: Count | None = None
    silence_s: Annotated[float, Meta(ge=1, le=86400)] = 600.0


class Quirks(Struct, frozen=True, forbid_unknown_fields=True):
    """Named deviations.

    Attributes:
        replies: Texts in the server's own words.
        limits: Other limits.
        capabilities: What CAPA announces, in this order, of what is served; ours where it isn't set. STLS, USER and SASL stand only
            where they can be used.
        missing: Commands that are answered as if nobody had ever heard of them.
        require_tls: No login in plaintext.
        failed_login_delay_s: Seconds from a wrong password to its answer.
        shared: Several sessions may have one maildrop open.
        retrieved_once: What RETR has taken is shown in no later session, though it stays in the mailbox.
        kept_when_deleted: What DELE marks stays in the mailbox and is shown in no later session.
        recent_days: A login as `recent:<name>` shows all messages of so many days, those as well that were retrieved or deleted.
        size_error_percent: By how much the sizes that STAT, LIST and RETR tell are wrong.
        unique_id: The form of unique ids; `$uid` and `$validity` are eight hexadecimal digits each, and both must stand in it.
    """

    replies: Replies = Replies()
    limits: Limits = Limits()
    capabilities: tuple[Capability, ...] | None = None
    missing: tuple[Command, ...] = ()
    require_tls: bool = False
    failed_login_delay_s: Seconds = 0.0
    shared: bool = False
    retrieved_once: bool = False
    kept_when_deleted: bool = False
    recent_days: Annotated[int, Meta(ge=0, le=3650)] = 0
    size_error_percent: Annotated[int, Meta(ge=-50, le=100)] = 0
    # RFC 1939 §7: 1 to 70 characters from 0x21 to 0x7E, never the same for two messages
    unique_id: Annotated[str, Meta(pattern=r"^(?=.*\$uid)(?=.*\$validity)[!-~]{1,60}\Z")] = "$validity$uid"

    def __post_init__(self) -> None:
        """Refuse a form of unique ids that has more in it than stays with a message.

        Raises:
            QuirkError: It asks for what is never filled in.
        """
        if other := names_in(self.unique_id) - {"uid", "validity"}:
            raise QuirkError("unique_id", f"nothing fills in ${min(other)} here", "$uid and $validity; $$ is a dollar")


NONE = Quirks()
"""This server as it is."""
