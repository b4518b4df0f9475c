"""What rules may ask of DNS: the connection over TCP, and the query over either transport. Light to import: the card holds it."""

from __future__ import annotations

from portyard.commons.scenario.vocabulary import ANSWERS, CONNECT, FAULTS, Field, Form, Verb, Vocabulary

_NO_BYTES = "a datagram has no stream of octets; on dns.connect it misbehaves over TCP"
_FLAG = r"(?:aa|tc|rd|ra|ad|cd)"
_RCODE = r"(?:FORMERR|SERVFAIL|NXDOMAIN|NOTIMP|REFUSED|NOTAUTH|RCODE(?:[1-9]|1[0-5]))"
_RECORD = r"(?:answer|authority|additional) \S+ \d{1,10} (?:(?:CH|HS|CLASS\d+) )?[A-Za-z0-9]+ \S[^\r\n]*"
_FORMS = {
    "refuse": Form(_RCODE, "FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED, NOTAUTH, or RCODE1 to RCODE15"),
    "say": Form(
        rf"(?:(?:NOERROR|{_RCODE})(?: {_FLAG})*|{_RECORD})(?:\r?\n{_RECORD})*",
        'a reply as talks show it: perhaps "NOERROR aa tc", then lines such as "answer $name 60 A 192.0.2.1"',
    ),
}

VOCABULARY = Vocabulary(
    room="dns",
    verbs={
        "connect": Verb("A connection over TCP was accepted.", {}, CONNECT - {"tls"}),
        "query": Verb(
            "A query came.",
            {
                "name": Field("The name asked for, in small letters, without its last dot."),
                "type": Field('In capitals: "MX", or TYPE<n>.'),
                "transport": Field("How it came.", values=("udp", "tcp")),
                "view": Field("From where it was asked.", values=("host", "inside")),
            },
            ANSWERS | {"script"},
            why_not={
                **dict.fromkeys(FAULTS, _NO_BYTES),
                "script.send": "a message of DNS is no text; say one as talks show it",
                "script.expect": "each query is answered by itself, whatever came before; make a rule for each",
            },
            forms=_FORMS,
            steps=frozenset({"say", "delay", "silence", "hang_up"}),
        ),
    },
)
