"""What rules may ask of HTTP: a request, and the moments of its answer."""

from __future__ import annotations

from portyard.commons.exchange_words import CONTENT, HEAD, NUMBER, STATUS, STATUSES, TARGET
from portyard.commons.scenario.vocabulary import ANSWERS, CONNECT, FAULTS, HANDSHAKE, MIDST, Field, Verb, Vocabulary

_GONE = "the head is out by now; refuse or say before it, at http.request or http.response"
_TOO_LATE = dict.fromkeys(("refuse", "say", "respond", "script"), _GONE)

VOCABULARY = Vocabulary(
    room="http",
    before_login=frozenset({"tls", "request"}),  # a request's credentials are checked when it is dealt with
    verbs={
        "connect": Verb("A connection was accepted.", {}, CONNECT),
        "tls": HANDSHAKE,
        "request": Verb(
            "A request's head came: nothing is done and nothing answered yet, not even 100 Continue.",
            {**HEAD, **CONTENT},
            ANSWERS | FAULTS | {"respond", "script"},
            magic="path",
            forms=STATUSES,
        ),
        "upload": Verb(
            "A piece of a file that is being PUT came.",
            {
                **TARGET,
                "content_type": CONTENT["content_type"],
                "length": CONTENT["length"],
                "octets": Field("Of it so far.", NUMBER),
            },
            MIDST,
            why_not={"refuse": "the request is under way; refuse it at http.request"},
        ),
        "response": Verb(
            "The request was dealt with; no octet of the answer is out yet.",
            STATUS,
            MIDST | {"say", "respond"},
            why_not={
                "refuse": "it is done by now: say lies about it; refuse at http.request",
                "script": "the answer is ready; a script begins at http.request",
            },
            forms=STATUSES,
        ),
        "headers": Verb("The answer's head was sent, and nothing of its body.", STATUS, MIDST, why_not=_TOO_LATE),
        "body": Verb(
            "A piece of the answer's body is about to be sent, 1,024 octets at most.",
            {**STATUS, "octets": Field("Of the body sent so far, before any content coding.", NUMBER)},
            MIDST,
            why_not=_TOO_LATE,
        ),
    },
    respond=frozenset({"status", "headers", "body"}),
)
