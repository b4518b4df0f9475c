from __future__ import annotations

import asyncssh
import pytest

from tests.support.ssh_personas import Watcher


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The extensions of the last SFTP server that a client met."""
    names: list[str] = []

    def note(self: object, extensions: list[tuple[bytes, bytes]]) -> None:
        names[:] = [name.decode() for name, _ in extensions]

    monkeypatch.setattr(asyncssh.sftp.SFTPClientHandler, "_log_extensions", note)
    monkeypatch.setattr(asyncssh.connection, "SSHClientConnection", Watcher)
    return names
