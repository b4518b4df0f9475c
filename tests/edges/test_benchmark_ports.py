"""The ports that a benchmark's testbed is given are its own until it ends."""

from __future__ import annotations

import socket

import pytest

from benchmarks import processes
from benchmarks.processes import HOST, BenchmarkError, reserved_offset
from portyard.commons.card import HOST_OFFSET
from portyard.rooms import cards

NUMBERS = {port.host - HOST_OFFSET for card in cards() for service in card.services for port in service.ports}
ALONE, OTHER = 1_100, 6_300
"""Offsets that no testbed gets, each for one test: a benchmark's own may be in use beside it."""


def test_no_port_is_one_that_the_kernel_gives_to_clients() -> None:
    assert (
        max(offset + number for offset in processes.OFFSETS for number in NUMBERS) < 32_768
    )  # where Linux begins, unless told otherwise


def test_no_two_testbeds_have_a_port_in_common() -> None:
    ports = [offset + number for offset in processes.OFFSETS for number in (0, *NUMBERS)]
    assert len(ports) == len(set(ports))


def test_who_asks_at_the_same_time_is_told_that_it_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "OFFSETS", [ALONE])
    with (
        reserved_offset() as offset,
        pytest.raises(BenchmarkError, match=f"no port offset of {ALONE} at which every port is free"),
        reserved_offset(),
    ):
        pass
    assert offset == ALONE


def test_what_somebody_has_is_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "OFFSETS", [OTHER])
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(type=kind) as taken:
            taken.bind((HOST, OTHER + max(NUMBERS)))
            if kind == socket.SOCK_STREAM:
                taken.listen()
            with pytest.raises(BenchmarkError), reserved_offset():
                pass
        with reserved_offset() as offset:
            assert offset == OTHER
