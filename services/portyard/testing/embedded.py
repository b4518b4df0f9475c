"""A testbed in a thread of this process, on a loop of its own."""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures.thread
import contextlib
import importlib
import threading
import time
import warnings
from http import HTTPStatus
from typing import Any
from weakref import WeakSet

from portyard.commons.authority import authority
from portyard.commons.serving import pairs_of, serving
from portyard.commons.settings import given
from portyard.commons.turns import briskly, uncollected
from portyard.console.nearby import Nearby
from portyard.rooms import cards
from portyard.testing.control import Said

START_S = 30.0
PATIENCE_S = 0.1
"""So long nothing is imported for the rooms after the start, unless somebody connects: who starts a testbed wants a sandbox first."""
QUIET_S = 0.02
"""So long after an answer nobody asks for another one: then the rooms' turn has come."""
LOOK_S = 1.0  # so often a caller that waits for an answer looks whether the testbed is still there
# Modules that warn while they are imported. The rooms are imported in a thread, where a test run's own filters can make an error of a
# warning at any moment (filters belong to the process before Python 3.14), so these come first, in the caller's thread.
WARNING_MODULES = ("asyncore", "asynchat", "crypt", "spwd")
# Takes long, and warns only beside versions that it doesn't know: worth it only where a warning is an error.
SELDOM_WARNING_MODULES = ("requests",)


_running: WeakSet[Embedded] = WeakSet()


def _close_all() -> None:
    """Who forgets to close a testbed, or is interrupted, leaves no state behind in memory."""
    for running in list(_running):
        running.close()


# Before the threads of executors end, which is before atexit's calls: a room may be about to hand them something. These calls are made in
# reverse, so that whoever has the executors end has to be imported first, as it is above.
getattr(threading, "_register_atexit", atexit.register)(_close_all)


class Embedded:
    """Running services.

    Args:
        **settings: Over the defaults: ephemeral ports, state in memory.

    Raises:
        SettingError: A setting is unknown, or its value is wrong.

    Attributes:
        url: Where the console is.
    """

    def __init__(self, **settings: object) -> None:
        chosen: dict[str, Any] = {"state": "memory", "ports": "ephemeral", "passive_ports": "", **settings}
        self._settings = given(**chosen)
        self._ready = threading.Event()
        self._opened = threading.Event()
        self._error: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._begin: asyncio.Event | None = None
        self._nearby: Nearby | None = None
        self._beginning: asyncio.TimerHandle | None = None
        self.url = ""
        self._thread = threading.Thread(target=self._run, name="portyard", daemon=True)
        _running.add(self)
        with uncollected():
            _import_quietly()
            self._thread.start()
            self._ready.wait(START_S)
        if self._error is not None:
            self.close()
            raise self._error
        if not self.url:
            raise TimeoutError(f"the testbed is not ready after {START_S:.0f} s")

    @property
    def error(self) -> BaseException | None:
        """Why it ended: by itself, since a room couldn't be opened, or because it was closed; None while it runs."""
        return self._error or (None if self._thread.is_alive() else ConnectionError("the testbed was closed"))

    def close(self) -> None:
        """Stop and wait for the end; a second call does nothing."""
        if self._thread.is_alive():
            self._ready.wait(START_S)  # an interrupted start goes on in its thread
            if self._loop is not None and self._stop is not None:
                with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
                    self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(START_S)
        _running.discard(self)

    def wait_until_open(self, timeout: float) -> None:
        """Wait until every room is open; until then connections wait."""
        if self._loop is not None and self._begin is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._begin.set)
        self._opened.wait(timeout)

    def ask(self, method: str, target: str, octets: bytes, media_type: str, timeout: float) -> Said | None:
        """The console's answer, in this process; see `Nearby.answer`.

        Raises:
            ConnectionError, or why it ended: The testbed is gone.
            TimeoutError: No answer in time.
        """
        if self._loop is None or not self._thread.is_alive():
            return None  # a connection will tell
        asking = self._answer(method, target, octets, media_type)
        try:
            future = asyncio.run_coroutine_threadsafe(asking, self._loop)
        except RuntimeError:  # the loop was closed meanwhile
            asking.close()
            return None
        deadline = time.monotonic() + timeout
        while not (late := time.monotonic() >= deadline) and self._thread.is_alive():
            with contextlib.suppress(concurrent.futures.TimeoutError):
                try:
                    return future.result(LOOK_S)
                except concurrent.futures.CancelledError:
                    break
        future.cancel()
        if late:
            raise TimeoutError(f"{method} {target}: no answer in {timeout:.0f} s")
        raise self._error or ConnectionError("the testbed was stopped")

    async def _answer(self, method: str, target: str, octets: bytes, media_type: str) -> Said | None:
        assert self._nearby is not None
        assert self._stop is not None
        try:
            answer = await self._nearby.answer(method, target, octets, media_type)
            if self._stop.is_set() and answer is not None and answer[0] >= HTTPStatus.INTERNAL_SERVER_ERROR:
                raise ConnectionError("the testbed was stopped")  # what it needed was closed already
            return answer
        finally:
            self._open_in(QUIET_S)

    def _open_in(self, seconds: float) -> None:
        """Let the rooms be opened when so long nobody asks."""
        assert self._begin is not None
        if self._beginning is not None:
            self._beginning.cancel()
        if not self._begin.is_set():
            self._beginning = asyncio.get_running_loop().call_later(seconds, self._begin.set)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # handed to whoever waits
            self._error = error
        finally:
            self._ready.set()
            self._opened.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self._begin = asyncio.Event()
        async with serving(self._settings, pairs_of(cards()), wait=False, after=self._begin) as running:
            console = next(endpoint for endpoint in running.endpoints if endpoint.port == "console")
            self.url = f"http://{authority(console.host, console.host_number)}"
            self._nearby = Nearby(running.yard)
            self._open_in(PATIENCE_S)
            self._ready.set()
            running.opening.add_done_callback(lambda _: self._opened.set())
            stopped = asyncio.ensure_future(self._stop.wait())
            with briskly():  # a request goes through four threads' hands while rooms are still imported in one
                await asyncio.wait((stopped, running.opening), return_when=asyncio.FIRST_COMPLETED)
            if running.opening.done():
                running.opening.result()
            await stopped


def _import_quietly() -> None:
    with warnings.catch_warnings():
        strict = any(each[0] == "error" for each in warnings.filters)
        warnings.simplefilter("ignore")
        for name in (*WARNING_MODULES, *(SELDOM_WARNING_MODULES if strict else ())):
            with contextlib.suppress(ImportError):  # not in this Python, or not installed
                importlib.import_module(name)
