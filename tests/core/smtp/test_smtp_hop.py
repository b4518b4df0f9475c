"""The private parameter proves itself, and nothing else does."""

from __future__ import annotations

import pytest

from portyard.smtp.core.grammar import parse_command
from portyard.smtp.core.hop import KEYWORD, is_pass, parse_hop, parse_taker, print_hop, print_pass
from portyard.smtp.core.model import Hop, Mail, Taker

SECRET = b"s" * 32


@pytest.mark.parametrize("hop", [Hop("abc", "default", 1), Hop("a=b:c", "t 1/ü+", 0)])
def test_there_and_back(hop: Hop) -> None:
    value = print_hop(hop, SECRET)
    command = parse_command(f"MAIL FROM:<a@b> {KEYWORD}={value}".encode())
    assert isinstance(command, Mail)
    assert command.parameters[0].value == value
    assert parse_hop(value, SECRET) == hop


def test_who_has_another_secret_is_not_believed() -> None:
    value = print_hop(Hop("abc", "default", 1), SECRET)
    assert parse_hop(value, b"t" * 32) is None
    assert parse_hop(value.replace("default", "other"), SECRET) is None
    for odd in ("", ":", "a:b:c:d", "é", value[:-1], value + "0"):
        assert parse_hop(odd, SECRET) is None


def test_a_taker_is_of_one_message() -> None:
    value = print_hop(Hop("abc", "t1", 7), SECRET)
    assert parse_taker(value, Hop("abc", "default", 1), SECRET) == Taker("t1", 7)
    assert parse_taker(value, Hop("other", "default", 1), SECRET) is None
    assert parse_taker(value, Hop("abc", "default", 1), b"t" * 32) is None


def test_the_word_of_those_inside() -> None:
    word = print_pass(SECRET)
    assert is_pass(word, SECRET)
    for odd in ("", KEYWORD, word[:-1], word + "0", f"{KEYWORD}=é", f"{KEYWORD}={print_hop(Hop('a', 'b', 1), SECRET)}"):
        assert not is_pass(odd, SECRET)
    assert not is_pass(word, b"t" * 32)
