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

# The members of `model.Type`, which takes too long to import for who only reads the card.
_NAMED = {
    **{
        "A": 1,
        "NS": 2,
        "CNAME": 5,
        "SOA": 6,
        "PTR": 12,
        "HINFO": 13,
        "MX": 15,
        "TXT": 16,
        "AAAA": 28,
        "SRV": 33,
        "NAPTR": 35,
    },
    **{"DNAME": 39, "OPT": 41, "DS": 43, "SSHFP": 44, "DNSKEY": 48, "TLSA": 52, "SVCB": 64, "HTTPS": 65, "SPF": 99},
    **{"TKEY": 249, "TSIG": 250, "IXFR": 251, "AXFR": 252, "MAILB": 253, "MAILA": 254, "ANY": 255, "CAA": 257},
}
_NUMBER = r"(?:0|[1-9]\d{0,3}|[1-5]\d{4}|6[0-4]\d{3}|65[0-4]\d\d|655[0-2]\d|6553[0-5])"
_UNNAMED = Form(
    rf"(?i:TYPE(?!(?:{'|'.join(map(str, _NAMED.values()))})$){_NUMBER}|(?=[^*?]*[*?])[TYPE\d*?]+)",
    "or TYPE<n> where the number n has none of these names",
)

_NAME = Form(r"\S*[^\s.]", "a name without a dot behind it, such as t1.test, a glob of some, or /a regular expression/")

VOCABULARY = Vocabulary(
    room="dns",
    anonymous=frozenset({"dns"}),
    verbs={
        "connect": Verb("A connection over TCP was accepted.", {}, CONNECT - {"tls"}),
        "query": Verb(
            "A query came.",
            {
                "name": Field("The name asked for, in small letters, without its last dot.", form=_NAME),
                "type": Field('In capitals: "MX", or TYPE<n>.', values=tuple(_NAMED), form=_UNNAMED),
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
