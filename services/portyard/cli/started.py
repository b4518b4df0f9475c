"""What the running testbed started with: a later `up` says which of today's settings it doesn't have, and whether its code is another."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from pathlib import Path

import msgspec

import portyard
from portyard.cli.engines import home
from portyard.commons.settings import Settings

PACKAGE = Path(portyard.__file__).parent
_CODE = "the code"  # no setting's name


def keep(settings: Settings) -> None:
    """Note what it starts with: digests, for this user alone, since passwords that can be guessed and the token are among them."""
    home().mkdir(exist_ok=True)
    _file().touch(mode=0o600)
    _file().chmod(0o600)  # it may be there already
    _file().write_text(json.dumps({**_digests(settings), _CODE: _code()}))


def changed(settings: Settings) -> list[str]:
    """The names of settings that are others now, in order; none where nobody noted them."""
    before = _before()
    return [name for name, digest in _digests(settings).items() if before.get(name, digest) != digest]


def is_other_code() -> bool:
    """Whether the code is another now, as after a pull; not where nobody noted it."""
    before = _before().get(_CODE)
    return before is not None and before != _code()


def _before() -> dict[str, str]:
    with contextlib.suppress(OSError, msgspec.DecodeError):
        return msgspec.json.decode(_file().read_bytes(), type=dict[str, str])
    return {}


def _code() -> str:
    """A digest of the package, as it lies here: both engines start with that."""
    digest = hashlib.sha256()
    for folder, below, names in os.walk(PACKAGE):
        below[:] = sorted(
            name for name in below if name != "__pycache__" and name[0] != "."
        )  # linters keep theirs here, too
        for name in sorted(name for name in names if name[0] != "."):
            path = Path(folder, name)
            with contextlib.suppress(OSError):  # an editor's, gone meanwhile
                octets = path.read_bytes()
                digest.update(f"{path.relative_to(PACKAGE)}\0{len(octets)}\0".encode() + octets)
    return digest.hexdigest()[:16]


def _file() -> Path:
    """One for each project: several may run from one folder."""
    return home() / f"settings-{os.environ.get('PORTYARD_PROJECT', 'portyard')}.json"


def _digests(settings: Settings) -> dict[str, str]:
    fields = msgspec.to_builtins(settings)
    return {name: hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16] for name, value in fields.items()}
