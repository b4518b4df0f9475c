"""Where each service of the testbed can be reached: from inside (other services) and from the user's machine.

Each process writes its services' entries into `endpoints/` of the state directory once its ports listen; everyone reads them from there.
"""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import dataclass
from pathlib import Path

from portyard.commons.card import Port, Service
from portyard.commons.database.generations import Generations
from portyard.commons.locks import is_held

COUNTER = "endpoints"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One reachable port.

    Attributes:
        service: The service's name ("mta").
        port: The port's name on its card ("smtp").
        address: IP address as other services reach it.
        number: Port number as other services reach it.
        host: Address as the user's machine reaches it ("127.0.0.1").
        host_number: Port number as the user's machine reaches it.
        tls: "none", "upgrade" or "implicit".
        transport: "tcp" or "udp".
        summary: One line for tables.
        passive_ports: The further ports to which a session's data connections come, `first-last`, the same from everywhere; empty where
            it has none, or they come to any port.
    """

    service: str
    port: str
    address: str
    number: int
    host: str
    host_number: int
    tls: str
    transport: str
    summary: str = ""
    passive_ports: str = ""


class Directory:
    """The endpoints as written in the state directory.

    Args:
        folder: `endpoints/` of the state directory; made when missing.
        generations: The state directory's page of counters, so that looking costs a memory read; without it, a look at the file.
    """

    def __init__(self, folder: Path, generations: Generations | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._generations = generations
        self._seen = -1
        self._fresh: dict[str, tuple[Endpoint, ...]] = {}
        self._services: tuple[str, ...] | None = None
        self._cache: dict[str, tuple[int, tuple[Endpoint, ...]]] = {}
        self._held: dict[str, int] = {}

    def announce(self, service: Service, endpoints: list[Endpoint]) -> None:
        """Write a service's entries; readers see the old file or the new, never half of one.

        From now until `withdraw`, or until this process ends in whatever way, the service counts as alive.
        """
        if service.name not in self._held:
            lock = os.open(self._lock(service.name), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(lock, fcntl.LOCK_SH)
            self._held[service.name] = lock
        path = self._folder / f"{service.name}.json"
        draft = path.with_suffix(f".{os.getpid()}.tmp")
        draft.write_text(json.dumps([entry_fields(endpoint) for endpoint in endpoints]))
        draft.replace(path)
        self._announced()

    def withdraw(self, service: Service) -> None:
        """Take a service's entries away; fine when there were none."""
        lock = self._held.pop(service.name, None)
        if lock is not None:
            (self._folder / f"{service.name}.json").unlink(missing_ok=True)
            os.close(lock)
            self._announced()

    def forget_the_dead(self) -> None:
        """Take away what killed processes have announced: nobody serves it. To be called when a process begins."""
        stale = [path for path in self._folder.glob("*.json") if path.stem not in self._held]
        if sum(self._bury(path) for path in stale):
            self._announced()

    def _bury(self, path: Path) -> bool:
        """Take a file away unless somebody lives whose it is; who begins to meanwhile waits for the lock, and writes another."""
        try:
            lock = os.open(self._lock(path.stem), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except PermissionError:  # another user's
            return False
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink(missing_ok=True)
        except OSError:
            return False
        finally:
            os.close(lock)
        return True

    @property
    def mine(self) -> frozenset[str]:
        """The services that this process has announced."""
        return frozenset(self._held)

    def alive(self, service: str) -> bool:
        """Whether some process serves it now. A killed process lets go of its lock, so a stale file doesn't count."""
        if service in self._held:
            return True
        return is_held(self._lock(service))

    def _lock(self, service: str) -> Path:
        return self._folder / f"{service}.lock"

    def all(self) -> list[Endpoint]:
        """Every endpoint that was announced, by service."""
        self._look()
        names = self._services
        if names is None:
            names = tuple(sorted(path.stem for path in self._folder.glob("*.json")))
            if self._generations is not None:
                self._services = names
        return [endpoint for name in names for endpoint in self.of(name)]

    @property
    def generation(self) -> int | None:
        """A number that moves when any process announces or withdraws anything; a memory read. None where nobody counts."""
        return None if self._generations is None else self._generations.read(COUNTER)

    def _look(self) -> None:
        """Forget what was read before the last change."""
        generation = self.generation
        if generation is not None and generation != self._seen:
            self._fresh.clear()
            self._services = None
            self._seen = generation

    def _announced(self) -> None:
        if self._generations is not None:
            self._generations.bump(COUNTER)

    def of(self, service: str) -> tuple[Endpoint, ...]:
        """A service's endpoints, read again only when its file changed; empty when it isn't up."""
        self._look()
        found = self._fresh.get(service)
        if found is None:
            found = self._read(service)
            if self._generations is not None:
                self._fresh[service] = found
        return found

    def _read(self, service: str) -> tuple[Endpoint, ...]:
        path = self._folder / f"{service}.json"
        try:
            stamp = path.stat().st_mtime_ns
        except FileNotFoundError:
            return ()
        cached = self._cache.get(service)
        if cached is None or cached[0] != stamp:
            cached = (stamp, tuple(Endpoint(**fields) for fields in json.loads(path.read_text())))
            self._cache[service] = cached
        return cached[1]

    def find(self, service: str, port: str) -> Endpoint | None:
        """One endpoint by service and port name, or None while it isn't up."""
        return next((endpoint for endpoint in self.of(service) if endpoint.port == port), None)


def entry_fields(endpoint: Endpoint) -> dict[str, object]:
    """The endpoint as JSON-able fields, by attribute name."""
    return {name: getattr(endpoint, name) for name in Endpoint.__slots__}


def endpoint_of(
    service: Service, port: Port, *, address: str, number: int, host: str, host_number: int, passive_ports: str = ""
) -> Endpoint:
    """An endpoint from what the card says and where it was bound; `passive_ports` are of services that have some."""
    return Endpoint(
        service=service.name,
        port=port.name,
        address=address,
        number=number,
        host=host,
        host_number=host_number,
        tls=port.tls.value,
        transport=port.transport,
        summary=service.summary,
        passive_ports=passive_ports if service.passive else "",
    )
