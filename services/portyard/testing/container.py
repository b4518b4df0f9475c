"""The testbed as one container, in the conventions of testcontainers-python."""

from __future__ import annotations

import ssl
import time
import urllib.error
import urllib.request
from typing import Any

from testcontainers.core.container import DockerContainer

from portyard.commons.serving import pairs_of, standard_numbers
from portyard.rooms import cards

START_S = 60.0
POLL_S = 0.1


class PortyardContainer(DockerContainer):
    """All services in one container, on ports that the engine chooses.

    Args:
        image: The image that `make image` builds.
        **options: As `DockerContainer` takes them.
    """

    def __init__(self, image: str = "portyard:local", **options: Any) -> None:  # noqa: ANN401 - testcontainers' own
        super().__init__(image, **options)
        self._numbers = standard_numbers(pairs_of(cards()))
        udp = {
            port.name
            for card in cards()
            for service in card.services
            for port in service.ports
            if port.transport == "udp"
        }
        self.with_exposed_ports(*sorted({number for name, number in self._numbers.items() if name not in udp}))
        self.with_command("serve all")

    def start(self) -> PortyardContainer:
        """Start it and wait until every service is ready."""
        super().start()
        deadline = time.monotonic() + START_S
        while not self._healthy():
            if time.monotonic() > deadline:
                raise TimeoutError(f"the testbed is not ready after {START_S:.0f} s: {self.get_logs()[1][-2000:]!r}")
            time.sleep(POLL_S)
        return self

    def get_url(self) -> str:
        """Where the console is."""
        return f"http://{self.get_container_host_ip()}:{self.get_exposed_port(self._numbers['console'])}"

    def get_port(self, name: str) -> int:
        """The host's port of a listener by its name ("smtp", "imaps" …)."""
        return int(self.get_exposed_port(self._numbers[name]))

    def get_ca_pem(self) -> str:
        """The CA's certificate."""
        with urllib.request.urlopen(f"{self.get_url()}/api/v1/ca.pem", timeout=10) as answer:  # noqa: S310 - our own
            return str(answer.read().decode())

    def get_ssl_context(self) -> ssl.SSLContext:
        """A context that trusts the testbed's CA and nothing else."""
        return ssl.create_default_context(cadata=self.get_ca_pem())

    def _healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.get_url()}/api/v1/health", timeout=5) as answer:  # noqa: S310 - our own
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False
