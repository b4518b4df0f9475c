"""asyncssh's options of a connection: what all have in common, and what a persona has in their place."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import asyncssh

from portyard.ssh.core.quirks import OURS, Quirks

LOGIN_S = 120  # seconds until who hasn't logged in is sent away, OpenSSH's LoginGraceTime
VERSION = "Portyard"
LINE = 4096  # characters of a line that is typed, a terminal's N_TTY_BUF_SIZE
_LISTS = {"kex": "kex_algs", "ciphers": "encryption_algs", "macs": "mac_algs", "compressions": "compression_algs"}


def build_options(host_keys: Sequence[asyncssh.SSHKey], quirks: Quirks = OURS) -> asyncssh.SSHServerConnectionOptions:
    """The options of connections that have these quirks; takes milliseconds, so they are kept."""
    lists: dict[str, Any] = {theirs: getattr(quirks, ours) for ours, theirs in _LISTS.items() if getattr(quirks, ours)}
    options = asyncssh.SSHServerConnectionOptions(
        config=[],
        server_version=quirks.version or VERSION,
        server_host_keys=list(host_keys),
        send_server_host_keys=True,
        login_timeout=LOGIN_S,
        host_based_auth=False,
        gss_host=None,  # else its name would be looked up
        rdns_lookup=False,
        x509_trusted_certs=None,
        x11_forwarding=False,
        agent_forwarding=False,
        tcp_keepalive=True,
        encoding="utf-8",
        errors="surrogateescape",  # octets that aren't UTF-8 pass a terminal unharmed
        line_history=200,
        max_line_length=LINE,
        **lists,
    )
    if quirks.host_keys is not None:
        _choose_host_keys(options, quirks.host_keys)
    if quirks.no_host_key_update:
        options.all_server_host_keys = OrderedDict()
    return options


def lacks_keys(options: asyncssh.SSHServerConnectionOptions, quirks: Quirks) -> bool:
    """Whether a host key that the persona has isn't there yet."""
    return any(name.encode() not in options.server_host_keys for name in quirks.host_keys or ())


def _choose_host_keys(options: asyncssh.SSHServerConnectionOptions, names: Sequence[str]) -> None:
    known = options.server_host_keys
    chosen = OrderedDict((name.encode(), known[name.encode()]) for name in names if name.encode() in known)
    options.server_host_keys = chosen
    options.all_server_host_keys = OrderedDict((pair.public_data, pair) for pair in chosen.values())
