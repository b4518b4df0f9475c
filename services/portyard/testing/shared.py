"""Containers that the workers of one run share: their controller starts one for each of the settings that are asked for."""

from __future__ import annotations

import contextlib
import json
import secrets
import threading
from collections.abc import Callable, Mapping
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Connection, Listener
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from portyard.testing.testbed import Testbed

WORKERS = 1024  # that may ask at once
_END = b""


class Shared:
    """What the controller has.

    Args:
        start: Starts a testbed with such settings.

    Attributes:
        word: What `ask` needs, as xdist can tell its workers.
    """

    def __init__(self, start: Callable[[dict[str, Any]], Testbed]) -> None:
        self._start = start
        self._testbeds: list[Testbed] = []
        self._answers: dict[bytes, bytes] = {}
        key = secrets.token_bytes(32)
        self._listener = Listener(("127.0.0.1", 0), backlog=WORKERS, authkey=key)
        self.word: dict[str, Any] = {"address": self._listener.address, "key": key}
        self._thread = threading.Thread(target=self._serve, name="portyard-shared", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End every testbed that was started."""
        with _connected(self.word) as connection:
            connection.send_bytes(_END)
        self._thread.join()
        self._listener.close()
        for testbed in self._testbeds:
            testbed.close()

    def _serve(self) -> None:
        """One worker after the other: who asks for what is just being started waits for it, and gets the same."""
        while True:
            with contextlib.suppress(AuthenticationError, EOFError, OSError), self._listener.accept() as connection:
                asked = connection.recv_bytes()
                if asked == _END:
                    return
                if asked not in self._answers:
                    self._answers[asked] = json.dumps(self._answer(asked)).encode()
                connection.send_bytes(self._answers[asked])

    def _answer(self, asked: bytes) -> dict[str, object]:
        try:
            testbed = self._start(json.loads(asked))
        except BaseException as error:  # pytest's own errors, which the worker raises
            return {"error": str(error)}
        self._testbeds.append(testbed)
        return {"url": testbed.control.url, "inside": testbed.control.inside}


def ask(word: Mapping[str, Any], settings: Mapping[str, object]) -> dict[str, Any]:
    """The `url` of the testbed with these settings, and whether it is reached from `inside`; or the `error` that there was."""
    with _connected(word) as connection:
        connection.send_bytes(msgspec.json.encode(settings, enc_hook=str, order="sorted"))
        return dict(json.loads(connection.recv_bytes()))


def _connected(word: Mapping[str, Any]) -> Connection:
    return Client(tuple(word["address"]), authkey=word["key"])
