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
    with pytest.raises(SettingError, match=r"log\.rooms"):
        load({"PORTYARD_LOG_ROOMS": "imap=loud"})
