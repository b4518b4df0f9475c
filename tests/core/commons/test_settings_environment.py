"""Settings out of the environment that are no bare value: accounts, and levels of rooms."""

from __future__ import annotations

import re

import pytest

from portyard.commons.settings import AccountSeed, SettingError, load

ACCOUNTS = '[{"address": "mira@portyard.test", "password": "m, secret"}, {"address": "bob@x.test", "password": ""}]'


def test_accounts_are_a_json_list() -> None:
    seeds = load({"PORTYARD_ACCOUNTS": ACCOUNTS}).accounts
    assert seeds == (AccountSeed("mira@portyard.test", "m, secret"), AccountSeed("bob@x.test", ""))
    assert load({"PORTYARD_ACCOUNTS": ""}).accounts == ()


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("mira:m-secret", "PORTYARD_ACCOUNTS: expected a JSON list such as"),
        ('{"address": "a@b.test"}', "accounts = "),
        ('[{"adress": "a@b.test"}]', "did you mean address"),
    ],
)
def test_accounts_that_are_none_are_refused(written: str, words: str) -> None:
    with pytest.raises(SettingError, match=re.escape(words)) as caught:
        load({"PORTYARD_ACCOUNTS": written})
    assert "m-secret" not in str(caught.value).replace('"password": "m-secret"', "")


def test_a_rooms_level_is_told_by_its_name() -> None:
    assert load({"PORTYARD_LOG_ROOMS": "imap=debug smtp=error"}).log.rooms == {"imap": "debug", "smtp": "error"}
    with pytest.raises(SettingError, match=r"log\.rooms.*'imap': 'loud'.*expected debug or info"):
        load({"PORTYARD_LOG_ROOMS": "imap=loud"})


def test_whom_mail_may_be_handed_to_is_a_host_and_perhaps_a_port() -> None:
    assert load({"PORTYARD_RELAY_ALLOW": "mx.test, [::1]:2525"}).relay_allow == ("mx.test", "[::1]:2525")
    assert load({"PORTYARD_RELAY_ALLOW": "mx.test:65535"}).relay_allow == ("mx.test:65535",)
    for wrong in ("mx.test:smtp", "::1", "mx test", "mx.test:25:26", "[mx.test]", "mx.test:0", "mx.test:65536"):
        with pytest.raises(SettingError, match=re.escape(f"relay_allow[0] = {wrong!r}: expected a host")):
            load({"PORTYARD_RELAY_ALLOW": wrong})


def test_a_form_is_told_in_words() -> None:
    with pytest.raises(SettingError, match="passive_ports = '30000': expected first-last, two numbers"):
        load({"PORTYARD_PASSIVE_PORTS": "30000"})
    for name in ("passive_ports", "leased_ports"):
        assert getattr(load({f"PORTYARD_{name.upper()}": "1-65535"}), name) == "1-65535"
        for wrong in ("30019-30000", "65000-65536", "0-5"):
            with pytest.raises(SettingError, match=f"{name} = '{wrong}': expected first-last, from 1 to 65535"):
                load({f"PORTYARD_{name.upper()}": wrong})
    with pytest.raises(SettingError, match=r"accounts\[0\].address = 'mira': expected an address"):
        load({"PORTYARD_ACCOUNTS": '[{"address": "mira", "password": "m-secret"}]'})
    with pytest.raises(SettingError, match="token = «secret»: expected letters, digits"):
        load({"PORTYARD_TOKEN": "two words"})
