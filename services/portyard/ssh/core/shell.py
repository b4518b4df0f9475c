"""The shell: runs scripts on one account's files. Knows no socket, no host: a command is a function of ours, or it isn't found."""

from __future__ import annotations

import contextlib
import errno
import os
import posixpath
import stat
from collections.abc import AsyncGenerator, AsyncIterator, Mapping

from portyard.commons.accounts.model import Account
from portyard.commons.filestore.model import FileRoot
from portyard.ssh.core import expand
from portyard.ssh.core.grammar import parse_script
from portyard.ssh.core.model import AndOr, BadSyntax, Incomplete, Io, Pipeline, Redirect, Script, Simple
from portyard.ssh.core.process import Process, UsageError, encode, explain

HOME = "/"
HOST = "portyard"
VARIABLES = 1024
LINE = 256 * 1024  # octets of a line that is read as a command
NOT_FOUND, NOT_EXECUTABLE, BAD_SYNTAX = 127, 126, 2  # XCU §2.8.2, §2.8.1
_PROGRAMS = ("/bin/", "/usr/bin/", "/usr/local/bin/")


class Input:
    """The client's octets, which the shell's own reading and its commands share."""

    def __init__(self, io: Io) -> None:
        self._io = io
        self._held = bytearray()

    async def readline(self) -> bytes:
        """A line with its ending; what is left at the end; b"" when nothing is."""
        while (end := self._held.find(b"\n")) < 0:
            piece = await self._io.read()
            self._held += piece
            if not piece or len(self._held) > LINE:
                end = len(self._held) - 1
                break
        line = bytes(self._held[: end + 1])
        del self._held[: end + 1]
        return line

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """Everything up to the end."""
        while True:
            piece = bytes(self._held) or await self._io.read()
            self._held.clear()
            if not piece:
                return
            yield piece


class Shell:
    """One shell.

    Args:
        root: The account's files.
        account: Whose shell.
        limit: Octets of one file that it writes.

    Attributes:
        env: Its variables.
        exported: Names of those that commands see.
        cwd: Its directory, absolute.
        status: Of the last command.
        ended: Somebody said `exit`.
    """

    def __init__(self, root: FileRoot, account: Account, limit: int) -> None:
        self.root = root
        self.account = account
        self.limit = limit
        self.cwd = HOME
        self.status = 0
        self.ended = False
        self.env = {
            "HOME": HOME,
            "LOGNAME": account.local_part,
            "OLDPWD": HOME,
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "PWD": HOME,
            "SHELL": "/bin/sh",
            "USER": account.local_part,
        }
        self.exported = set(self.env)
        self._input: Input | None = None

    # Its state

    @property
    def prompt(self) -> str:
        """What an interactive shell shows before it reads."""
        home = self.env.get("HOME", HOME)
        inside = self.cwd == home or self.cwd.startswith(home.rstrip("/") + "/")
        rest = self.cwd[len(home.rstrip("/")) :].rstrip("/")
        shown = f"~{rest}" if inside else self.cwd
        return f"{self.account.local_part}@{HOST}:{shown}$ "

    def assign(self, name: str, value: str) -> None:
        """Set a variable.

        Raises:
            UsageError: There are too many.
        """
        if len(self.env) >= VARIABLES and name not in self.env:
            raise UsageError("too many variables")
        self.env[name] = value

    def take_environment(self, variables: Mapping[str, str]) -> None:
        """Variables that the client sent."""
        self.env.update(variables)
        self.exported.update(variables)

    def resize(self, width: int, height: int) -> None:
        """The terminal's size in characters."""
        self.take_environment({"COLUMNS": str(width), "LINES": str(height)})

    def path(self, name: str) -> str:
        """An absolute path: links and ".." are the root's to resolve."""
        return posixpath.join(self.cwd, name)

    def enter(self, name: str) -> None:
        """Make a directory the current one.

        Raises:
            OSError: It isn't one.
        """
        path = self.path(name)
        if not stat.S_ISDIR(self.root.stat(path).st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        self.env["OLDPWD"], self.cwd = self.cwd, self.root.realpath(path)
        self.env["PWD"] = self.cwd

    def value(self, name: str) -> str:
        """A parameter's value; "" when it isn't set."""
        special = {"?": str(self.status), "$": "1", "#": "0", "0": "sh"}
        return special.get(name) or self.env.get(name, "")

    def input_of(self, io: Io) -> Input:
        """The input, the same for all of its life."""
        if self._input is None:
            self._input = Input(io)
        return self._input

    def _apart(self) -> Shell:
        """A copy whose changes stay its own: what runs in a pipeline (XCU §2.12)."""
        copy = Shell(self.root, self.account, self.limit)
        copy.cwd, copy.status = self.cwd, self.status
        copy.env, copy.exported = dict(self.env), set(self.exported)
        copy._input = self._input
        return copy

    def _around(self) -> expand.Surroundings:
        return expand.Surroundings(self.value, self.root, self.cwd, self.env.get("HOME", HOME))

    # Running

    @staticmethod
    def parse(text: str) -> Script | None:
        """A script, or None when the text isn't one, which `run` then says.

        Raises:
            Incomplete: A line more may make it one.
        """
        try:
            return parse_script(text)
        except Incomplete:
            raise
        except BadSyntax:
            return None

    async def run(self, script: str | Script, io: Io) -> int:
        """Run a script; returns the status of its last command."""
        if isinstance(script, str):
            try:
                script = parse_script(script)
            except BadSyntax as error:
                await io.write_error(encode(f"sh: {error}\n"))
                self.status = BAD_SYNTAX
                return self.status
        for entry in script.lists:
            await self._list(entry, io)
            await io.breathe()
            if self.ended:
                break
        return self.status

    async def _list(self, entry: AndOr, io: Io) -> None:
        await self._pipeline(entry.first, io)
        for operator, pipeline in entry.rest:
            if self.ended:
                return
            if (self.status == 0) == (operator == "&&"):
                await self._pipeline(pipeline, io)

    async def _pipeline(self, pipeline: Pipeline, io: Io) -> None:
        alone = len(pipeline.commands) == 1
        source: AsyncIterator[bytes] = self.input_of(io).pieces()
        stages: list[Stage] = []
        first = source
        for command in pipeline.commands:
            stage = Stage(self if alone else self._apart(), command, source, io)
            stages.append(stage)
            source = stage.output
        try:
            async for piece in stages[-1].output:
                await io.write(piece)
            for stage in reversed(stages[:-1]):
                # Who still has something to say when nobody reads gets what SIGPIPE would be; who has nothing, finishes.
                await anext(stage.output, None)
        finally:
            for stage in reversed(stages):
                await stage.output.aclose()
            if isinstance(first, AsyncGenerator):
                await first.aclose()
        status = stages[-1].status
        self.status = int(not status) if pipeline.negated else status


class Stage:
    """One command of a pipeline, with its redirections.

    Args:
        shell: The shell that it runs in.
        command: The command.
        stdin: Its input.
        io: Errors and time.

    Attributes:
        output: What it writes to the next stage, or to the client.
        status: What it ended with.
    """

    _PIPE, _ERROR, _NOWHERE = -1, -2, -3  # where a descriptor leads, besides files

    def __init__(self, shell: Shell, command: Simple, stdin: AsyncIterator[bytes], io: Io) -> None:
        self._shell = shell
        self._command = command
        self._stdin = stdin
        self._io = io
        self._leads = {1: self._PIPE, 2: self._ERROR}
        self._merged = bytearray()
        self._files: list[int] = []
        self._written = 0
        self.status = 0
        self.output = self._run()

    async def _run(self) -> AsyncGenerator[bytes, None]:
        try:
            words = expand.fields(self._command.words, self._shell._around())
            self._redirect()
            async with contextlib.aclosing(self._call(words)) as pieces:
                async for piece in pieces:
                    if out := await self._route(piece):
                        yield out
        except (UsageError, expand.TooMuch) as error:
            await self._complain(encode(f"sh: {error}\n"), 1)
        except OSError as error:
            what = f"{error.filename}: " if isinstance(error.filename, str) else ""
            await self._complain(encode(f"sh: {what}{explain(error)}\n"), 1)
        finally:
            for fd in self._files:
                os.close(fd)
        if self._merged:
            yield bytes(self._merged)

    async def _call(self, words: list[str]) -> AsyncGenerator[bytes, None]:
        from portyard.ssh.core.commands import COMMANDS

        shell = self._shell
        values = {entry.name: expand.single(entry.value, shell._around()) for entry in self._command.assignments}
        if not words:
            for name, value in values.items():
                shell.assign(name, value)
            return
        name = self._program(words[0])
        command = COMMANDS.get(name)
        if command is None:
            await self._missing(words[0])
            return
        env = {name: shell.env[name] for name in shell.exported if name in shell.env} | values
        process = Process(name, words[1:], self._stdin, shell, self._io, self._complain, env)
        try:
            async with contextlib.aclosing(command(process)) as pieces:
                async for piece in pieces:
                    yield piece
        except UsageError as error:
            await process.fail(str(error), error.status)
        except OSError as error:
            await process.fail(explain(error))
        finally:
            await process.release()
            self.status = process.status

    def _program(self, name: str) -> str:
        """A command's name; programs have their usual places."""
        for folder in _PROGRAMS:
            if name.startswith(folder) and "/" not in name[len(folder) :]:
                return name[len(folder) :]
        return name

    async def _missing(self, name: str) -> None:
        if "/" not in name:
            await self._complain(encode(f"sh: {name}: command not found\n"), NOT_FOUND)
            return
        try:
            found = self._shell.root.stat(self._shell.path(name))
        except OSError as error:
            await self._complain(encode(f"sh: {name}: {explain(error)}\n"), NOT_FOUND)
            return
        why = "Is a directory" if stat.S_ISDIR(found.st_mode) else "Permission denied"
        await self._complain(encode(f"sh: {name}: {why}\n"), NOT_EXECUTABLE)

    # Redirections (XCU §2.7)

    def _redirect(self) -> None:
        for entry in self._command.redirects:
            if entry.operator == ">&":
                self._leads[entry.descriptor] = self._leads[int(expand.single(entry.target, self._shell._around()))]
            else:
                self._open(entry)

    def _open(self, entry: Redirect) -> None:
        name = expand.single(entry.target, self._shell._around())
        if name == "/dev/null":  # the one device that scripts can't do without; ours, not the host's
            fd = self._NOWHERE
        else:
            fd = self._open_file(name, entry.operator)
            self._files.append(fd)
        if entry.operator == "<":
            self._stdin = _pieces_of(fd, self._io)
        else:
            self._leads[entry.descriptor] = fd

    def _open_file(self, name: str, operator: str) -> int:
        flags = {"<": os.O_RDONLY, ">>": os.O_WRONLY | os.O_CREAT | os.O_APPEND}
        wanted = flags.get(operator, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        try:
            fd = self._shell.root.open_fd(self._shell.path(name), wanted, 0o666)
        except OSError as error:
            raise OSError(error.errno, error.strerror, name) from None
        if operator == ">>":
            self._written += os.fstat(fd).st_size
        return fd

    async def _route(self, piece: bytes) -> bytes:
        """A piece of output to where it leads; what goes on to the next stage comes back."""
        passed = bytes(self._merged)
        self._merged.clear()
        lead = self._leads[1]
        if lead == self._PIPE:
            return passed + piece
        if lead == self._ERROR:
            await self._io.write_error(piece)
        else:
            self._write(lead, piece)
            await self._io.breathe()
        return passed

    async def _complain(self, data: bytes, status: int | None = None) -> None:
        if status is not None:
            self.status = status
        lead = self._leads[2]
        if lead == self._PIPE:
            self._merged += data
        elif lead == self._ERROR:
            await self._io.write_error(data)
        else:
            self._write(lead, data)

    def _write(self, fd: int, data: bytes) -> None:
        if fd == self._NOWHERE:
            return
        self._written += len(data)
        if self._written > self._shell.limit:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
        self._shell.root.date(fd)


async def _pieces_of(fd: int, io: Io) -> AsyncGenerator[bytes, None]:
    while fd >= 0 and (piece := os.read(fd, 64 * 1024)):
        yield piece
        await io.breathe()
