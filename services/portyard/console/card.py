"""What the console room says of itself."""

from __future__ import annotations

from portyard.commons.card import Card, Port, Service

CARD = Card(
    name="console",
    services=(
        Service(
            name="console",
            role="console",
            ports=(Port("console", 8025, 8025),),
            summary="console and control API, /api/v1",
        ),
    ),
    factory="portyard.console.edge:open_service",
)
