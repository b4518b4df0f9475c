"""The settings that the running testbed started with, so that a later `up` says which of today's it doesn't have."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from pathlib import Path

import msgspec

from portyard.cli.engines import home
from portyard.commons.settings import Settings


def keep(settings: Settings) -> None:
    """Note what it starts with: digests, for this user alone, since passwords that can be guessed and the token are among them."""
    home().mkdir(exist_ok=True)
    _file().touch(mode=0o600)
    _file().chmod(0o600)  # it may be there already
    _file().write_text(json.dumps(_digests(settings)))


def changed(settings: Settings) -> list[str]:
    """The names of settings that are others now, in order; none where nobody noted them."""
    with contextlib.suppress(OSError, msgspec.DecodeError):
        before = msgspec.json.decode(_file().read_bytes(), type=dict[str, str])
        return [name for name, digest in _digests(settings).items() if before.get(name, digest) != digest]
    return []


def _file() -> Path:
    """One for each project: several may run from one folder."""
    return home() / f"settings-{os.environ.get('PORTYARD_PROJECT', 'portyard')}.json"


def _digests(settings: Settings) -> dict[str, str]:
    fields = msgspec.to_builtins(settings)
    return {name: hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16] for name, value in fields.items()}
