"""What rules may ask of SMTP, LMTP and submission: each command, and the moments between. Light to import: the card holds it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from portyard.commons.scenario.vocabulary import (
    CONNECT,
    HANDSHAKE,
    MAILBOX,
    MIDST,
    PERSONA,
    Field,
    FieldKind,
    Form,
    Verb,
    Vocabulary,
    command,
)

_HELLO = {"hello": Field("What the client calls itself.")}
_SENDER = {"sender": Field("The reverse-path's address; empty for <>.", holds="@", form=MAILBOX)}
# RFC 5321 §4.5.1: <Postmaster> alone needs no domain
_ADDRESS = Field("The address.", holds="@", besides=("postmaster",), form=MAILBOX)
_RECIPIENTS = {"recipients": Field("How many were accepted.", FieldKind.NUMBER)}
_MECHANISM = {"mechanism": Field("In capitals.")}
# RFC 5321 §4.2.1: all lines have the same code, all but the last a hyphen behind it. Its second digit is at most 5 (§4.2), which real
# servers overstep (571).
_REST = r"[0-9]{2})(?:-[^\r\n]*\r?\n\1)*(?: [^\r\n]*)?"
_OTHERWISE = 'octets as they stand: script = [{ send = "…" }]'
_FORMS = {
    "refuse": Form(f"([45]{_REST}", 'a reply that refuses, from 400 to 599, such as "451 4.7.1 try again later"'),
    "say": Form(
        f"([2-5]{_REST}", f'a reply from 200 to 599, such as "250 2.1.5 yes", or lines of one code; {_OTHERWISE}'
    ),
    "script.say": Form(
        r"[2-5][0-9]{2}(?:[ -][^\r\n]*)?(?:\r?\n[2-5][0-9]{2}(?:[ -][^\r\n]*)?)*",
        f'a line of a reply, such as "250-first" or "250 last"; {_OTHERWISE}',
    ),
}
_ANSWERED = "354 is sent already: refuse at data before it, at content after the message"


_verb = partial(command, forms=_FORMS)


VOCABULARY = Vocabulary(
    room="smtp",
    roles=("msa", "mta", "mda"),
    early={
        **dict.fromkeys(("ehlo", "helo", "starttls"), ("msa", "mta", "mda")),
        "lhlo": ("mda",),
        "challenge": ("msa",),
        **dict.fromkeys(
            ("mail", "noop", "vrfy", "expn", "help"), ("mta", "mda")
        ),  # of a submitter they come behind AUTH
    },
    anonymous=frozenset({"mta", "mda"}),
    before_login=frozenset({"challenge", "auth"}),
    verbs={
        "connect": Verb("A connection was accepted.", {}, CONNECT | PERSONA),
        "greeting": _verb("The server is about to greet."),
        "tls": HANDSHAKE,
        "ehlo": _verb("EHLO", _HELLO),
        "helo": _verb("HELO", _HELLO),
        "lhlo": _verb("LHLO", _HELLO),
        "starttls": _verb("STARTTLS, before the handshake."),
        "challenge": replace(_verb("AUTH: the server is about to ask (334).", _MECHANISM), roles=("msa",)),
        "auth": replace(
            _verb(
                "AUTH: a name and a password were claimed, neither is checked yet.",
                {**_MECHANISM, "login": Field("The name that is claimed.")},
                magic="login",
            ),
            roles=("msa",),
        ),
        "mail": _verb(
            "MAIL; its sandbox is that of the login or of an earlier recipient, for no recipient is named yet.",
            {
                **_SENDER,
                "size": Field("SIZE as declared; 0 where it wasn't.", FieldKind.NUMBER),
                "parameters": Field('All of them: "SIZE=1200 BODY=8BITMIME".'),
            },
        ),
        "rcpt": _verb("RCPT", {**_SENDER, "recipient": _ADDRESS}, magic="recipient"),
        "data": _verb("DATA, before its 354.", {**_SENDER, **_RECIPIENTS}),
        "receiving": Verb(
            "354 was sent, the message is about to come.",
            {**_SENDER, **_RECIPIENTS},
            MIDST,
            why_not=dict.fromkeys(("refuse", "say", "script"), _ANSWERED),
        ),
        "content": _verb(
            "The message came whole; it is neither accepted nor refused yet.",
            {
                **_SENDER,
                **_RECIPIENTS,
                "recipient": Field(
                    "The accepted addresses of this sandbox, a space between.", holds="@", besides=("postmaster",)
                ),
                "size": Field("Octets.", FieldKind.NUMBER),
                "subject": Field("Its Subject, decoded; empty where there is none."),
            },
        ),
        "rset": _verb("RSET"),
        "noop": _verb("NOOP"),
        "vrfy": _verb("VRFY", {"string": Field("Whom it asks for.")}),
        "expn": _verb("EXPN", {"string": Field("The list that it asks for.")}),
        "help": _verb("HELP"),
        "quit": _verb("QUIT"),
    },
)
