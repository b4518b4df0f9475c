"""What rules may ask of POP3: each command by its keyword, and the moments between."""

from __future__ import annotations

from functools import partial

from portyard.commons.scenario.vocabulary import (
    ANY_TEXT,
    CONNECT,
    HANDSHAKE,
    MIDST,
    PERSONA,
    Field,
    FieldKind,
    Form,
    Verb,
    Vocabulary,
    command,
)

_LINES = r"(?:\r?\n[^\r\n]*)*"
# RFC 1939 §3: a status indicator, and perhaps lines behind it; RFC 5034 §4: a challenge is "+ "
_FORMS = {
    "refuse": Form(r"-ERR(?: [^\r\n]*)?", 'a reply that refuses: "-ERR", or "-ERR [SYS/TEMP] later"'),
    "say": Form(
        rf"(?:\+OK|-ERR)(?: [^\r\n]*)?{_LINES}|\+ [^\r\n]*",
        'a reply: "+OK …", "-ERR …" or "+ …"; lines may follow the first. Octets as they stand: script = [{ send = "…" }]',
    ),
    "script.say": ANY_TEXT,
}
_LOGIN = {"login": Field("The name that is claimed.")}
_MESSAGE = {"message": Field("The message's number; 0 where none was given.", FieldKind.NUMBER)}


_verb = partial(command, forms=_FORMS)


VOCABULARY = Vocabulary(
    room="pop3",
    early=dict.fromkeys(("capa", "stls"), ("pop3",)),  # but not behind a login that failed
    before_login=frozenset({"tls", "stls", "user", "pass", "apop", "auth"}),
    verbs={
        "connect": Verb("A connection was accepted.", {}, CONNECT | PERSONA),
        "greeting": _verb("The server is about to greet."),
        "tls": HANDSHAKE,
        "user": _verb("USER", _LOGIN, magic="login"),
        "pass": _verb("PASS"),
        "apop": _verb("APOP", _LOGIN, magic="login"),
        "auth": _verb(
            "AUTH, once it is known who is claimed.", {"mechanism": Field("In capitals."), **_LOGIN}, magic="login"
        ),
        "capa": _verb("CAPA"),
        "stls": _verb("STLS"),
        "stat": _verb("STAT"),
        "list": _verb("LIST", _MESSAGE),
        "uidl": _verb("UIDL", _MESSAGE),
        "retr": _verb("RETR", _MESSAGE),
        "top": _verb("TOP", _MESSAGE),
        "dele": _verb("DELE", _MESSAGE),
        "noop": _verb("NOOP"),
        "rset": _verb("RSET"),
        "quit": _verb("QUIT"),
        "message": Verb(
            "A piece of a message is about to be sent.",
            {"octets": Field("Sent of it so far.", FieldKind.NUMBER)},
            MIDST,
            why_not=dict.fromkeys(
                ("refuse", "say", "script"), "the answer has begun: retr or top is where it is refused"
            ),
        ),
    },
)
