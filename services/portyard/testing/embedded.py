"""A testbed in a thread of this process, on a loop of its own."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import msgspec

from portyard.commons.serving import pairs_of, serving
from portyard.commons.settings import Settings
from portyard.rooms import cards

START_S = 30.0
BRISK_S = 0.0002
# Modules that warn while they are imported. The rooms are imported in a thread, where a test run's own filters can make an error of a
# warning at any moment (filters belong to the process before Python 3.14), so these come first, in the caller's thread.
WARNING_MODULES = ("asyncore", "asynchat", "spwd")
# Takes long, and warns only beside versions that it doesn't know: worth it only where a warning is an error.
SELDOM_WARNING_MODULES = ("requests",)


class Embedded:
    """Running services.

    Args:
        **settings: Over the defaults: ephemeral ports, state in memory.

    Attributes:
        url: Where the console is.
        opened: Every room is open; until then connections wait.
    """

    def __init__(self, **settings: object) -> None:
        given: dict[str, Any] = {"state": "memory", "ports": "ephemeral", "passive_ports": "", **settings}
        self._settings = msgspec.structs.replace(Settings(), **given)
        self._ready = threading.Event()
        self.opened = threading.Event()
        self._error: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self.url = ""
        self._thread = threading.Thread(target=self._run, name="portyard", daemon=True)
        with _uncollected():
            _import_quietly()
            self._thread.start()
            self._ready.wait(START_S)
        if self._error is not None:
            raise self._error
        if not self.url:
            raise TimeoutError(f"the testbed is not ready after {START_S:.0f} s")

    @property
    def error(self) -> BaseException | None:
        """Why it ended, when it did so by itself: a room couldn't be opened."""
        return self._error

    def close(self) -> None:
        """Stop and wait for the end; a second call does nothing."""
        if self._loop is not None and self._stop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(START_S)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # handed to whoever waits
            self._error = error
        finally:
            self._ready.set()
            self.opened.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        async with serving(self._settings, pairs_of(cards()), wait=False) as running:
            console = next(endpoint for endpoint in running.endpoints if endpoint.port == "console")
            self.url = f"http://{console.host}:{console.host_number}"
            self._ready.set()
            running.opening.add_done_callback(lambda _: self.opened.set())
            stopped = asyncio.ensure_future(self._stop.wait())
            with _briskly():
                await asyncio.wait((stopped, running.opening), return_when=asyncio.FIRST_COMPLETED)
            if running.opening.done():
                running.opening.result()
            await stopped


@contextlib.contextmanager
def _briskly() -> Iterator[None]:
    """While rooms are still imported in a thread, let the test's own thread and the loop have their turns sooner.

    A request goes through four threads' hands; at Python's usual 5 ms each it would wait for the imports longer than it works.
    """
    usual_s = sys.getswitchinterval()
    sys.setswitchinterval(BRISK_S)
    try:
        yield
    finally:
        sys.setswitchinterval(usual_s)


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """Without collections of garbage: imports make hardly any, and each would walk all that the test run has loaded."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def _import_quietly() -> None:
    with warnings.catch_warnings():
        strict = any(each[0] == "error" for each in warnings.filters)
        warnings.simplefilter("ignore")
        for name in (*WARNING_MODULES, *(SELDOM_WARNING_MODULES if strict else ())):
            with contextlib.suppress(ImportError):  # not in this Python, or not installed
                importlib.import_module(name)
