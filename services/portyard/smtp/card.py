"""What the room says of itself: three services on four ports. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import replace

from portyard.commons.card import Card, Service, TlsMode, standard
from portyard.smtp.core.verbs import VOCABULARY

CARD = Card(
    name="smtp",
    services=(
        Service(
            name="msa",
            role="msa",
            ports=(standard("submission", 587, TlsMode.UPGRADE), standard("submissions", 465, TlsMode.IMPLICIT)),
            summary="takes mail from those who log in",
            overload=b"421 4.3.2 too many connections, try again later\r\n",
        ),
        Service(
            name="mta",
            role="mta",
            ports=(standard("smtp", 25, TlsMode.UPGRADE),),
            summary="takes mail from anybody for the testbed's domains",
            overload=b"421 4.3.2 too many connections, try again later\r\n",
        ),
        Service(
            name="mda",
            role="mda",
            # Analysers know no protocol by port 24, and read LMTP as the SMTP that it nearly is (RFC 2033 §4).
            ports=(replace(standard("lmtp", 24, TlsMode.UPGRADE), known=25),),
            summary="puts mail into mailboxes",
            overload=b"421 4.3.2 too many connections, try again later\r\n",
        ),
    ),
    factory="portyard.smtp.edge:open_service",
    capabilities=(
        "PIPELINING",
        "SIZE",
        "STARTTLS",
        "AUTH PLAIN LOGIN",
        "ENHANCEDSTATUSCODES",
        "8BITMIME",
        "SMTPUTF8",
        "HELP",
    ),
    vocabulary=VOCABULARY,
    quirks="portyard.smtp.core.quirks:Quirks",
)
