"""Addresses that are refused for a while."""

from __future__ import annotations

from portyard.ssh.penalties import LEAST, LONGEST_S, MOST, Penalties

WHO, OTHER, ELSEWHERE = ("default", "127.0.0.1"), ("default", "127.0.0.2"), ("t1", "127.0.0.1")


def test_the_third_within_a_while_is_one_too_many() -> None:
    penalties = Penalties()
    for number in range(LEAST):
        assert not penalties.refuses(WHO, number)
        penalties.add(WHO, 5, number)
    assert penalties.refuses(WHO, 3)
    assert not penalties.refuses(OTHER, 3)
    assert not penalties.refuses(ELSEWHERE, 3)
    assert penalties.refuses(WHO, 14.9)
    assert not penalties.refuses(WHO, 15)


def test_what_is_over_is_forgotten() -> None:
    penalties = Penalties()
    for moment in range(0, 60, 6):
        penalties.add(WHO, 5, moment)
        assert not penalties.refuses(WHO, moment)


def test_there_is_a_longest() -> None:
    penalties = Penalties()
    for _ in range(20):
        penalties.add(WHO, 200, 0)
    assert penalties.refuses(WHO, LONGEST_S - 1)
    assert not penalties.refuses(WHO, LONGEST_S)


def test_so_many_are_remembered() -> None:
    penalties = Penalties()
    for number in range(MOST):
        penalties.add(("default", str(number)), 5, 0)
    for _ in range(LEAST):
        penalties.add(WHO, 5, 0)
        penalties.add(("default", "0"), 5, 0)
    assert not penalties.refuses(WHO, 1)
    assert penalties.refuses(("default", "0"), 1)
