"""What published ports hide of a rule's doing."""

from __future__ import annotations

import pytest

from portyard.commons.scenario.parsing import parse_rule
from portyard.console.core.unseen import PEER, RESET, published


@pytest.mark.parametrize(
    ("rule", "warnings"),
    [
        ({"on": "pop3.connect", "then": {"reset": True}}, [RESET]),
        ({"on": "pop3.stat", "then": {"script": [{"say": "+OK"}, {"reset": True}]}}, [RESET]),
        ({"on": "pop3.stat", "where": {"peer": "10.*"}, "then": {"hang_up": True}}, [PEER]),
        ({"on": "pop3.stat", "times": 1, "per": "peer", "then": {"reset": True}}, [RESET, PEER]),
        ({"on": "pop3.connect", "then": {"half_close": True}}, []),
        ({"on": "pop3.stat", "times": 1, "per": "session", "then": {"hang_up": True}}, []),
    ],
)
def test_warnings(rule: dict[str, object], warnings: list[str]) -> None:
    assert published(parse_rule(rule)) == warnings
