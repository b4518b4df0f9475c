"""The testbed's CA in a directory: made once, kept, and asked for contexts by recipe.

Any number of processes may open the same directory at the same time; they get one CA. Every file is written beside its place and renamed
into it, so that a reader sees all of it or nothing; making is done under a lock. A leaf keeps its key when it is made again, so that chain
and key always belong together. Nothing here needs `cryptography` unless something must be made.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import ssl
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from portyard.commons.tls.recipes import GOOD, RECIPES, ClientCertificate, Manner, Recipe

if TYPE_CHECKING:
    from portyard.commons.tls.minting import Issuer

ALWAYS_NAMED: Final = ("localhost", "127.0.0.1", "::1")
CLIENT_FILES: Final = GOOD
"""The good leaf is good for clients as well (EKU clientAuth)."""

REVOKED: Final = "revoked"
REVOCATION: Final = ("http://localhost:8025/api/v1", "http://console:8025/api/v1")
"""Where a `revoked` certificate says that the CRL and the OCSP responder are: from the user's machine, and from the services' network.
Nobody is asked there until it is known where they really are."""

_SERIALS: Final = "by which the issuer knows its own"
_DAY: Final = 86_400.0
_SECRET: Final = 0o600
_PUBLIC: Final = 0o644
_NOTE: Final = b"# portyard "


class AuthorityError(Exception):
    """The CA's directory can't be used; the message names the file and the remedy."""


class CertificatePaths(NamedTuple):
    """Where a recipe's files are."""

    chain: Path
    """PEM, leaf first, the root left out."""
    key: Path
    """PEM, PKCS#8, mode 0600."""


class Authority:
    """The CA and what it signed. Make one with `Authority.open`."""

    def __init__(
        self,
        directory: Path,
        names: Iterable[str],
        now: Callable[[], float],
        revocation: Callable[[], Sequence[str]] = lambda: REVOCATION,
    ) -> None:
        self._directory = directory
        self._names = frozenset(names) | frozenset(ALWAYS_NAMED)
        self._now = now
        self._revocation = revocation
        self._making = threading.Lock()
        self._contexts: dict[tuple[str, tuple[str, ...]], tuple[ssl.SSLContext, float]] = {}
        self.ca_path = directory / "ca.pem"
        self.crl_path = directory / "crl.pem"
        self.ca_pem = b""

    @classmethod
    def open(
        cls,
        directory: Path,
        names: Sequence[str],
        now: Callable[[], float] = time.time,
        revocation: Callable[[], Sequence[str]] = lambda: REVOCATION,
    ) -> Authority:
        """Open the CA, making it and its good leaf where they are missing.

        Args:
            directory: Where it is kept; made if need be.
            names: Host names and addresses that the leaf names, besides `localhost`, `127.0.0.1` and `::1`. Names that another
                process asked for stay on it.
            now: Seconds since the epoch, real ones: real clients judge the certificates.
            revocation: Asked when a `revoked` leaf is made or used; see REVOCATION.

        Returns:
            The authority, ready to be asked.

        Raises:
            AuthorityError: The directory can't be read, written, or holds half a CA.
        """
        authority = cls(directory, names, now, revocation)
        with _explained(directory):
            directory.mkdir(parents=True, exist_ok=True)
            authority._ensure_root()
            authority.certificate_paths(GOOD)
        return authority

    @property
    def names(self) -> frozenset[str]:
        """The names that this process wants on the leaf."""
        return self._names

    def add_names(self, names: Iterable[str]) -> None:
        """Put more names on the leaf; it is made again under the same CA when it is next asked for."""
        wanted = self._names | frozenset(names)
        if wanted != self._names:
            self._names = wanted
            self._contexts.clear()

    def certificate_paths(self, recipe: str = GOOD) -> CertificatePaths:
        """The files of a recipe, made if they are missing, too old, of another CA, or lack a name.

        Args:
            recipe: A key of `RECIPES`.

        Raises:
            KeyError: There is no such recipe.
            AuthorityError: They can't be made.
        """
        wanted = RECIPES[recipe]
        paths = self._paths(wanted)
        with _explained(self._directory):
            if not self._fresh(wanted):
                with self._lock():
                    if not self._fresh(wanted):  # another process may have been faster
                        self._make_leaf(wanted)
        return paths

    def ready_context(self, recipe: str = GOOD, alpn: tuple[str, ...] = ()) -> ssl.SSLContext | None:
        """The context if it is kept already; None where `context` would have to make it, which a loop shouldn't wait for."""
        kept = self._contexts.get((recipe, alpn))
        return kept[0] if kept is not None and self._now() < kept[1] else None

    def context(self, recipe: str = GOOD, alpn: tuple[str, ...] = ()) -> ssl.SSLContext:
        """A server context for a recipe. Kept, so that sessions can be resumed; made anew when its leaf is. For any thread.

        Args:
            recipe: A key of `RECIPES`.
            alpn: Protocols that the server selects from, best first.

        Raises:
            KeyError: There is no such recipe.
            ValueError: The recipe answers no ClientHello, so that there is no context for it.
            AuthorityError: Its files can't be made.
        """
        ready = self.ready_context(recipe, alpn)
        if ready is not None:
            return ready
        with self._making:  # whoever comes meanwhile gets the same one, and its sessions
            return self.ready_context(recipe, alpn) or self._make_context(RECIPES[recipe], alpn)

    def _make_context(self, wanted: Recipe, alpn: tuple[str, ...]) -> ssl.SSLContext:
        if wanted.manner is not Manner.TLS:
            raise ValueError(f"{wanted.name} answers no ClientHello")
        names = self._names
        paths = self.certificate_paths(wanted.name)
        context = server_context(wanted, paths, self.ca_path, alpn)
        until = _read_note(paths.chain).made + wanted.certificate.remake_after_days * _DAY
        if names == self._names:  # else its leaf may lack a name that was added meanwhile
            self._contexts[wanted.name, alpn] = context, until
        return context

    def crl_pem(self) -> bytes:
        """The list of what the CA revoked, the `revoked` leaf among it; signed anew when it is a day old.

        Raises:
            AuthorityError: It can't be made.
        """
        self.certificate_paths(REVOKED)
        with _explained(self._directory):
            note = _read_note(self.crl_path)
            if note.ca != self._fingerprint() or not -_DAY < self._now() - note.made < _DAY:
                with self._lock():
                    self._revoke([])
            return self.crl_path.read_bytes()

    def crl_der(self) -> bytes:
        """The same as `revoked` certificates' address for it serves it."""
        from portyard.commons.tls import revocation

        return revocation.crl_as_der(self.crl_pem())

    def ocsp_response(self, request: bytes) -> bytes:
        """Answer an OCSP request (RFC 6960).

        Args:
            request: DER, for one certificate.

        Returns:
            DER. `malformedRequest` or `unauthorized` where there is nothing to say.

        Raises:
            AuthorityError: The CA can't be read.
        """
        from portyard.commons.tls import revocation

        with _explained(self._directory):
            return revocation.answer_ocsp(request, self._load_root(), self.crl_pem(), self._now())

    def client_context(self, *, with_certificate: bool = False) -> ssl.SSLContext:
        """A client context that trusts our CA only, and shows our leaf if told to."""
        context = ssl.create_default_context(cadata=self.ca_pem.decode())
        if with_certificate:
            context.load_cert_chain(*self.certificate_paths(CLIENT_FILES))
        return context

    def _paths(self, recipe: Recipe) -> CertificatePaths:
        base = self._directory / recipe.files
        return CertificatePaths(base.with_suffix(".pem"), base.with_suffix(".key"))

    def _fresh(self, recipe: Recipe) -> bool:
        """Whether the leaf can be used as it is; told from the note on its file, without parsing it."""
        paths = self._paths(recipe)
        note = _read_note(paths.chain)
        if note.ca != self._fingerprint() or note.of != self._digest(recipe) or not paths.key.exists():
            return False
        age = self._now() - note.made
        if not -_DAY < age < recipe.certificate.remake_after_days * _DAY:  # a clock that was set back counts too
            return False
        return recipe.certificate.names is not None or self._names <= set(note.names)

    def _fingerprint(self) -> str:
        return hashlib.sha256(self.ca_pem).hexdigest()

    def _ensure_root(self) -> None:
        if not self.ca_path.exists():
            with self._lock():
                if not self.ca_path.exists():
                    self._make_root()
        self.ca_pem = self.ca_path.read_bytes()

    def _make_root(self) -> None:
        from portyard.commons.tls import minting

        root = minting.make_root(self._now())
        _write(self._directory / "ca.key", minting.key_to_pem(root.key), _SECRET)
        _write(self.ca_path, minting.to_pem(root.certificate), _PUBLIC)  # last: a CA without its key is never seen

    def _load_root(self) -> Issuer:
        from portyard.commons.tls import minting

        key = minting.key_from_pem((self._directory / "ca.key").read_bytes())
        return minting.Issuer(minting.certificate_from_pem(self.ca_pem), key)

    def _make_leaf(self, recipe: Recipe) -> None:
        from portyard.commons.tls import minting

        paths, what, before = self._paths(recipe), recipe.certificate, _read_note(self._paths(recipe).chain)
        names = sorted(self._names.union(before.names))
        keeps_key = paths.key.exists() and before.of in ("", self._digest(recipe))
        key = minting.key_from_pem(paths.key.read_bytes()) if keeps_key else minting.make_key(what.key)
        now = self._now()
        chain = minting.make_leaf(what, key, names, self._load_root(), now, self._revocation())
        if not keeps_key:
            _write(paths.key, minting.key_to_pem(key), _SECRET)
        if what.revoked:
            self._revoke([chain])  # before anybody can be shown it
        note = _Note(self._fingerprint(), self._digest(recipe), now, tuple(names))
        _write(paths.chain, note.line() + chain, _PUBLIC)

    def _revoke(self, chains: Sequence[bytes]) -> None:
        """Sign the CRL anew, with these leaves on it too."""
        from portyard.commons.tls import revocation

        root, now = self._load_root(), self._now()
        before = self.crl_path.read_bytes() if self.crl_path.exists() else b""
        crl = revocation.make_crl(root, before, [revocation.serial_of(chain) for chain in chains], now)
        _write(self.crl_path, _Note(self._fingerprint(), "", now).line() + crl, _PUBLIC)

    def _digest(self, recipe: Recipe) -> str:
        """Changes when what the recipe's certificate says does, so that an upgraded Portyard makes its leaves again."""
        what = recipe.certificate
        told = (what, tuple(self._revocation()) if what.revoked else (), _SERIALS)
        return hashlib.sha256(repr(told).encode()).hexdigest()[:16]

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        """Only one process (and thread: each opens the file anew) makes something at a time."""
        descriptor = os.open(self._directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _SECRET)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def server_context(recipe: Recipe, paths: CertificatePaths, ca: Path, alpn: tuple[str, ...] = ()) -> ssl.SSLContext:
    """Make the context of a recipe.

    Args:
        recipe: Versions, ciphers and demands.
        paths: What it shows.
        ca: Whose client certificates it accepts.
        alpn: Protocols that it selects from.

    Returns:
        A server context that asks OpenSSL for nothing but what the recipe says.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if recipe.ciphers is not None:
        context.set_ciphers(recipe.ciphers)  # first: the security level also judges the certificate
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the old versions are what is wanted
        context.minimum_version = recipe.minimum
        context.maximum_version = recipe.maximum
    context.load_cert_chain(paths.chain, paths.key)
    if recipe.client_certificate is not ClientCertificate.NONE and recipe.trusts_clients:
        context.load_verify_locations(ca)
    context.verify_mode = ssl.VerifyMode(recipe.client_certificate.value)
    if not recipe.session_tickets:
        context.options |= ssl.OP_NO_TICKET
        context.num_tickets = 0
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


@dataclass(frozen=True, slots=True)
class _Note:
    """What is noted about a leaf in its file's first line (PEM readers skip what stands before the first BEGIN)."""

    ca: str = ""
    of: str = ""
    made: float = 0.0
    names: tuple[str, ...] = ()

    def line(self) -> bytes:
        return _NOTE + json.dumps(asdict(self)).encode() + b"\n"


def _read_note(chain: Path) -> _Note:
    """The note on a leaf; an empty one where there is no leaf or no note."""
    try:
        with chain.open("rb") as file:
            line = file.readline()
        found = json.loads(line[len(_NOTE) :]) if line.startswith(_NOTE) else {}
        return _Note(str(found["ca"]), str(found["of"]), float(found["made"]), tuple(found["names"]))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return _Note()


def _write(path: Path, data: bytes, mode: int) -> None:
    """Write beside, then rename into place; the mode is there from the first byte."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    with contextlib.suppress(FileNotFoundError):
        beside.unlink()
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    beside.replace(path)


@contextlib.contextmanager
def _explained(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = error.filename or directory
        raise AuthorityError(
            f"{where}: {error.strerror}; the CA's directory must be readable and writable for this user"
            f" (to start over with a new CA, remove {directory})"
        ) from error
    except ValueError as error:
        raise AuthorityError(f"{directory}: {error}; remove the directory to start over with a new CA") from error
