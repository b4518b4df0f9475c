"""What rules may ask of SSH, and how they write a status of SFTP."""

from __future__ import annotations

import pytest

from portyard.ssh.core.verbs import STATUS, VOCABULARY, Status, parse_status


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("SSH_FX_PERMISSION_DENIED", Status(3, "permission denied")),
        ("permission denied", Status(3, "permission denied")),
        ("Permission Denied: not you", Status(3, "not you")),
        ("FX_EOF", Status(1, "eof")),
        ("2", Status(2, "no such file")),
        ("4:  disk: on fire", Status(4, "disk: on fire")),
        ("ok", Status(0, "ok")),
        ("no space on filesystem", Status(4, "no space on filesystem")),  # not in version 3
        ("the disk is on fire", Status(4, "the disk is on fire")),
        ("99", Status(4, "99")),
        ("550 as the address asks", Status(4, "550 as the address asks")),
    ],
)
def test_statuses(text: str, status: Status) -> None:
    assert parse_status(text) == status


@pytest.mark.parametrize("name", STATUS)
def test_every_status_by_its_name(name: str) -> None:
    constant = f"SSH_FX_{name.replace(' ', '_').upper()}"
    assert parse_status(constant) == parse_status(name)
    assert parse_status(name).words == name


def test_only_exec_is_answered_by_a_stub() -> None:
    assert [name for name, verb in VOCABULARY.verbs.items() if "respond" in verb.actions] == ["exec"]
