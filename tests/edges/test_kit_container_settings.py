"""Settings of the kit mean in a container, by its environment, what they mean embedded."""

from __future__ import annotations

import pytest

from portyard.commons.settings import AccountSeed, given, load
from portyard.testing.container import PortyardContainer

SEED = AccountSeed("mira@portyard.test", "m, secret", ("ssh-ed25519 AAAAC3Nz mira's = key",))


@pytest.mark.parametrize(
    "settings",
    [
        {"accounts": [{"address": "mira@portyard.test", "password": "m = secret"}]},
        {"accounts": (SEED,)},
        {"accounts": []},
        {"log": {"level": "debug", "rooms": {"imap": "error", "smtp": "debug"}}},
        {"limits": {"message": 2048, "recipients": 100}, "magic": True, "require_tls": False, "seed": 7},
        {"retry_s": (1, 2.5), "domains": ["a.example", "b.example"], "relay_allow": ["192.0.2.1:25"]},
        {"personas": {"imap": "dovecot"}, "tls": {"imaps": "expired"}, "capture": "own", "token": "abc"},
    ],
    ids=lambda settings: " ".join(settings),
)
def test_settings_come_through_the_environment(settings: dict[str, object]) -> None:
    container = PortyardContainer.__new__(PortyardContainer)  # without an engine, which may not be there
    container.env = {}
    for name, value in settings.items():
        container.with_setting(name, value)
    assert load(dict(container.env)) == given(**settings)
