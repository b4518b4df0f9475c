"""What rules may ask of the SSH room, as its vocabulary announces it."""

from __future__ import annotations

import pytest

from portyard.commons.scenario.checking import check
from portyard.commons.scenario.model import RuleError
from portyard.commons.scenario.parsing import parse_rule
from portyard.commons.scenario.vocabulary import FAULTS
from portyard.ssh.core.verbs import VOCABULARY


@pytest.mark.parametrize(
    ("on", "then", "why"),
    [
        ("auth", {"say": "success"}, "takes it for the state"),
        ("exec", {"script": [{"say": "x"}]}, "can't honour script"),
        ("sftp_read", {"respond": "x"}, "can't honour respond"),
        ("connect", {"tls": "expired"}, "no TLS"),
        ("exec", {"respond": {"headers": {"a": "b"}}}, "no such part"),
    ],
)
def test_what_cannot_be_honoured_is_refused_when_set(on: str, then: dict[str, object], why: str) -> None:
    with pytest.raises(RuleError, match=why):
        check(parse_rule({"on": f"ssh.{on}", "then": then}), {"ssh": VOCABULARY})


def test_every_verb_takes_faults_of_bytes() -> None:
    for verb in VOCABULARY.verbs.values():
        assert verb.actions >= FAULTS
