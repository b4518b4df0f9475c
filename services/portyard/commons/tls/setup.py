"""The yard's one TLS setup: the authority's contexts, the layer, and every handshake in the journal."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from portyard.commons.sandbox.model import DEFAULT, Sandboxes
from portyard.commons.scenario.actions import action_name
from portyard.commons.tls.authority import REVOCATION, Authority
from portyard.commons.tls.descriptions import alert_of
from portyard.commons.tls.hello import ClientHello
from portyard.commons.tls.layer import serve_tls, upgrade_client, upgrade_server
from portyard.commons.tls.recipes import GOOD, RECIPES, Manner, recipe_for_host
from portyard.commons.tls.terms import Choice, Choose, HungUp, Plaintext, Refused, Terms
from portyard.commons.yard import Connection

MOST_NAMES = 1000  # on the leaf: a ClientHello may name any sandbox, and each takes two

PLAIN_WORDS = b"This is not TLS.\r\n"  # to an upgrade's ClientHello where the service has no words of its own


class TlsSetup:
    """See `portyard.commons.yard.Tls`.

    Args:
        folder: `tls/` of the state directory.
        names: What the leaf names beyond localhost and its addresses.
        sandboxes: Who owns the domain that a client names by SNI.
        later: Nobody but this process looks at the folder: the CA is made when `prepare` is called, or when it is first needed.
        revocation: Where CRL and OCSP responder are; see authority.REVOCATION.
    """

    def __init__(
        self,
        folder: Path,
        names: Sequence[str],
        sandboxes: Sandboxes,
        *,
        later: bool = False,
        revocation: Callable[[], Sequence[str]] = lambda: REVOCATION,
    ) -> None:
        self._open: Callable[[], Authority] = lambda: Authority.open(folder, names, revocation=revocation)
        self._opened: Authority | None = None
        self._opening = threading.Lock()
        self._sandboxes = sandboxes
        if not later:
            self.prepare()

    def prepare(self) -> None:
        """Open the CA, where that was put off. Not for a loop's thread."""
        with self._opening:
            if self._opened is None:
                self._opened = self._open()

    @property
    def _authority(self) -> Authority:
        if self._opened is None:
            self.prepare()
        assert self._opened is not None
        return self._opened

    @property
    def ca_pem(self) -> bytes:
        """See Tls."""
        return self._authority.ca_pem

    def server_context(self, recipe: str = "good") -> ssl.SSLContext:
        """See Tls."""
        return self._authority.context(recipe)

    async def context_for(self, recipe: str = "good") -> ssl.SSLContext:
        """See Tls."""
        context = self._authority.ready_context(recipe)
        if context is None:  # off the loop: a certificate that is made for the first time takes a while
            context = await asyncio.to_thread(self._authority.context, recipe)
        return context

    def crl_pem(self) -> bytes:
        """The CA's list of revoked certificates, PEM. May sign, so not for a loop's thread."""
        return self._authority.crl_pem()

    def crl_der(self) -> bytes:
        """The same in DER (`application/pkix-crl`), as the address in a certificate serves it. Not for a loop's thread."""
        return self._authority.crl_der()

    def ocsp_response(self, request: bytes) -> bytes:
        """The answer to an OCSP request, both in DER (`application/ocsp-request`, `-response`). Not for a loop's thread."""
        return self._authority.ocsp_response(request)

    def client_context(self) -> ssl.SSLContext:
        """See Tls."""
        return self._authority.client_context()

    def certificate_files(self, recipe: str = "good") -> tuple[Path, Path]:
        """See Tls."""
        chain, key = self._authority.certificate_paths(recipe)
        return chain, key

    def implicit(self, protocol: asyncio.Protocol, connection: Connection) -> asyncio.BaseProtocol:
        """See Tls."""
        asked = connection.gate.recipe if connection.gate is not None else None
        if asked is not None and RECIPES[asked].manner is Manner.PLAINTEXT:
            note(connection, "plaintext", {})
            return protocol

        def heard(kind: str, /, **fields: Any) -> None:  # noqa: ANN401 - the layer's own type
            note(connection, kind, fields)
            if kind == "failed" and fields.get("stage") != "open":
                connection.log.close("tls handshake failed")

        return serve_tls(protocol, self._chooser(connection), heard)

    async def upgrade(
        self,
        transport: asyncio.Transport,
        protocol: asyncio.Protocol,
        connection: Connection,
        pending: bytes = b"",
    ) -> asyncio.Transport:
        """See Tls."""
        return await upgrade_server(
            transport, protocol, self._chooser(connection), hearing(connection), prelude=pending
        )

    async def upgrade_client(
        self, transport: asyncio.Transport, protocol: asyncio.Protocol, server_hostname: str
    ) -> asyncio.Transport:
        """See Tls."""
        return await upgrade_client(transport, protocol, self.client_context(), server_hostname)

    def _chooser(self, connection: Connection) -> Choose:
        """The answer to a ClientHello: by a rule at the handshake or at connect, by SNI, or the good one.

        Without a rule and a strange name it costs no task.
        """

        def choose(hello: ClientHello) -> Choice | Awaitable[Choice]:
            gate, named = connection.gate, recipe_for_host(hello.server_name)
            if named is None and (gate is None or not (gate.armed or gate.recipe)) and self._ours(hello.server_name):
                ready = self._authority.ready_context()
                if ready is not None:
                    return ready
            recipe = (gate.recipe if gate is not None else None) or (GOOD if named is None else named.name)
            return self._consider(connection, hello.server_name or "", recipe)

        return choose

    def _ours(self, server_name: str | None) -> bool:
        """Whether a name stands on the leaf, so that no sandbox need be looked for."""
        if not server_name:
            return True
        names = self._authority.names
        return server_name.lower() in names or f"*.{parent(server_name)}" in names

    async def _consider(self, connection: Connection, server_name: str, recipe: str) -> Choice:
        await self.join(connection, server_name)
        verdict = None
        if connection.gate is not None:
            verdict = await connection.gate.ask("tls", server_name=server_name)
        if verdict is not None:
            does = [action_name(action) for action in verdict.actions]
            connection.log.event("fault", verb="tls", rule=verdict.rule, does=does)
            await asyncio.sleep(verdict.delay_s)
            if verdict.silence:
                await stall()
            if verdict.refuse is not None:
                raise Refused(alert_of(verdict.refuse))
            if verdict.hang_up:
                raise HungUp
            recipe = verdict.recipe or recipe
        return await self._answer(connection, recipe)

    async def _answer(self, connection: Connection, recipe: str) -> Choice:
        wanted = RECIPES[recipe]
        if wanted.manner is Manner.STALL:
            await stall()
        if wanted.manner is Manner.PLAINTEXT:
            return Plaintext(connection.service.overload or PLAIN_WORDS)
        return Terms(await self.context_for(recipe), close_notify=wanted.close_notify)

    async def join(self, connection: Connection, server_name: str) -> None:
        """See Tls."""
        for domain in (server_name.lower(), parent(server_name)):
            sandbox = await self._sandboxes.owner(domain) if domain else None
            if sandbox is not None and sandbox.name != DEFAULT:
                connection.log.join(sandbox.name)
                if connection.gate is not None:
                    connection.gate.sandbox = sandbox.name
                names = {domain, f"*.{domain}"}
                if not names <= self._authority.names and len(self._authority.names) < MOST_NAMES:
                    self._authority.add_names(names)
                return


async def stall() -> None:
    """Never return: the handshake stalls until the layer's patience ends."""
    await asyncio.get_running_loop().create_future()


def parent(server_name: str) -> str:
    """The name without its first label, in lower case."""
    return server_name.lower().partition(".")[2]


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
    if isinstance(seconds := fields.get("seconds"), float):
        fields["seconds"] = round(seconds, 6)  # a clock tells no more
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
