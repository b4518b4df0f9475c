"""The yard's one TLS setup: the authority's contexts, the layer, and every handshake in the journal."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from portyard.commons.tls.authority import Authority
from portyard.commons.tls.hello import ClientHello
from portyard.commons.tls.layer import serve_tls, upgrade_client, upgrade_server
from portyard.commons.yard import Connection


class TlsSetup:
    """See `portyard.commons.yard.Tls`.

    Args:
        folder: `tls/` of the state directory.
        names: What the leaf names beyond localhost and its addresses.
    """

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self._authority = Authority.open(folder, names)

    @property
    def ca_pem(self) -> bytes:
        """See Tls."""
        return self._authority.ca_pem

    def server_context(self, recipe: str = "good") -> ssl.SSLContext:
        """See Tls."""
        return self._authority.context(recipe)

    def client_context(self) -> ssl.SSLContext:
        """See Tls."""
        return self._authority.client_context()

    def certificate_files(self, recipe: str = "good") -> tuple[Path, Path]:
        """See Tls."""
        chain, key = self._authority.certificate_paths(recipe)
        return chain, key

    def implicit(self, protocol: asyncio.Protocol, connection: Connection) -> asyncio.BaseProtocol:
        """See Tls."""

        def heard(kind: str, /, **fields: Any) -> None:  # noqa: ANN401 - the layer's own type
            note(connection, kind, fields)
            if kind == "failed" and fields.get("stage") != "open":
                connection.log.close("tls handshake failed")

        return serve_tls(protocol, self._choose, heard)

    async def upgrade(
        self,
        transport: asyncio.Transport,
        protocol: asyncio.Protocol,
        connection: Connection,
        pending: bytes = b"",
    ) -> asyncio.Transport:
        """See Tls."""
        return await upgrade_server(transport, protocol, self._choose, hearing(connection), prelude=pending)

    async def upgrade_client(
        self, transport: asyncio.Transport, protocol: asyncio.Protocol, server_hostname: str
    ) -> asyncio.Transport:
        """See Tls."""
        return await upgrade_client(transport, protocol, self.client_context(), server_hostname)

    def _choose(self, hello: ClientHello) -> ssl.SSLContext:
        return self._authority.context("good")


def hearing(connection: Connection) -> Callable[..., None]:
    """A listener to the layer that tells the connection's log."""

    def heard(kind: str, /, **fields: Any) -> None:  # noqa: ANN401 - the layer's own type
        note(connection, kind, fields)

    return heard


def note(connection: Connection, kind: str, fields: dict[str, Any]) -> None:
    """One of the layer's events as the journal's `tls` event; its `step` is "hello", "established", "failed" and so on."""
    if kind == "hello":
        hello: ClientHello = fields.pop("hello")
        fields |= hello_fields(hello)
    step = "established" if kind == "handshake" else kind
    connection.log.event("tls", step=step, **{key: value for key, value in fields.items() if value is not None})


def hello_fields(hello: ClientHello) -> dict[str, object]:
    """What a client offered, JSON-able: versions by name, code points for the rest."""
    return {
        "versions": list(hello.versions),
        "server_name": hello.server_name,
        "alpn": list(hello.alpn),
        "cipher_suites": list(hello.cipher_suites),
        "groups": list(hello.groups),
        "signature_algorithms": list(hello.signature_algorithms),
    }
