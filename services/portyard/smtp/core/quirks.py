"""How other mail servers differ on SMTP, submission and LMTP, by name; all off. Personas switch them on, for each role by itself."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from portyard.commons.scenario.quirks import Count, Seconds, Words, check_words

Extension = Literal["PIPELINING", "SIZE", "STARTTLS", "AUTH", "ENHANCEDSTATUSCODES", "8BITMIME", "SMTPUTF8", "HELP"]
# A whole reply without the hyphens: "250 2.1.0 OK"; lines are parted by "\n". What is positive stays positive (RFC 5321 §4.2.1).
_LINE = r"[0-9]{2} [ -~]{0,500}"
Positive = Annotated[str, Meta(pattern=rf"\A2{_LINE}(\n2{_LINE})*\Z", description="A reply of class 2.")]
Further = Annotated[str, Meta(pattern=rf"\A3{_LINE}(\n3{_LINE})*\Z", description="A reply of class 3.")]
Negative = Annotated[
    str, Meta(pattern=rf"\A(4{_LINE}(\n4{_LINE})*|5{_LINE}(\n5{_LINE})*)\Z", description="Class 4 or 5.")
]
_FIELDS = {
    "hello": ("hello",),
    "recipient": ("recipient",),
    "queued": ("id",),
    "delivered": ("id", "recipient"),
    "relaying": ("recipient",),
    "no_user": ("recipient",),
    "recipients": ("recipient",),
}


class Replies(Struct, frozen=True, forbid_unknown_fields=True):
    """Whole replies, code and enhanced code too; ours where it isn't set. All may tell `$host`, `$peer`, `$session`, `$time`, `$command`.

    Attributes:
        greeting: The 220.
        hello: The text of the answer to EHLO, HELO or LHLO, above the extensions: `$hello` is what the client calls itself.
        noop: To NOOP.
        rset: To RSET.
        vrfy: To VRFY.
        quit: To QUIT.
        starttls: To STARTTLS.
        logged_in: To a login.
        sender: To MAIL.
        recipient: To RCPT: `$recipient`.
        go_ahead: The 354.
        queued: To a message that is spooled: `$id`.
        delivered: With LMTP, for each recipient of a message that is stored: `$id`, `$recipient`.
        hello_first: A command before the hello.
        order: A command that may not come now.
        unknown: A command that isn't known.
        syntax: A command that isn't understood.
        needs_tls: What may only be said under TLS.
        needs_login: MAIL before a login, on submission.
        no_plaintext: AUTH before TLS.
        mechanism: A mechanism that isn't offered.
        bad_login: Wrong name or password.
        relaying: A recipient of another domain: `$recipient`.
        no_user: A recipient that there isn't: `$recipient`.
        recipients: One recipient too many: `$recipient`.
        no_recipients: DATA where every recipient was refused.
        too_large: A message over the limit.
        errors: The last word after too many errors.
        silence: The last word after too long a silence.
        connections: The only word to a connection too many.
    """

    greeting: Positive | None = None
    hello: Words | None = None
    noop: Positive | None = None
    rset: Positive | None = None
    vrfy: Positive | None = None
    quit: Positive | None = None
    starttls: Positive | None = None
    logged_in: Positive | None = None
    sender: Positive | None = None
    recipient: Positive | None = None
    go_ahead: Further | None = None
    queued: Positive | None = None
    delivered: Positive | None = None
    hello_first: Negative | None = None
    order: Negative | None = None
    unknown: Negative | None = None
    syntax: Negative | None = None
    needs_tls: Negative | None = None
    needs_login: Negative | None = None
    no_plaintext: Negative | None = None
    mechanism: Negative | None = None
    bad_login: Negative | None = None
    relaying: Negative | None = None
    no_user: Negative | None = None
    recipients: Negative | None = None
    no_recipients: Negative | None = None
    too_large: Negative | None = None
    errors: Negative | None = None
    silence: Negative | None = None
    connections: Negative | None = None

    def __post_init__(self) -> None:
        """Refuse what is never filled in.

        Raises:
            QuirkError: A text asks for it.
        """
        fields = {name: ("command", *_FIELDS.get(name, ())) for name in self.__struct_fields__}
        check_words(self, "replies", fields)


class Limits(Struct, frozen=True, forbid_unknown_fields=True):
    """What one client may ask for. Each only lessens what the settings allow.

    Attributes:
        message: Octets of a message; what SIZE announces.
        recipients: Recipients of a transaction.
        errors: Refused commands after which the connection is closed.
        connections: Connections of one address at once; any number where it isn't set.
        silence_s: Seconds without a command (RFC 5321 §4.5.3.2.7 asks for five minutes at least).
    """

    message: Annotated[int, Meta(ge=1024)] | None = None
    recipients: Count | None = None
    errors: Count = 20
    connections: Count | None = None
    silence_s: Annotated[float, Meta(ge=1, le=86400)] = 300.0


class Quirks(Struct, frozen=True, forbid_unknown_fields=True):
    """Named deviations.

    Attributes:
        replies: Texts in the server's own words.
        limits: Other limits.
        extensions: What EHLO announces, in this order, of what is served: STARTTLS and AUTH stand only while they can be used. A
            parameter of MAIL whose extension isn't among them is unknown. Ours where it isn't set.
        require_tls: Neither credentials nor mail in plaintext.
        tarpit_s: Seconds before each reply of class 5.
    """

    replies: Replies = Replies()
    limits: Limits = Limits()
    extensions: tuple[Extension, ...] | None = None
    require_tls: bool = False
    tarpit_s: Seconds = 0.0

    def lacks(self, extension: str) -> bool:
        """Whether an extension is neither announced nor served."""
        return self.extensions is not None and extension not in self.extensions


NONE = Quirks()
"""This server as it is."""
EXTENSION_OF = {"SIZE": "SIZE", "BODY": "8BITMIME", "SMTPUTF8": "SMTPUTF8", "AUTH": "AUTH"}
"""The extension by which a parameter of MAIL is announced."""
