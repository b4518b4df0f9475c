"""The table of phases."""

from __future__ import annotations

import pytest

from portyard.smtp.core import model
from portyard.smtp.core.model import PeerError
from portyard.smtp.core.state import RULES, Machine, Phase


def test_every_phase_has_a_row() -> None:
    assert set(RULES) == set(Phase)


def test_a_transaction() -> None:
    machine = Machine()
    path = model.Mailbox("a", "b")
    for command, phase in [
        (model.Ehlo("x"), Phase.READY),
        (model.Mail(path), Phase.MAIL),
        (model.Rcpt(path), Phase.RCPT),
        (model.Data(), Phase.DATA),
    ]:
        machine.admit(command)
        machine.advance(command)
        assert machine.phase is phase
    with pytest.raises(PeerError, match="503"):
        machine.admit(model.Noop())
    machine.settle()
    assert machine.phase is Phase.READY


def test_tls_begins_anew() -> None:
    machine = Machine()
    machine.advance(model.Ehlo("x"))
    machine.advance(model.StartTls())
    machine.restart()
    assert machine.phase is Phase.GREETED
    machine.finish()
    with pytest.raises(PeerError):
        machine.admit(model.Quit())
