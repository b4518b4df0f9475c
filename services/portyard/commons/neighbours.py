"""Asking the other processes of a state directory to write down what they know, and hearing when they have.

Each process listens on a Unix socket there. Who connects is answered by the connection's end, once all that the process knew at that moment
is written. That works between containers that share the directory, whatever networks they are in. A killed process leaves its socket
behind, at which nobody answers: who asks next removes it. Knows no SQL and no protocol.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

PATIENCE_S = 5.0  # a busy machine's disk may take seconds; an answer without what a neighbour noted would be wrong
LATE_S = 0.5  # one that kept somebody waiting so long is stopped, or its disk is stuck: it holds nobody up again
_DESCRIPTORS = Path("/proc/self/fd")


class Neighbours:
    """The processes of one state directory, as one of them sees the others.

    Args:
        folder: Where their sockets are; made when missing. None where nobody else uses the state directory.
        settle: Writes what this process knows.
    """

    def __init__(self, folder: Path | None, settle: Callable[[], Awaitable[None]]) -> None:
        self._folder = folder
        self._settle = settle
        self._name = secrets.token_hex(8)
        self._directory = -1
        self._server: asyncio.Server | None = None
        self._answers: set[asyncio.Task[None]] = set()
        self._late: set[str] = set()

    async def open(self) -> None:
        """Answer from now on. Where no such socket can be made, nobody is answered: what this process knows comes when it comes."""
        if self._folder is None:
            return
        with contextlib.suppress(OSError):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._directory = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            listener = socket.socket(socket.AF_UNIX)
            try:
                listener.setblocking(False)
                draft = f".{self._name}"
                listener.bind(self._place(draft))
                listener.listen()
                os.rename(
                    draft, self._name, src_dir_fd=self._directory, dst_dir_fd=self._directory
                )  # seen once it listens
                self._server = await asyncio.start_unix_server(self._answer, sock=listener)
            except BaseException:
                listener.close()
                raise

    async def settle(self) -> None:
        """Return once all that any process knows by now is written, or a neighbour's patience is up."""
        await asyncio.gather(self._settle(), *(self._ask(name) for name in self._others()))

    async def close(self) -> None:
        """Answer nobody any more."""
        if self._server is not None:
            with contextlib.suppress(OSError):
                os.unlink(self._name, dir_fd=self._directory)
            self._server.close()
        for task in self._answers:
            task.cancel()
        await asyncio.gather(*self._answers, return_exceptions=True)
        if self._directory >= 0:
            os.close(self._directory)
            self._directory = -1

    def _others(self) -> list[str]:
        if self._directory < 0:
            return []
        return [name for name in os.listdir(self._directory) if name != self._name and not name.startswith(".")]

    def _place(self, name: str) -> str:
        """A socket's path by the open directory where it can be: such paths have at most 107 octets (unix(7)), a state directory's any."""
        folder = _DESCRIPTORS / str(self._directory) if _DESCRIPTORS.is_dir() else self._folder
        return f"{folder}/{name}"

    async def _ask(self, name: str) -> None:
        try:
            async with asyncio.timeout(LATE_S if name in self._late else PATIENCE_S):
                reader, writer = await asyncio.open_unix_connection(self._place(name))
                try:
                    await reader.read()
                finally:
                    writer.close()
            self._late.discard(name)
        except TimeoutError:  # it is stuck
            self._late.add(name)
        except ConnectionRefusedError:  # its process was killed
            self._late.discard(name)
            with contextlib.suppress(OSError):
                os.unlink(name, dir_fd=self._directory)
        except OSError:  # it is about to end, and writes by itself then
            return

    async def _answer(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._answers.add(task)
        try:
            with contextlib.suppress(asyncio.CancelledError):  # by `close`; asyncio takes it for a failure of ours
                await self._settle()
        finally:
            self._answers.discard(task)
            writer.close()
