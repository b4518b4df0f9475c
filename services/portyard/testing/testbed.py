"""A testbed, wherever it runs: in this process, in a container, or somewhere that a URL tells. One interface."""

from __future__ import annotations

import contextlib
import itertools
import os
import secrets
import ssl
import sys
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any

from portyard.testing.control import Control, segment
from portyard.testing.sandbox import Sandbox
from portyard.testing.witness import Witness, is_failure

JOURNAL_LAG_S = 0.25
"""Other processes write their journal behind, at full load five times a second."""


class Testbed:
    """Use `Testbed.embedded()`, `Testbed.container()` or `Testbed.connect(url)`, as a context manager or with `close()`.

    Args:
        control: Its API.
        close: Stops what this object started.

    Attributes:
        journal_lag_s: So long after it happened an event may still be unreadable; no time where the testbed is in this process.
        witness: Keeps what a test's sandboxes did; None where nobody reports it.
    """

    __test__ = False  # pytest would take it for a test class

    def __init__(self, control: Control, close: Callable[[], None] = lambda: None) -> None:
        self.control = control
        self._stop = close
        self.journal_lag_s = JOURNAL_LAG_S
        self.witness: Witness | None = None
        self._ends = False
        if Witness.current is not None:
            Witness.current.attend(self)
        self._open: Callable[[float], object] = lambda timeout: None
        self._serial = itertools.count(1)
        self._endpoints: list[dict[str, Any]] | None = None

    @classmethod
    def connect(cls, url: str = "http://127.0.0.1:8025", token: str | None = None, *, inside: bool = False) -> Testbed:
        """The testbed whose console is at the URL (what `make up` starts is at the default).

        Args:
            url: Where the console is.
            token: The setting `token`, where it is set.
            inside: The test runs in the containers' network: services are at their own addresses and standard ports.
        """
        return cls(Control(url, token, inside=inside))

    @classmethod
    def embedded(cls, **settings: object) -> Testbed:
        """A testbed in this process: ephemeral ports, state in memory, gone with `close`.

        Args:
            **settings: Anything of `portyard.commons.settings.Settings`, nested ones as a dict: `limits={"message": 1_000_000}`.

        Raises:
            SettingError: A setting is unknown, or its value is wrong.
        """
        from portyard.testing.embedded import Embedded

        running = Embedded(**settings)
        control = Control(running.url, str(settings.get("token", "")) or None)
        control.why_gone = lambda: running.error
        control.near = running.ask
        testbed = cls(control, running.close)
        testbed._open = running.wait_until_open
        testbed.journal_lag_s = 0.0
        testbed.starts()
        return testbed

    @classmethod
    def container(cls, image: str = "portyard:local", **settings: object) -> Testbed:
        """A testbed in one container, through testcontainers.

        Args:
            image: The image that `make image` builds.
            **settings: As for `embedded`.
        """
        from portyard.testing.container import PortyardContainer

        running = PortyardContainer(image)
        for name, value in settings.items():
            running.with_setting(name, value)
        running.start()
        testbed = running.get_testbed()
        testbed._stop = running.stop
        return testbed

    def wait_until_open(self, timeout: float = 30.0) -> None:
        """Wait until every room is open. Clients needn't: what they say waits until its room is there."""
        self._open(timeout)

    @property
    def endpoints(self) -> list[dict[str, Any]]:
        """Every port of every service, as the API tells it; `host` and `host_number` are where this test reaches it."""
        if self._endpoints is None:
            self._endpoints = self.control.reached(self.control.get("endpoints"))
        return self._endpoints

    @property
    def ca_pem(self) -> str:
        """The CA's certificate."""
        return self.control.raw("ca.pem").decode()

    def ssl_context(self) -> ssl.SSLContext:
        """A context that trusts the testbed's CA and nothing else."""
        return ssl.create_default_context(cadata=self.ca_pem)

    def sandbox(self, name: str | None = None, **options: object) -> Sandbox:
        """A new sandbox.

        Args:
            name: A label of letters, digits and hyphens, unique in the testbed; made up when None.
            **options: `capture`, `domains`, `default_password`, `magic`.

        Raises:
            ControlError: The name is taken or malformed.
        """
        body = {"name": self._name() if name is None else name, **options}
        made = Sandbox(self.control, self.control.post("sandboxes", body), self.endpoints)
        if self.witness is not None:
            self.witness.made(made)
        return made

    def default(self) -> Sandbox:
        """The sandbox that always exists, with alice and bob."""
        return Sandbox(self.control, self.control.get(f"sandboxes/{segment('default')}"), self.endpoints)

    @contextlib.contextmanager
    def own_sandbox(self, **options: Any) -> Iterator[Sandbox]:  # noqa: ANN401 - as `sandbox` takes them
        """A sandbox that goes with the block."""
        sandbox = self.sandbox(**options)
        failed = False
        try:
            yield sandbox
        except BaseException as error:
            failed = is_failure(error)
            raise
        finally:
            if self.witness is not None:
                failed = failed or self.witness.failing()
                self.witness.going(sandbox, failed=failed)
            try:
                sandbox.delete(missing_ok=True)
            except Exception:  # where something failed before, it may be why, and is what a report should tell
                if not failed:
                    raise

    def close(self) -> None:
        """Stop what this object started; a testbed that it only connected to goes on."""
        try:
            self.parts()
        finally:  # it may be gone, or somebody interrupts
            self.control.close()
            self._stop()

    def starts(self) -> None:
        """Note that the testbed itself was started with this object, and ends with it."""
        self._ends = True
        if self.witness is not None:
            self.witness.starts(self)

    def parts(self) -> None:
        """Note that it is about to be closed: a report may want what was done in it."""
        if self.witness is not None:
            failed = is_failure(sys.exception()) or self.witness.failing()
            self.witness.closes(self, failed=failed, ends=self._ends)

    def __enter__(self) -> Testbed:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _name(self) -> str:
        worker = os.environ.get("PYTEST_XDIST_WORKER", "w")
        return f"{worker}-{secrets.token_hex(4)}-{next(self._serial)}"
