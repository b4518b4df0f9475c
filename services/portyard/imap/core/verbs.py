"""What rules may ask of IMAP: each command by its keyword (UID FETCH is `fetch` with `uid`), and the moments between.

Light to import, because the card holds it; what a command's fields are stands in fields.py.
"""

from __future__ import annotations

from functools import partial

from portyard.commons.scenario.vocabulary import (
    COMMAND,
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

# Lines, each the text after the tag; one that begins with "* " or "+ " stands as it is. Only a failure may refuse.
_LINE = r"(?:(?:OK|NO|BAD) [^\r\n]+|\* [^\r\n]+|\+ [^\r\n]*)"
_FORMS = {
    "refuse": Form(
        r"(?:\* [^\r\n]+\r?\n)*(?:(?:NO|BAD) [^\r\n]+|\* BYE [^\r\n]+)",
        'the text after the tag, "NO …" or "BAD …", or "* BYE …"; untagged lines may stand before it',
    ),
    "say": Form(
        rf"{_LINE}(?:\r?\n{_LINE})*",
        'the text after the tag, "OK …", "NO …" or "BAD …", or lines of which those with "* " and "+ " stand as they are',
    ),
}
_GREETING = {
    "refuse": Form(r"\* BYE [^\r\n]+", '"* BYE …"'),
    "say": Form(r"\* (?:OK|PREAUTH|BYE) [^\r\n]+", '"* OK …", "* PREAUTH …" or "* BYE …"'),
}
_UNTAGGED = {"refuse": Form(r"\* [^\r\n]+(?:\r?\n\* [^\r\n]+)*", 'untagged lines: "* OK Still here"')}

_LOGIN = {"login": Field("The name that is claimed.")}
_MECHANISM = {"mechanism": Field("In capitals.")}
_MAILBOX = {"mailbox": Field("The mailbox that the command names.")}
_SELECTED = {"mailbox": Field("The selected mailbox; empty for none.")}
_ITEMS = {"items": Field("What is asked for, as in the command, macros expanded.")}
_UID = {"uid": Field("It is the UID command.", FieldKind.FLAG)}
_NUMBERS = {
    **_SELECTED,
    **_UID,
    "sequence": Field('The sequence set: "1:*".'),
    "message": Field(
        "The number (with `uid` the UID) where it is one message's; 0 for several or *.", FieldKind.NUMBER
    ),
}
_FLAGS = {"flags": Field("As in the command, a space between.")}
_DESTINATION = {**_NUMBERS, "destination": Field("The mailbox that they go to.")}
_PATTERN = {"reference": Field("LIST's first argument."), "pattern": Field("Its second, as on the wire.")}


_verb = partial(command, forms=_FORMS)


def _midst(summary: str, fields: dict[str, Field], why: str) -> Verb:
    return Verb(summary, fields, MIDST, why_not=dict.fromkeys(("refuse", "say", "script"), why))


VOCABULARY = Vocabulary(
    room="imap",
    early=dict.fromkeys(("capability", "id", "starttls", "challenge"), ("imap",)),  # but not behind a login that failed
    before_login=frozenset({"tls", "starttls", "challenge", "authenticate", "login"}),
    verbs={
        "connect": Verb("A connection was accepted.", {}, CONNECT | PERSONA),
        "greeting": Verb("The server is about to greet.", {}, COMMAND, forms=_GREETING),
        "tls": HANDSHAKE,
        "capability": _verb("CAPABILITY"),
        "noop": _verb("NOOP", _SELECTED),
        "logout": _verb("LOGOUT"),
        "id": _verb("ID", {"client": Field("What the client calls itself.")}),
        "starttls": _verb("STARTTLS, before the handshake."),
        "challenge": _midst(
            'AUTHENTICATE: the server is about to ask ("+ ").',
            _MECHANISM,
            "authenticate is where the exchange is refused",
        ),
        "authenticate": _verb(
            "AUTHENTICATE, once a name is claimed; the password isn't checked yet.",
            {**_LOGIN, **_MECHANISM},
            magic="login",
        ),
        "login": _verb("LOGIN; the password isn't checked yet.", _LOGIN, magic="login"),
        "enable": _verb("ENABLE", {"capabilities": Field("A space between.")}),
        "select": _verb("SELECT", _MAILBOX),
        "examine": _verb("EXAMINE", _MAILBOX),
        "create": _verb("CREATE", _MAILBOX),
        "delete": _verb("DELETE", _MAILBOX),
        "rename": _verb("RENAME", {**_MAILBOX, "new_name": Field("What it is to be called.")}),
        "subscribe": _verb("SUBSCRIBE", _MAILBOX),
        "unsubscribe": _verb("UNSUBSCRIBE", _MAILBOX),
        "list": _verb("LIST", _PATTERN),
        "lsub": _verb("LSUB", _PATTERN),
        "namespace": _verb("NAMESPACE"),
        "status": _verb("STATUS", {**_MAILBOX, **_ITEMS}),
        "append": _verb(
            "APPEND; refused before its message is asked for, all else once the message came.",
            {**_MAILBOX, **_FLAGS, "octets": Field("The message's.", FieldKind.NUMBER)},
        ),
        "idle": _verb("IDLE, on entering.", _SELECTED),
        "done": _midst("DONE came, IDLE is about to end.", _SELECTED, "idle is where it is refused"),
        "check": _verb("CHECK", _SELECTED),
        "close": _verb("CLOSE", _SELECTED),
        "unselect": _verb("UNSELECT", _SELECTED),
        "expunge": _verb("EXPUNGE", {**_SELECTED, **_UID, "sequence": Field("UID EXPUNGE's UIDs; else empty.")}),
        "store": _verb("STORE", {**_NUMBERS, **_FLAGS, "items": Field('"+FLAGS.SILENT" and the like.')}),
        "copy": _verb("COPY", _DESTINATION),
        "move": _verb("MOVE", _DESTINATION),
        "fetch": _verb("FETCH", {**_NUMBERS, **_ITEMS}),
        "search": _verb("SEARCH", {**_SELECTED, **_UID, "keys": Field("The search keys, as in the command.")}),
        "literal": _verb(
            'The server is about to invite a synchronising literal ("+ ").',
            {
                "command": Field('The command that it belongs to, in small letters: "append".'),
                "octets": Field("As announced.", FieldKind.NUMBER),
            },
        ),
        "message": _midst(
            "FETCH: a piece of a literal is about to be sent. Asked at its first octet, in its midst (after 64 octets at the"
            " latest) and whenever as much again, 64 KiB at most, was sent.",
            {
                **_SELECTED,
                "message": Field("The message's sequence number.", FieldKind.NUMBER),
                "octets": Field("Sent of it so far.", FieldKind.NUMBER),
                "size": Field("The literal's, in octets.", FieldKind.NUMBER),
            },
            "the answer has begun: fetch is where it is refused",
        ),
        "exists": Verb(
            "New messages are about to be told in IDLE. Refused, they are told when it ends, and the rule's lines now.",
            {**_SELECTED, "messages": Field("How many there are by now.", FieldKind.NUMBER)},
            MIDST | {"refuse"},
            why_not={"say": "flags and expunged messages are told with it; refuse says a line in its place"},
            forms=_UNTAGGED,
        ),
    },
)
