"""What the POP3 room says of itself."""

from __future__ import annotations

from portyard.commons.card import Card, Service, TlsMode, standard
from portyard.pop3.core.verbs import VOCABULARY

CARD = Card(
    name="pop3",
    services=(
        Service(
            name="pop3",
            role="pop3",
            ports=(standard("pop3", 110, TlsMode.UPGRADE), standard("pop3s", 995, TlsMode.IMPLICIT)),
            summary="POP3, STLS and implicit TLS",
            overload=b"-ERR [SYS/TEMP] too many connections\r\n",
        ),
    ),
    factory="portyard.pop3.edge:open_service",
    capabilities=(
        "TOP",
        "USER",
        "SASL PLAIN",
        "RESP-CODES",
        "AUTH-RESP-CODE",
        "PIPELINING",
        "UIDL",
        "EXPIRE NEVER",
        "STLS",
        "IMPLEMENTATION Portyard",
    ),
    vocabulary=VOCABULARY,
    quirks="portyard.pop3.core.quirks:Quirks",
)
