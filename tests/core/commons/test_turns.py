"""Turns come sooner, and no garbage is collected, as long as somebody wants it so; then it is as it was."""

from __future__ import annotations

import gc
import sys
from contextvars import copy_context

import pytest

from portyard.commons.turns import BRISK_S, GivenUpError, awaited, briskly, go_on, uncollected


def test_turns_are_brisk_until_the_last_who_wanted_it_is_done() -> None:
    usual_s = sys.getswitchinterval()
    first, second = briskly(), briskly()
    first.__enter__()
    second.__enter__()
    assert sys.getswitchinterval() == pytest.approx(BRISK_S)
    first.__exit__(None, None, None)
    assert sys.getswitchinterval() == pytest.approx(BRISK_S)
    second.__exit__(None, None, None)
    assert sys.getswitchinterval() == usual_s


def test_turns_are_as_they_were_behind_an_error() -> None:
    usual_s = sys.getswitchinterval()
    with pytest.raises(ValueError, match="no"), briskly():
        raise ValueError("no")
    assert sys.getswitchinterval() == usual_s


@pytest.mark.parametrize("collects", [True, False])
def test_garbage_is_collected_as_before(collects: bool) -> None:
    (gc.enable if collects else gc.disable)()
    try:
        with uncollected():
            assert not gc.isenabled()
        assert gc.isenabled() == collects
    finally:
        gc.enable()


def test_work_goes_on_as_long_as_somebody_waits_for_it() -> None:
    go_on()  # nobody could give it up
    with awaited():
        begun = copy_context()
        begun.run(go_on)
    with pytest.raises(GivenUpError):
        begun.run(go_on)
    go_on()
