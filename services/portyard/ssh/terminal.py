"""The shell's side of a channel: what `Io` asks for, over asyncssh's streams, and the loop that reads and runs lines."""

from __future__ import annotations

import asyncio
import codecs
from collections.abc import Awaitable, Callable, Coroutine
from datetime import datetime
from typing import Any, TypeVar

from asyncssh.stream import SSHReader, SSHWriter

from portyard.commons.clock import Clock
from portyard.commons.journal.model import SessionLog
from portyard.ssh.core.model import Incomplete
from portyard.ssh.core.shell import Shell
from portyard.ssh.core.words import printable

PIECE = 64 * 1024  # octets read and sent at a time
SHOWN = 4096  # characters of a line that the journal shows
INTERRUPTED = 130  # 128 and SIGINT's number, as sh has it

_Result = TypeVar("_Result")


class InterruptedByPeer(Exception):
    """^C ended what ran."""


class Terminal:
    """Runs one shell for one channel. Implements `Io`.

    Args:
        shell: The shell.
        clock: The account's sandbox's time.
        pen: The journal's.
        stdin: From the client.
        stdout: To the client.
        stderr: To the client, apart; the same as stdout on a terminal.

    Attributes:
        before_output: Asked before each piece with the octets sent so far; whether it is sent.
    """

    def __init__(
        self,
        shell: Shell,
        clock: Clock,
        pen: SessionLog,
        stdin: SSHReader[Any],
        stdout: SSHWriter[Any],
        stderr: SSHWriter[Any],
    ) -> None:
        self.shell = shell
        self._clock = clock
        self._pen = pen
        self._stdin = stdin
        self._stdout = stdout
        self._stderr = stderr
        self._editor: Any = None
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self._current: asyncio.Task[Any] | None = None
        self._at_prompt = False
        self.before_output: Callable[[int], Awaitable[bool]] | None = None
        self.past: Callable[[], Awaitable[str]] | None = None
        self._sent = 0

    def become_interactive(self, editor: Any) -> None:  # noqa: ANN401 - asyncssh's wrapper of a channel has no type of its own
        """There is a terminal: text in, text out, and a line editor."""
        self._editor = editor

    # Io

    async def read(self) -> bytes:
        """The next octets of the client; b"" at the end, or at ^D."""
        if self._editor is None:
            octets: bytes = await self._stdin.read(PIECE)
            return octets
        text: str = await self._stdin.readline()
        return text.encode("utf-8", "surrogateescape")

    async def write(self, data: bytes) -> None:
        """Octets to stdout, waiting while the client is slow."""
        if not await self._may_send(data):
            return
        self._stdout.write(data if self._editor is None else self._decoder.decode(data))
        await self._stdout.drain()

    async def write_error(self, data: bytes) -> None:
        """Octets to stderr."""
        if not await self._may_send(data):
            return
        self._stderr.write(data if self._editor is None else self._decoder.decode(data))
        await self._stderr.drain()

    async def _may_send(self, data: bytes) -> bool:
        if self.before_output is not None and not await self.before_output(self._sent):
            return False
        self._sent += len(data)
        return True

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)

    async def breathe(self) -> None:
        """Let others run."""
        await asyncio.sleep(0)

    def now(self) -> datetime:
        """The testbed's time."""
        return self._clock.now()

    # Running

    async def run(self, command: str) -> int:
        """Run one command to its end (exec)."""
        try:
            return 1 if await self._is_past() else await self._guard(self.shell.run(command, self))
        except InterruptedByPeer:
            return INTERRUPTED

    async def interact(self) -> int:
        """Read lines and run them until the client has no more, or says exit."""
        pending = ""
        while not self.shell.ended:
            try:
                line = await self._line(self.shell.prompt if not pending else "> ")
                if line is None:
                    if self._editor is not None:
                        await self.write(b"exit\n" if not pending else b"\n")
                    if pending:
                        await self._run_line(pending, final=True)
                    break
                pending = await self._run_line(pending + line)
            except InterruptedByPeer:
                pending = ""
                self.shell.status = INTERRUPTED
        return self.shell.status

    async def _line(self, prompt: str) -> str | None:
        if self._editor is not None:
            await self.write(prompt.encode())
        self._at_prompt = True
        try:
            line = await self._guard(self.shell.input_of(self).readline())
        finally:
            self._at_prompt = False
        return line.decode("utf-8", "surrogateescape") if line else None

    async def _run_line(self, text: str, *, final: bool = False) -> str:
        """Run what was read; returns it when more must be read first."""
        try:
            script = self.shell.parse(text)
        except Incomplete:
            if not final:
                return text
            script = None
        if text.strip():
            self._pen.event("command", text=printable(text[:SHOWN].rstrip("\n")), request="line")
        if await self._is_past():
            self.shell.status, self.shell.ended = 1, True
        else:
            await self._guard(self.shell.run(text if script is None else script, self))
        return ""

    async def _is_past(self) -> bool:
        """Whether the account's files aren't there any more; the client is told."""
        words = await self.past() if self.past is not None else ""
        if words:
            await self.write_error(f"sh: {words}\n".encode())
        return bool(words)

    async def _guard(self, work: Coroutine[Any, Any, _Result]) -> _Result:
        """Run work that ^C may end.

        Raises:
            InterruptedByPeer: It did.
        """
        task = self._current = asyncio.get_running_loop().create_task(work)
        try:
            result: _Result = await task
            return result
        except asyncio.CancelledError:
            own = asyncio.current_task()
            if own is not None and own.cancelling():
                raise
            raise InterruptedByPeer from None
        finally:
            self._current = None

    def interrupt(self) -> None:
        """^C: clear the line, or end what runs."""
        if self._editor is not None:
            if self._at_prompt:
                self._editor.clear_input()
            self._stdout.write("^C\n")
        if self._current is not None:
            self._current.cancel()
