"""A yard of one's own for a test, and services on ephemeral ports in it."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from portyard.commons.card import Card
from portyard.commons.opening import open_yard as open_real_yard
from portyard.commons.serving import Serving, bind_all, pairs_of
from portyard.commons.settings import Settings
from portyard.commons.yard import Yard


def settings_for(state: Path, **changes: object) -> Settings:
    """Settings with ephemeral ports and a state directory of the test's own."""
    return msgspec.structs.replace(Settings(state=str(state), ports="ephemeral", passive_ports=""), **changes)


NAMES = ("dns", "msa", "mta", "mda", "pop3", "imap", "ftp", "ssh", "http", "websocket", "console")


@contextlib.asynccontextmanager
async def open_yard(state: Path, **changes: object) -> AsyncIterator[Yard]:
    """A whole yard, embedded; `changes` are settings."""
    names = [*NAMES, "portyard.test", "*.portyard.test"]
    async with open_real_yard(settings_for(state, **changes), names) as yard:
        yield yard


@dataclass(frozen=True, slots=True)
class Served:
    """Services that run.

    Attributes:
        yard: Where.
        serving: The services.
    """

    yard: Yard
    serving: Serving

    def port(self, name: str) -> int:
        """The number of a port by its name on the card."""
        return next(endpoint.host_number for endpoint in self.serving.endpoints if endpoint.port == name)

    def client_context(self) -> ssl.SSLContext:
        """A context that trusts the testbed's CA."""
        return self.yard.tls.client_context()

    @property
    def ca_file(self) -> str:
        """The CA's certificate as a file."""
        return str(self.yard.state / "tls" / "ca.pem")


@contextlib.asynccontextmanager
async def serve(yard: Yard, *cards: Card, names: Iterable[str] = ()) -> AsyncIterator[Served]:
    """Run these rooms (or their named services) in the yard on ephemeral ports, until the block ends."""
    running = Serving(yard, bind_all(yard.settings, pairs_of(cards, list(names))))
    try:
        await running.announce()
        await running.open()
        yield Served(yard, running)
    finally:
        await running.close()
