"""The room's card."""

from __future__ import annotations

from portyard.commons.card import Card, Service, TlsMode, standard
from portyard.http.core.verbs import VOCABULARY

CARD = Card(
    name="http",
    services=(
        Service(
            name="http",
            role="http",
            ports=(standard("http", 80), standard("https", 443, TlsMode.IMPLICIT)),
            summary="requests mirrored, every status, redirects, auth, streams, caching; the accounts' files at /files/",
            overload=b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nRetry-After: 1\r\nConnection: close\r\n\r\n",
        ),
    ),
    factory="portyard.http.edge:open_service",
    capabilities=(
        "HTTP/1.1",
        "HTTP/1.0",
        "pipelining",
        "Expect: 100-continue",
        "Range",
        "conditional requests",
        "Basic, Bearer and Digest authentication",
        "gzip, deflate, br",
        "files: GET, HEAD, PUT, DELETE",
    ),
    vocabulary=VOCABULARY,
)
