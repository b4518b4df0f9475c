"""What runs on one session channel: a shell, a command, SFTP or SCP (RFC 4254 §6.5).

Knows asyncssh's session hooks and asyncio's tasks; the shell is the core's.
"""

from __future__ import annotations

import asyncio
import logging
import shlex
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import asyncssh
from asyncssh.scp import run_scp_server
from asyncssh.stream import SSHReader, SSHServerStreamSession, SSHWriter

from portyard.commons.accounts.model import Account
from portyard.commons.scenario.actions import Respond
from portyard.commons.scenario.model import Verdict
from portyard.ssh.core.shell import Shell
from portyard.ssh.core.words import printable
from portyard.ssh.files import Files
from portyard.ssh.sftp import Handler
from portyard.ssh.terminal import Terminal

if TYPE_CHECKING:
    from portyard.ssh.link import Link

COMMAND_SIZE = 128 * 1024  # octets of a command, Linux's MAX_ARG_STRLEN
SHOWN = 4096  # characters of a command that the journal shows

_logger = logging.getLogger("portyard.ssh")


class Session(SSHServerStreamSession[Any]):
    """A channel's session.

    Args:
        link: The connection; told when the channel is closed and nothing runs any more.
        account: Who is logged in.

    Attributes:
        link: The connection.
        task: What runs, once it was asked for.
        verdict: What a rule wants in place of a command or of its output.
    """

    def __init__(self, link: Link, account: Account) -> None:
        super().__init__(None)
        self.link = link
        self.task: asyncio.Task[None] | None = None
        self.verdict: Verdict | None = None
        self._yard = link.yard
        self._account = account
        self._pen = link.pen
        self._pty = False
        self._closed = False
        self._abandoned = False
        self._work: Callable[[], Any] = self._shell
        self._command = ""
        self._files: Files | None = None
        self._terminal: Terminal | None = None

    # What is asked for

    def pty_requested(self, term_type: str, term_size: object, term_modes: object) -> bool:
        """A terminal (RFC 4254 §6.2): asyncssh's line editor and our shell make one."""
        self._pty = True
        return True

    def shell_requested(self) -> bool:
        """A shell."""
        self._pen.event("command", text="shell", request="shell", pty=self._pty)
        self._work = self._shell
        self._choose_encoding()
        return True

    def exec_requested(self, command: str) -> bool:
        """A command."""
        if len(command) > COMMAND_SIZE:
            return False
        self._pen.event("command", text=printable(command[:SHOWN]), request="exec", pty=self._pty)
        self._command = command
        self._work = self._scp if _is_scp(command) and not self._pty else self._exec
        if self.verdict is not None:
            self._work = self._stub
        self._choose_encoding()
        return True

    def subsystem_requested(self, subsystem: str) -> bool:
        """SFTP, and nothing else."""
        self._pen.event("command", text=printable(subsystem), request="subsystem")
        if subsystem != "sftp" or self._pty:
            self._pen.reply("refused")
            return False
        self._work = self._sftp
        self._choose_encoding()
        return True

    def _choose_encoding(self) -> None:
        """Octets pass as they are, save through a terminal, whose line editor wants characters."""
        assert self._chan is not None
        if not self._pty:
            self._chan.set_encoding(None)
            self._encoding = None

    # What runs

    def session_started(self) -> None:
        """Begin."""
        self.task = asyncio.get_running_loop().create_task(self._run())
        self.task.add_done_callback(lambda _: self._settle())

    async def _run(self) -> None:
        try:
            await self._work()
        except (OSError, EOFError, asyncssh.Error) as error:
            if not self._abandoned:
                self._pen.event("error", text=str(error) or type(error).__name__)
        except Exception as error:
            _logger.exception("session %s failed", self._pen.id)
            self._pen.event("error", text=f"{type(error).__name__}: {error}")
            self._exit(255)
        finally:
            if self._chan is not None:
                self._chan.close()

    async def _shell(self) -> None:
        self._exit(await self._make_terminal().interact())

    async def _exec(self) -> None:
        self._exit(await self._make_terminal().run(self._command))

    async def _stub(self) -> None:
        """What a rule answers in place of a command, or of what a command that does run would have written."""
        verdict = self.verdict
        assert verdict is not None
        answer = verdict.respond or Respond(body=verdict.say or "")
        status = answer.status or 0
        if verdict.respond is None:
            status = await self._make_terminal(mute=True).run(self._command)
        _, stdout, stderr = self._streams()
        for stream, text in ((stdout, answer.body), (stdout if self._pty else stderr, answer.stderr)):
            stream.write(text if self._pty else text.encode())
            await stream.drain()
        self._exit(status)
        self.link.end_as(verdict)

    async def _sftp(self) -> None:
        stdin, stdout, _ = self._streams()
        await Handler(self._make_files(told=True), stdin, stdout, self.link).run()

    async def _scp(self) -> None:
        stdin, stdout, stderr = self._streams()
        if words := await self.link.past():
            stderr.write(f"scp: {words}\n".encode())
            self._exit(1)
            return
        work = run_scp_server(self._make_files(told=False), self._command, stdin, stdout, stderr)
        if work is not None:
            await work

    def _streams(self) -> tuple[SSHReader[Any], SSHWriter[Any], SSHWriter[Any]]:
        assert self._chan is not None
        return (
            SSHReader(self, self._chan),
            SSHWriter(self, self._chan),
            SSHWriter(self, self._chan, asyncssh.EXTENDED_DATA_STDERR),
        )

    def _make_files(self, *, told: bool) -> Files:
        channel: Any = self._chan
        root = self._yard.files.root(self._account)
        limit, clock = self._yard.settings.limits.upload, self._yard.clocks.of(self._account.sandbox)
        self._files = Files(channel, root, self._account, self._pen, limit, clock, told=told)
        return self._files

    def _make_terminal(self, *, mute: bool = False) -> Terminal:
        channel: Any = self._chan
        stdin, stdout, stderr = self._streams()
        root = self._yard.files.root(self._account)
        shell = Shell(root, self._account, self._yard.settings.limits.upload)
        shell.take_environment(channel.get_environment())
        peer, local = channel.get_extra_info("peername"), channel.get_extra_info("sockname")
        if peer and local:
            shell.take_environment({"SSH_CONNECTION": f"{peer[0]} {peer[1]} {local[0]} {local[1]}"})
        if self._pty:
            shell.take_environment({"TERM": channel.get_terminal_type() or "dumb"})
            shell.resize(*channel.get_terminal_size()[:2])
        clock = self._yard.clocks.of(self._account.sandbox)
        self._terminal = Terminal(shell, clock, self._pen, stdin, stdout, stdout if self._pty else stderr)
        self._terminal.past = self.link.past
        if mute:
            self._terminal.before_output = _nothing
        elif self.link.armed:
            self._terminal.before_output = self._ask_output
        if self._pty:
            self._terminal.become_interactive(channel)
        return self._terminal

    async def _ask_output(self, octets: int) -> bool:
        """Ask before a piece of output; whether it is sent."""
        verdict = await self.link.judged("output", command=printable(self._command), octets=octets)
        return verdict is None or not self.link.end_as(verdict)

    def told(self, status: int) -> None:
        """The peer is being told a status."""
        if not self._abandoned:
            self._pen.reply(f"exit {status}")

    def _exit(self, status: int) -> None:
        channel: Any = self._chan
        if channel is not None:
            channel.exit(status)

    # What comes meanwhile

    def break_received(self, msec: int) -> bool:
        """^C, or a break (RFC 4335)."""
        if self._terminal is not None:
            self._terminal.interrupt()
        return True

    def signal_received(self, signal: str) -> None:
        """RFC 4254 §6.9."""
        self._pen.event("command", text=f"signal {printable(signal)}", request="signal")
        if self._terminal is not None and signal == "INT":
            self._terminal.interrupt()
        elif signal in ("HUP", "KILL", "QUIT", "TERM", "INT") and self.task is not None:
            channel: Any = self._chan
            if channel is not None:
                channel.exit_with_signal(signal)
            self.abandon()

    def terminal_size_changed(self, width: int, height: int, pixwidth: int, pixheight: int) -> None:
        """RFC 4254 §6.7."""
        if self._terminal is not None:
            self._terminal.shell.resize(width, height)

    # The end

    def connection_lost(self, exc: Exception | None) -> None:
        """The channel is closed."""
        super().connection_lost(exc)
        self._closed = True
        self.abandon()
        self._settle()

    def abandon(self) -> None:
        """Nobody listens any more: stop what runs, and note nothing more."""
        self._abandoned = True
        if self._files is not None:
            self._files.abandon()
        elif self.task is not None:
            self.task.cancel()

    def _settle(self) -> None:
        if self._closed and (self.task is None or self.task.done()):
            self.link.sessions.discard(self)


async def _nothing(octets: int) -> bool:
    return False


def _is_scp(command: str) -> bool:
    """Whether it is what `scp -O` runs at the far end: `scp -t` (to) or `scp -f` (from), with what else it passes."""
    if not command.startswith("scp "):
        return False
    try:
        words = shlex.split(command)
    except ValueError:
        return False
    options = "".join(word[1:] for word in words[1:] if word.startswith("-") and word != "--")
    return "t" in options or "f" in options
