"""The testbed as one container, in the conventions of testcontainers-python.

Ports are chosen before the container is created, because the testbed must know them when it starts: EPSV, `endpoints` and URLs name them.
The engine binds them or refuses; when somebody else was faster, others are chosen.
"""

from __future__ import annotations

import atexit
import contextlib
import http.client
import ipaddress
import logging
import os
import random
import socket
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, Unpack

import docker.errors
import msgspec
from testcontainers.core.config import ConnectionMode
from testcontainers.core.config import testcontainers_config as configuration
from testcontainers.core.container import DockerContainer
from testcontainers.core.docker_client import DockerClient
from testcontainers.core.waiting_utils import WaitStrategy, WaitStrategyTarget

from portyard.commons.card import Port
from portyard.commons.serving import pairs_of, standard_numbers
from portyard.commons.settings import NESTED
from portyard.rooms import cards
from portyard.testing.control import Control, ControlError
from portyard.testing.exposed import ExposedPorts

if TYPE_CHECKING:
    from portyard.testing.services import RuleFields
    from portyard.testing.testbed import Testbed

IMAGE = "portyard:local"
START_S = 60.0
POLL_S = 0.05
PASSIVE_PORTS = 20
LEASED_PORTS = 20
# Below the numbers that the kernel gives to clients (32768 and up), above what `make up` publishes.
FIRST_PORT, LAST_PORT = 20_000, 29_900
TRIES = 20
LOOPBACK = "127.0.0.1"
HARDENED: dict[str, Any] = {
    "user": "10000:10000",
    "read_only": True,
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges:true"],
    "sysctls": {"net.ipv4.ip_unprivileged_port_start": "0"},
    "init": True,
    "pids_limit": 512,
}
_TAKEN = ("port is already allocated", "address already in use", "ports are not available")
_logger = logging.getLogger(__name__)


class Ready(WaitStrategy):
    """Wait until the console says that every service listens. Nobody connects to a listener, which would spend a rule."""

    def __init__(self) -> None:
        super().__init__()
        self.with_startup_timeout(int(START_S)).with_poll_interval(POLL_S)

    def wait_until_ready(self, container: WaitStrategyTarget) -> None:
        """Wait for it.

        Raises:
            RuntimeError: The container ended; its last words are in the message.
            TimeoutError: It isn't ready in time.
        """
        assert isinstance(container, PortyardContainer)
        deadline = time.monotonic() + self._startup_timeout
        while not container.is_ready():
            container.reload()
            if container.status in ("exited", "dead"):
                raise RuntimeError(f"the testbed ended: {container.last_words()}")
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"the testbed is not ready after {self._startup_timeout:.0f} s"
                )  # its log becomes a note
            time.sleep(self._poll_interval)


class PortyardContainer(ExposedPorts, DockerContainer):
    """All services in one container: not root, on a read-only file system, without capabilities, published on loopback only.

    Args:
        image: The image that `make image` builds.
        passive_ports: How many ports FTP's data connections get; each open passive transfer needs one.
        leased_ports: How many listeners of their own all sandboxes together can lease at once.
        **options: As `DockerContainer` takes them.
    """

    def __init__(
        self,
        image: str = IMAGE,
        *,
        passive_ports: int = PASSIVE_PORTS,
        leased_ports: int = LEASED_PORTS,
        **options: Any,  # noqa: ANN401 - testcontainers' own
    ) -> None:
        super().__init__(image, **options)
        pairs = pairs_of(cards())
        self._inside = standard_numbers(pairs)
        self._ports: dict[str, Port] = {port.name: port for _, service in pairs for port in service.ports}
        self._ranges = {"PORTYARD_PASSIVE_PORTS": passive_ports, "PORTYARD_LEASED_PORTS": leased_ports}
        self._asked: dict[str, Any] | None = None
        self._numbers: dict[str, int] = {}
        self._testbed: Testbed | None = None
        self._seeds: list[Callable[[Testbed], object]] = []
        if self._command is None:
            self.with_command(["serve", "all"])
        if self._wait_strategy is None:
            self.waiting_for(Ready())

    # What it is told before it starts

    def with_setting(self, name: str, value: object) -> Self:
        """Any setting of `portyard.toml`, e.g. `with_setting("require_tls", True)` or `with_setting("limits.message", 2048)`."""
        if name in NESTED and isinstance(value, dict):
            for key, each in value.items():
                self.with_setting(f"{name}.{key}", each)
            return self
        return self.with_env(f"PORTYARD_{name.replace('.', '_').upper()}", _written(value))

    def with_config(self, path: str | os.PathLike[str]) -> Self:
        """A `portyard.toml` of this machine."""
        self.with_volume_mapping(Path(path).resolve(), "/etc/portyard.toml", "ro")
        return self.with_env("PORTYARD_CONFIG", "/etc/portyard.toml")

    def with_seed(self, seed: int) -> Self:
        """The seed of the testbed's chance, so that rules with `chance` choose the same every time."""
        return self.with_setting("seed", seed)

    def with_token(self, token: str) -> Self:
        """What requests to the console must carry."""
        return self.with_setting("token", token)

    def with_seeded_account(self, address: str, password: str, *, public_keys: tuple[str, ...] = ()) -> Self:
        """An account that is there once the container is ready, in `default`."""
        body = {"name": address, "password": password, "public_keys": list(public_keys)}
        return self._seeded(lambda testbed: testbed.control.post("sandboxes/default/accounts", body))

    def with_seeded_file(self, account: str, path: str, content: bytes) -> Self:
        """A file of an account of `default`, as FTP, SFTP and HTTP show it."""
        return self._seeded(lambda testbed: testbed.default().files(account).put(path, content))

    def with_seeded_rule(
        self, on: str, then: dict[str, Any] | list[dict[str, Any]], **more: Unpack[RuleFields]
    ) -> Self:
        """A rule of `default`, e.g. `with_seeded_rule("smtp.rcpt", {"refuse": "451 4.7.1 later"}, times=2)`."""
        return self._seeded(
            lambda testbed: testbed.control.post("sandboxes/default/rules", {"on": on, "then": then, **more})
        )

    def _seeded(self, seed: Callable[[Testbed], object]) -> Self:
        self._seeds.append(seed)
        return self

    # Its life

    def start(self) -> Self:
        """Start it, wait until every service is ready, and sow the seeds. When it can't be done, nothing stays behind.

        Raises:
            RuntimeError, TimeoutError: It doesn't come up; its last words are in the message.
        """
        _without_reaper_where_there_is_none(self)
        atexit.register(self._remove)
        try:
            self._start_on_free_ports()
            testbed = self.get_testbed()
            for seed in self._seeds:
                seed(testbed)
        except BaseException:
            self.stop()
            raise
        return self

    def _start_on_free_ports(self) -> None:
        for left in reversed(range(TRIES)):
            try:
                super().start()
                return
            except docker.errors.APIError as error:
                if not left or not any(text in str(error).lower() for text in _TAKEN):
                    raise
                self._remove()

    def stop(self, force: bool = True, delete_volume: bool = True) -> None:
        """Take it away with all that it kept; a second call does nothing."""
        try:
            if self._testbed is not None:
                self._testbed.parts()
        finally:  # it may be gone, or somebody interrupts
            atexit.unregister(self._remove)
            self._remove(force=force, delete_volume=delete_volume)
            self.get_docker_client().client.close()

    def _remove(self, *, force: bool = True, delete_volume: bool = True) -> None:
        container, self._container, self._cached_container_info = self._container, None, None
        if self._testbed is not None:
            self._testbed.control.close()
            self._testbed = None
        if container is not None:
            with contextlib.suppress(docker.errors.NotFound):  # taken away by somebody else
                container.remove(force=force, v=delete_volume)

    def _configure(self) -> None:
        """Choose the ports and tell the testbed, before each try to start it."""
        self._kwargs = {**HARDENED, **self._kwargs}
        self.tmpfs.setdefault("/tmp", "mode=1777,size=64m")  # noqa: S108 - the container's
        if self._asked is None:
            self._asked = dict(self.ports)  # what the user bound stays
        names = list(self._network_aliases or ())
        if self._mapped():
            host = self._host()
            names.append(host)
            self.env.setdefault("PORTYARD_ADVERTISE", host)
            self._publish(LOOPBACK if ipaddress.ip_address(host).is_loopback else self._outside(host))
        self.env.setdefault("PORTYARD_ENGINE_VIEW", "docker")
        self.env.setdefault("PORTYARD_NAMES", ",".join(names))
        self.env.setdefault("PORTYARD_CONSOLE_HOSTS", ",".join(names))

    def _publish(self, address: str) -> None:
        assert self._asked is not None
        bound = {name: self._asked.get(self._key(port)) for name, port in self._ports.items()}
        wanted = sorted({self._inside[name] for name, number in bound.items() if number is None})
        block = free_block(len(wanted) + sum(self._ranges.values()), address)
        chosen = dict(zip(wanted, block, strict=False))  # DNS's two ports stand on one number, as RFC 7766 §5 has it
        self._numbers = {name: number or chosen[self._inside[name]] for name, number in bound.items()}
        published: dict[str, Any] = dict(self._asked)
        published |= {self._key(port): (address, self._numbers[name]) for name, port in self._ports.items()}
        rest = block[len(wanted) :]
        published |= {str(number): (address, number) for number in rest}
        self.ports = published
        self.env["PORTYARD_HOST_PORTS"] = " ".join(f"{name}={number}" for name, number in self._numbers.items())
        for name, count in self._ranges.items():
            if count:
                self.env[name] = f"{rest[0]}-{rest[count - 1]}"
            rest = rest[count:]

    def _outside(self, host: str) -> str:
        """What to publish on where loopback isn't reached: the containers' gateway, or all of another machine's addresses."""
        gateway = self.get_docker_client().get_connection_mode() == ConnectionMode.gateway_ip
        return host if gateway else "0.0.0.0"  # noqa: S104

    def _key(self, port: Port) -> str:
        number = str(self._inside[port.name])
        return number if port.transport == "tcp" else f"{number}/{port.transport}"

    def _mapped(self) -> bool:
        return self.get_docker_client().get_connection_mode() != ConnectionMode.bridge_ip

    def _host(self) -> str:
        """Where the ports will be, as an address: PASV has no room for names (RFC 959 §5.3.2)."""
        client = self.get_docker_client()
        if client.get_connection_mode() == ConnectionMode.gateway_ip:  # the test runs in a container, beside the engine
            name = self._network.name if self._network is not None else str(self._kwargs.get("network", "bridge"))
            return gateway_of(client.client.networks.get(name).attrs["IPAM"]["Config"])
        return socket.gethostbyname(client.host())

    # What is asked of it while it runs

    def get_port(self, name: str) -> int:
        """The port to connect to, by the listener's name ("smtp", "imaps", "dns-udp" …).

        Raises:
            KeyError: There is no such listener.
        """
        return self._numbers[name] if self._mapped() else self._inside[name]

    def get_url(self) -> str:
        """Where the console and the control API are."""
        return f"http://{self.get_container_host_ip()}:{self.get_port('console')}"

    def get_testbed(self) -> Testbed:
        """The kit's view of it: sandboxes, rules, waits. It ends with the container."""
        from portyard.testing.testbed import Testbed

        if self._testbed is None:
            token = self.env.get("PORTYARD_TOKEN") or None
            self._testbed = Testbed.connect(self.get_url(), token, inside=not self._mapped())
            self._testbed.starts()
        return self._testbed

    def get_ca_pem(self) -> str:
        """The CA's certificate."""
        return self.get_testbed().ca_pem

    def get_ssl_context(self) -> ssl.SSLContext:
        """A context that trusts the testbed's CA and nothing else."""
        return ssl.create_default_context(cadata=self.get_ca_pem())

    def is_ready(self) -> bool:
        """Whether every service listens, by the console's word."""
        control = Control(self.get_url())
        try:
            return bool(control.get("health")["ready"])
        except (OSError, http.client.HTTPException, ControlError):  # not yet, or 503: not all of them
            return False
        finally:
            control.close()

    def last_words(self) -> str:
        """The end of its log."""
        return "\n".join(part.decode(errors="replace")[-2000:].strip() for part in self.get_logs()).strip()


def _written(value: object) -> str:
    """A setting's value as the environment has it."""
    if isinstance(value, list | tuple):
        tables = any(not isinstance(each, str | int | float) for each in value)  # accounts
        return msgspec.json.encode(value).decode() if tables else ",".join(str(each) for each in value)
    if isinstance(value, dict):
        return " ".join(f"{key}={each}" for key, each in value.items())
    return str(value).lower() if isinstance(value, bool) else str(value)


def gateway_of(pools: Sequence[Mapping[str, str]]) -> str:
    """The address of a network's gateway, of its IPv4 pool: PASV has no room for IPv6's (RFC 959 §5.3.2).

    An engine tells none of its default bridge until it starts a second time; there it is the pool's first address.

    Args:
        pools: What the engine tells of the network's addresses (`IPAM.Config`).

    Raises:
        OSError: The network has no IPv4 addresses.
    """
    for pool in pools:
        network = ipaddress.ip_network(pool["Subnet"], strict=False)
        if network.version == 4:
            return pool.get("Gateway") or str(network[1])
    raise OSError("the network has no IPv4 addresses, and the testbed's ports are published on one")


def free_block(count: int, address: str = LOOPBACK) -> range:
    """Numbers in a row on which nobody listens now, at a place that two processes hardly choose both.

    Raises:
        OSError: There are none.
    """
    chance = random.SystemRandom()
    for _ in range(200):
        first = chance.randrange(FIRST_PORT, LAST_PORT - count)
        if all(_free(number, address) for number in range(first, first + count)):
            return range(first, first + count)
    raise OSError(f"{address} has no {count} free ports in a row between {FIRST_PORT} and {LAST_PORT}")


def _free(number: int, address: str) -> bool:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(type=kind) as sock:
            try:
                sock.bind((address, number))
            except OSError:
                return False
    return True


def fetch(image: str) -> None:
    """Have an image on this machine's engine, so that it can be started at once.

    Raises:
        docker.errors.DockerException: There is no engine, or no such image.
    """
    with contextlib.closing(DockerClient().client) as engine:
        try:
            engine.images.get(image)
        except docker.errors.ImageNotFound:
            engine.images.pull(image)


def _without_reaper_where_there_is_none(container: DockerContainer) -> None:
    """Testcontainers' reaper is an image of its own; where it can't be had, go without it instead of failing."""
    if configuration.ryuk_disabled:
        return
    images = container.get_docker_client().client.images
    try:
        images.get(configuration.ryuk_image)
    except docker.errors.ImageNotFound:
        try:
            images.pull(configuration.ryuk_image)
        except (docker.errors.DockerException, OSError) as error:
            configuration.ryuk_disabled = True
            _logger.warning(
                "%s can't be had (%s): containers of a killed test run stay; remove them by the label org.testcontainers",
                configuration.ryuk_image,
                error,
            )
