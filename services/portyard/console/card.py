"""What the console says of itself."""

from __future__ import annotations

from portyard.commons.card import Card, Service, standard

CARD = Card(
    name="console",
    services=(
        Service(
            name="console",
            role="console",
            ports=(standard("console", 8025, host=8025),),
            summary="Console: control API under /api/v1, and pages for people",
            journalled=False,
        ),
    ),
    factory="portyard.console.edge:open_service",
)
