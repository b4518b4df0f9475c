"""The room's card."""

from __future__ import annotations

from portyard.commons.card import Card, Service, TlsMode, standard
from portyard.websocket.core.verbs import VOCABULARY

CARD = Card(
    name="websocket",
    services=(
        Service(
            name="websocket",
            role="websocket",
            ports=(standard("ws", 80, host=3081), standard("wss", 443, TlsMode.IMPLICIT, host=3444)),
            summary="WebSocket /echo, /room/<name>, /deny/<status>, /close/<code>; Socket.IO at /socket.io/",
            overload=b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nRetry-After: 1\r\nConnection: close\r\n\r\n",
        ),
    ),
    factory="portyard.websocket.edge:open_service",
    capabilities=("WebSocket 13", "permessage-deflate", "subprotocols", "Socket.IO 5", "Engine.IO 4"),
    vocabulary=VOCABULARY,
)
