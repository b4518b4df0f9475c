"""What the DNS room says of itself."""

from __future__ import annotations

from portyard.commons.card import Card, Service, standard
from portyard.dns.core.verbs import VOCABULARY

CARD = Card(
    name="dns",
    services=(
        Service(
            name="dns",
            role="dns",
            # TCP first: where the system chooses the number, it is TCP's that others are more likely to have.
            ports=(standard("dns-tcp", 53), standard("dns-udp", 53, transport="udp")),
            summary="DNS: the testbed's zones, MX for every domain that capture takes mail for",
        ),
    ),
    factory="portyard.dns.edge:open_service",
    capabilities=("UDP", "TCP", "EDNS0"),
    vocabulary=VOCABULARY,
)
