"""What rules may ask of WebSocket: the opening handshake, frames in and out, the close, and Socket.IO's events."""

from __future__ import annotations

import re

from portyard.commons.exchange_words import BELOW, CONTENT, HEAD, NUMBER, PATH, STATUSES
from portyard.commons.scenario.vocabulary import (
    ANSWERS,
    ANY_TEXT,
    CONNECT,
    FAULTS,
    HANDSHAKE,
    MIDST,
    Field,
    Form,
    Verb,
    Vocabulary,
)
from portyard.websocket.core.model import MOST_REASON_OCTETS

INTERNAL_ERROR = 1011
SHOWN_CHARACTERS = 2000  # of a message that rules look at
_STAYS = frozenset({"silence", "delay", "hang_up"})
# RFC 6455 §7.4: those that an endpoint may send; a reason of more octets than a frame holds is cut
_REASON = r"(?:\s+.*)?"
_CODE = rf"(?s)(?:100[0-37-9]|101[0-4]|[34][0-9]{{3}}){_REASON}"
_CLOSES = {
    "refuse": Form(_CODE, 'a close code (1000-1003, 1007-1014, 3000-4999), a reason behind it or not: "1011 later"'),
    "say": ANY_TEXT,
}
_SCRIPT = frozenset({"say", "silence", "delay", "hang_up", "reset", "send", "expect"})
_PATH = {"path": Field("The path of the opening handshake.", PATH, form=BELOW)}
_MESSAGE = {
    **_PATH,
    "opcode": Field("Text or binary.", values=("text", "binary")),
    "length": Field("Characters of a text, octets of a binary message.", NUMBER),
    "text": Field("A text's first 2,000 characters; empty for a binary message."),
}
_NO_SOCKET = dict.fromkeys(
    FAULTS, "a Socket.IO session may go over several connections; arm it at websocket.upgrade or websocket.request"
)

VOCABULARY = Vocabulary(
    room="websocket",
    anonymous=frozenset({"websocket"}),
    verbs={
        "connect": Verb("A connection was accepted.", {}, CONNECT),
        "tls": HANDSHAKE,
        "request": Verb(
            "A request that is no opening handshake came: the index, Socket.IO's polling.",
            {**HEAD, **CONTENT},
            ANSWERS | FAULTS | {"respond", "script"},
            magic="path",
            forms=STATUSES,
        ),
        "upgrade": Verb(
            "An opening handshake came. `refuse` is a status; `say` is the subprotocol that is agreed to, offered or not; `respond` with "
            "status 101 changes fields of the true answer.",
            {
                **HEAD,
                "subprotocol": Field("The subprotocols that are offered, as sent."),
                "extensions": Field("The extensions that are offered, as sent."),
            },
            ANSWERS | FAULTS | {"respond", "script"},
            magic="path",
            forms={
                "refuse": STATUSES["refuse"],
                "say": Form(r"[!#$%&'*+.^_`|~0-9A-Za-z${}-]+", "one subprotocol, a token (RFC 6455 §4.1)"),
                "script.say": STATUSES["say"],
            },
        ),
        "open": Verb(
            "The handshake is done, and no frame was sent yet. `refuse` is a close code.",
            {**_PATH, "subprotocol": Field("The one that was agreed to.")},
            MIDST | {"refuse", "script"},
            forms=_CLOSES,
            steps=_SCRIPT,
        ),
        "message": Verb(
            "A whole message came. `refuse` is a close code, `say` the text that its sender hears in place of the true answer.",
            _MESSAGE,
            ANSWERS | FAULTS | {"script"},
            why_not={"respond": 'a message has no parts; say, or script = [{ say = "…" }], gives a stub'},
            forms=_CLOSES,
            steps=_SCRIPT,
        ),
        "send": Verb(
            "A message is about to be sent. `refuse` is a close code, `say` another text.",
            _MESSAGE,
            ANSWERS | FAULTS,
            why_not={"script": "a script begins at websocket.open or websocket.message"},
            forms=_CLOSES,
        ),
        "fragment": Verb(
            "The first half of a message was sent as a fragment.",
            {**_MESSAGE, "octets": Field("Of the payload sent so far.", NUMBER)},
            MIDST,
            why_not={"refuse": "a message is under way; refuse at websocket.send"},
        ),
        "ping": Verb(
            "A Ping came. `refuse` is a close code, `say` the payload of a Pong that doesn't fit.",
            {**_PATH, "length": Field("Octets of its payload.", NUMBER)},
            ANSWERS | FAULTS,
            forms={**_CLOSES, "say": Form(r"(?s)[\x00-\x7f]{0,125}", "125 octets of ASCII at most (RFC 6455 §5.5)")},
        ),
        "close": Verb(
            "A Close is about to be sent: the answer to the client's, or our own. `say` is another close code.",
            {
                **_PATH,
                "code": Field("The close code.", NUMBER),
                "by": Field("Who began to close.", values=("client", "server")),
            },
            MIDST | {"say"},
            forms={
                "say": Form(
                    f"(?s)[1-4][0-9]{{3}}{_REASON}", "a close code from 1000 to 4999, a reason behind it or not"
                )
            },
            why_not={"refuse": "a close can't be refused; say another code, be silent or hang up"},
        ),
        "enter": Verb(
            "A Socket.IO client asks to enter. `refuse` is the message of the connect_error.",
            {},
            _STAYS | {"refuse"},
            why_not=_NO_SOCKET,
        ),
        "event": Verb(
            "A Socket.IO event came. `refuse` is the error in its acknowledgement, `say` a false acknowledgement (JSON, or a text).",
            {
                "event": Field("Its name."),
                "text": Field("The first 2,000 characters of its arguments, as a JSON array."),
            },
            _STAYS | {"refuse", "say"},
            why_not=_NO_SOCKET,
        ),
    },
    respond=frozenset({"status", "headers", "body"}),
)

_CLOSE = re.compile(r"(\d{4})(?:\s+(.*))?", re.DOTALL)


def close_of(text: str) -> tuple[int, str]:
    """What a rule's close means: "1011", "1011 reason", or a reason alone, which is a 1011's; the reason cut to what a frame holds."""
    found = _CLOSE.fullmatch(text.strip())
    code, reason = (int(found[1]), found[2] or "") if found else (INTERNAL_ERROR, text.strip())
    return code, reason.encode()[:MOST_REASON_OCTETS].decode("utf-8", "ignore")
