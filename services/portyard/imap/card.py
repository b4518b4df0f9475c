"""The IMAP room's card."""

from portyard.commons.card import Card, Service, TlsMode, standard
from portyard.imap.core.verbs import VOCABULARY

# What is served once logged in and, save STARTTLS and AUTH=, announced in every phase: many clients ask only once, at the greeting.
EXTENSIONS = (
    "LITERAL+",
    "SASL-IR",
    "ID",
    "ENABLE",
    "IDLE",
    "NAMESPACE",
    "UIDPLUS",
    "MOVE",
    "UNSELECT",
    "CHILDREN",
    "SPECIAL-USE",
)

CARD = Card(
    name="imap",
    services=(
        Service(
            name="imap",
            role="imap",
            ports=(standard("imap", 143, TlsMode.UPGRADE), standard("imaps", 993, TlsMode.IMPLICIT)),
            summary="IMAP4rev1, STARTTLS and implicit TLS",
            overload=b"* BYE [UNAVAILABLE] Too many connections\r\n",
        ),
    ),
    factory="portyard.imap.edge:open_service",
    capabilities=("IMAP4rev1", *EXTENSIONS, "STARTTLS", "LOGINDISABLED", "AUTH=PLAIN", "AUTH=LOGIN"),
    vocabulary=VOCABULARY,
    quirks="portyard.imap.core.quirks:Quirks",
)
