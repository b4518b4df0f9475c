"""The host keys: made once in the state directory, the same for every process that opens it.

Each key is a file of its own, private to this user, made under a lock and renamed into its place: a reader sees a whole key or none.
The quick kinds come first: a service opens with those, and RSA, which takes a second to find, joins when it is there.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import asyncssh

from portyard.commons.database.engine import StateDirectoryError

_SECRET = 0o600
_PUBLIC = 0o644


@dataclass(frozen=True, slots=True)
class KeyKind:
    """One kind of host key.

    Attributes:
        file: Its file's name, as OpenSSH names them.
        algorithm: Its name in RFC 8709 §4, RFC 5656 §3.1 or RFC 4253 §6.6.
        bits: The modulus's size, for RSA; else None.
    """

    file: str
    algorithm: str
    bits: int | None = None


QUICK = (
    KeyKind("ssh_host_ed25519_key", "ssh-ed25519"),
    KeyKind("ssh_host_ecdsa_key", "ecdsa-sha2-nistp256"),
)
SLOW = (KeyKind("ssh_host_rsa_key", "ssh-rsa", 3072),)
KINDS = QUICK + SLOW


class HostKeyError(StateDirectoryError):
    """A host key can't be read or written; the message names the file and the remedy."""


def ensure(folder: Path, kinds: Iterable[KeyKind]) -> list[asyncssh.SSHKey]:
    """The keys of these kinds, made where they are missing. Blocks: call it off the loop.

    Args:
        folder: `ssh/` of the state directory; made when missing.
        kinds: Which.

    Raises:
        HostKeyError: A file can't be read or written, or holds no key.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return [_load(folder / kind.file) if _stands(folder, kind) else _make(folder, kind) for kind in kinds]
    except OSError as error:
        raise HostKeyError(f"host key {error.filename}: {error.strerror}; give this user the state directory") from None


def existing(folder: Path, kinds: Iterable[KeyKind]) -> list[KeyKind]:
    """Those of the kinds whose keys stand already."""
    return [kind for kind in kinds if _stands(folder, kind)]


def known_hosts(keys: Sequence[asyncssh.SSHKey], places: Iterable[tuple[str, int]]) -> str:
    """Lines for a client's `known_hosts`.

    Args:
        keys: The host keys.
        places: Host names or addresses, with the ports by which clients reach them.
    """
    # sshd(8): a port other than the standard one is written as [host]:port
    names = ",".join(dict.fromkeys(host if port == 22 else f"[{host}]:{port}" for host, port in places))
    return "".join(f"{names} {public_line(key)}\n" for key in keys)


def public_line(key: asyncssh.SSHKey) -> str:
    """Algorithm and key, as `known_hosts` and `authorized_keys` have them."""
    algorithm, data = key.export_public_key("openssh").decode().split()[:2]
    return f"{algorithm} {data}"


def write_known_hosts(folder: Path, text: str) -> None:
    """Write `known_hosts` into the folder; readers see the old one or the new."""
    _place(folder / "known_hosts", text.encode(), _PUBLIC)


def _stands(folder: Path, kind: KeyKind) -> bool:
    return (folder / kind.file).exists()


def _make(folder: Path, kind: KeyKind) -> asyncssh.SSHKey:
    path = folder / kind.file
    with _lock(folder / f".{kind.file}.lock"):
        if not path.exists():  # another process may have been faster
            extra = {} if kind.bits is None else {"key_size": kind.bits}
            key = asyncssh.generate_private_key(kind.algorithm, comment="portyard", **extra)
            _place(path.with_suffix(".pub"), key.export_public_key("openssh"), _PUBLIC)
            _place(path, key.export_private_key("openssh"), _SECRET)
    return _load(path)


def _load(path: Path) -> asyncssh.SSHKey:
    try:
        # We made it: its primes needn't be proved at every start, which takes 0.2 s and holds everybody up.
        return asyncssh.read_private_key(path, unsafe_skip_rsa_key_validation=True)
    except (asyncssh.KeyImportError, ValueError) as error:
        raise HostKeyError(f"host key {path}: {error}; remove it and a new one is made") from None


def _place(path: Path, data: bytes, permissions: int) -> None:
    draft = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, permissions)
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
        draft.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _SECRET)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
