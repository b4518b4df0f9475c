"""The table of phases."""

from __future__ import annotations

import pytest

from portyard.imap.core import model
from portyard.imap.core.state import RULES, Happening, Machine, Outcome, Phase


def machine_in(phase: Phase) -> Machine:
    machine = Machine()
    steps = {
        Phase.NOT_AUTHENTICATED: [],
        Phase.AUTHENTICATED: [model.Login(b"", b"")],
        Phase.SELECTED: [model.Login(b"", b""), model.Select("INBOX")],
        Phase.LOGOUT: [model.Logout()],
    }
    for command in steps[phase]:
        machine.ended(command, Outcome.OK)
    assert machine.phase is phase
    return machine


@pytest.mark.parametrize("phase", Phase)
def test_bad_moves_nothing(phase: Phase) -> None:
    for kind in RULES[phase]:
        machine = machine_in(phase)
        machine.ended(object.__new__(kind), Outcome.BAD)
        assert machine.phase is phase


@pytest.mark.parametrize(
    ("before", "command", "outcome", "after"),
    [
        (Phase.NOT_AUTHENTICATED, model.Login(b"", b""), Outcome.NO, Phase.NOT_AUTHENTICATED),
        (Phase.SELECTED, model.Select("x"), Outcome.NO, Phase.AUTHENTICATED),
        (Phase.SELECTED, model.Close(), Outcome.OK, Phase.AUTHENTICATED),
        (Phase.SELECTED, model.Unselect(), Outcome.OK, Phase.AUTHENTICATED),
        (Phase.SELECTED, model.Logout(), Outcome.OK, Phase.LOGOUT),
        (Phase.SELECTED, model.Expunge(), Outcome.OK, Phase.SELECTED),
    ],
)
def test_moves(before: Phase, command: model.Command, outcome: Outcome, after: Phase) -> None:
    machine = machine_in(before)
    machine.ended(command, outcome)
    assert machine.phase is after


def test_what_happens_without_a_command() -> None:
    machine = machine_in(Phase.SELECTED)
    machine.happened(Happening.OUR_MAILBOX_DELETED)
    assert machine.phase is Phase.AUTHENTICATED
    machine.happened(Happening.BYE)
    assert machine.phase is Phase.LOGOUT
    assert not machine.allows(model.Noop())
