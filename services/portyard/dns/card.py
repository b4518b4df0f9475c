"""What the DNS room says of itself."""

from __future__ import annotations

from portyard.commons.card import Card, Service, standard

CARD = Card(
    name="dns",
    services=(
        Service(
            name="dns",
            role="dns",
            ports=(standard("dns-udp", 53, transport="udp"), standard("dns-tcp", 53)),
            summary="DNS: the testbed's zones, MX for every domain that capture takes mail for",
        ),
    ),
    factory="portyard.dns.edge:open_service",
    capabilities=("UDP", "TCP", "EDNS0"),
)
