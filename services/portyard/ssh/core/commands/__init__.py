"""The commands, by name."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping

from portyard.ssh.core.commands.about import COMMANDS as ABOUT
from portyard.ssh.core.commands.builtin import COMMANDS as BUILTIN
from portyard.ssh.core.commands.find import COMMANDS as FIND
from portyard.ssh.core.commands.listing import COMMANDS as LISTING
from portyard.ssh.core.commands.names import COMMANDS as NAMES
from portyard.ssh.core.commands.search import COMMANDS as SEARCH
from portyard.ssh.core.commands.test import COMMANDS as TEST
from portyard.ssh.core.commands.text import COMMANDS as TEXT
from portyard.ssh.core.process import Process

Command = Callable[[Process], AsyncGenerator[bytes, None]]

COMMANDS: Mapping[str, Command] = {
    **ABOUT,
    **BUILTIN,
    **FIND,
    **LISTING,
    **NAMES,
    **SEARCH,
    **TEST,
    **TEXT,
}
