"""What the SSH room says of itself."""

from __future__ import annotations

from portyard.commons.card import Card, Service, standard
from portyard.ssh.core.verbs import VOCABULARY

CARD = Card(
    name="ssh",
    services=(
        Service(
            name="ssh",
            role="ssh",
            ports=(standard("ssh", 22),),
            summary="SSH: shell, exec, SFTP, SCP on the account's own files",
            overload=b"Exceeded the connections that are allowed at once\r\n",
        ),
    ),
    factory="portyard.ssh.edge:open_service",
    capabilities=("password", "publickey", "keyboard-interactive", "shell", "exec", "sftp", "scp"),
    vocabulary=VOCABULARY,
    quirks="portyard.ssh.core.quirks:Quirks",
)
