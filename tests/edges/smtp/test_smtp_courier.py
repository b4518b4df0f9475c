"""Where the MTA takes a message: to the testbed and the hosts of the user's list, and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from portyard.commons.directory import Endpoint
from portyard.commons.opening import open_yard as open_real_yard
from portyard.smtp.core.model import Mailbox, PeerError, reply
from portyard.smtp.courier import OUTSIDE, MxCourier, Route
from portyard.smtp.outlet import Address, Destination
from portyard.smtp.resolver import RefusedError
from portyard.smtp.spool import Queued
from tests.support.asyncio_tests import run
from tests.support.smtp_relay import BOB
from tests.support.yard import settings_for


class FakeResolver:
    def __init__(self, found: object) -> None:
        self.found = found

    async def exchanges(self, domain: str) -> Sequence[tuple[str, Sequence[str]]]:
        if isinstance(self.found, Exception):
            raise self.found
        assert isinstance(self.found, list)
        return self.found


class FakeDirectory:
    entries = (
        Endpoint("mta", "smtp", "127.0.0.1", 40025, "127.0.0.1", 40025, "upgrade", "tcp"),
        Endpoint("pop3", "pop3", "192.0.2.7", 110, "127.0.0.1", 3110, "upgrade", "tcp"),
    )

    def find(self, service: str, port: str) -> Endpoint | None:
        return next((entry for entry in self.entries if (entry.service, entry.port) == (service, port)), None)

    def all(self) -> Sequence[Endpoint]:
        return self.entries


MTA = Address("127.0.0.1", 40025, "mta", ours=True)


@pytest.mark.parametrize(
    ("found", "route"),
    [
        ([("mta.b.test", ["127.0.0.1"])], Destination((MTA,))),
        ([("other", ["198.51.100.1"]), ("mta.b.test", ["127.0.0.1"])], Destination((MTA,))),
        ([("other", ["198.51.100.1"])], OUTSIDE),
        ([("pop3.b.test", ["192.0.2.7"])], Destination((Address("192.0.2.7", 25, "pop3.b.test", ours=False),))),
        ([("x", ["203.0.113.5"])], Destination((Address("203.0.113.5", 2525, "x", ours=False),))),
        ([("sink.test", ["203.0.113.6"])], Destination((Address("203.0.113.6", 26, "sink.test", ours=False),))),
        ([("y", ["2001:db8::25"])], Destination((Address("2001:db8::25", 25, "y", ours=False),))),
        ([("z", ["2001:db8::26"])], Destination((Address("2001:db8::26", 2626, "z", ours=False),))),
        ([("plain.test", ["203.0.113.8"])], Destination((Address("203.0.113.8", 25, "plain.test", ours=False),))),
        (PeerError(reply(550, "5.1.2", "no")), reply(550, "5.1.2", "no")),
        (RefusedError("b.test"), Destination((MTA,))),
    ],
)
def test_only_the_testbed_and_the_users_list_are_connected_to(found: object, route: Route, tmp_path: Path) -> None:
    async def go() -> None:
        async with open_real_yard(settings_for(tmp_path)) as yard:
            courier = MxCourier(
                FakeDirectory(),  # type: ignore[arg-type]
                FakeResolver(found),
                yard.sandboxes,
                ("203.0.113.5:2525", "Sink.Test:26", "[2001:DB8::25]", "[2001:db8::26]:2626", "plain.test"),
            )
            assert await courier.route(Queued("one", BOB, "default", 1, 0)) == route

    run(go())


def test_address_literals_and_strict_sandboxes(tmp_path: Path) -> None:
    async def go() -> None:
        async with open_real_yard(settings_for(tmp_path, capture="own")) as yard:
            courier = MxCourier(FakeDirectory(), FakeResolver(RefusedError("b.test")), yard.sandboxes)  # type: ignore[arg-type]

            async def route(domain: str) -> Route:
                return await courier.route(Queued("one", Mailbox("bob", domain), "default", 1, 0))

            assert await route("[127.0.0.1]") == Destination((MTA,))
            assert await route("[198.51.100.1]") == OUTSIDE
            nonsense, refused = await route("[nonsense]"), await route("b.test")
            assert not isinstance(nonsense, Destination)
            assert not isinstance(refused, Destination)
            assert (nonsense.enhanced, refused.enhanced) == ("5.1.2", "5.7.1")

    run(go())
