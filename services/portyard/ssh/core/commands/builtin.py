"""Commands that speak of the shell itself: where it stands, its variables, what it can do."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator

from portyard.ssh.core.process import Process, UsageError, encode, explain

SLEEP_S = 86_400.0  # the longest sleep
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_ESCAPE = re.compile(r"\\(0[0-7]{1,3}|x[0-9a-fA-F]{1,2}|[0-7]{1,3}|.)", re.DOTALL)
_ESCAPES = {"a": "\a", "b": "\b", "e": "\x1b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\"}


async def cd(p: Process) -> AsyncGenerator[bytes, None]:
    """Change the directory; "-" is the last one."""
    if len(p.args) > 1:
        raise UsageError("too many arguments")
    name = p.args[0] if p.args else p.shell.env.get("HOME", "/")
    target = p.shell.env.get("OLDPWD", "/") if name == "-" else name
    try:
        p.shell.enter(target)
    except OSError as error:
        await p.fail(f"{target}: {explain(error)}")
        return
    if name == "-":
        yield encode(p.shell.cwd + "\n")


async def pwd(p: Process) -> AsyncGenerator[bytes, None]:
    """Print the directory."""
    p.options("LP")
    yield encode(p.shell.cwd + "\n")


async def echo(p: Process) -> AsyncGenerator[bytes, None]:
    """Print arguments; -n without a line's end, -e with escapes."""
    args = list(p.args)
    newline, escapes = True, False
    while args and re.fullmatch(r"-[neE]+", args[0]):
        for letter in args.pop(0)[1:]:
            newline = newline and letter != "n"
            escapes = {"e": True, "E": False}.get(letter, escapes)
    line = " ".join(args)
    if escapes:
        line, cut = unescape(line)
        newline = newline and not cut
    yield encode(line + ("\n" if newline else ""))


def unescape(text: str) -> tuple[str, bool]:
    r"""Text with its backslash escapes read, and whether `\c` cut it."""
    head, cut, _ = re.sub(r"(\\\\)|\\c", lambda match: match[1] or "\0", text).partition("\0")

    def read(match: re.Match[str]) -> str:
        what = match[1]
        if what[0] == "x" and len(what) > 1:
            return _octet(int(what[1:], 16))
        if what[0] in "01234567":
            return _octet(int(what, 8) & 0xFF)
        return _ESCAPES.get(what, match[0])

    return _ESCAPE.sub(read, head), bool(cut)


def _octet(value: int) -> str:
    return chr(value) if value < 0x80 else chr(0xDC00 + value)  # as surrogateescape keeps an octet


_FORMAT = re.compile(r"%(?P<flags>[-+ 0#]*)(?P<width>\d{0,4})(?:\.(?P<precision>\d{0,4}))?(?P<kind>[a-zA-Z%])")


async def printf(p: Process) -> AsyncGenerator[bytes, None]:
    """Print by a format, used again while arguments are left (XCU printf)."""
    if not p.args:
        raise UsageError("usage: printf format [arguments]", 2)
    form, args = p.args[0], list(p.args[1:])
    while True:
        before = len(args)
        text, cut = unescape(form)
        yield encode(await _formatted(p, text, args))
        if cut or not args or len(args) == before:
            return
        await p.io.breathe()


async def _formatted(p: Process, form: str, args: list[str]) -> str:
    result, at = [], 0
    for match in _FORMAT.finditer(form):
        result.append(form[at : match.start()])
        at = match.end()
        kind = match["kind"]
        if kind == "%":
            result.append("%")
            continue
        value = args.pop(0) if args else ""
        spec = f"%{match['flags']}{match['width']}" + ("" if match["precision"] is None else f".{match['precision']}")
        result.append(await _one(p, spec, kind, value))
    return "".join([*result, form[at:]])


async def _one(p: Process, spec: str, kind: str, value: str) -> str:
    if kind == "s":
        return spec % () if "%" not in spec else (spec + "s") % value
    if kind == "b":
        return (spec + "s") % unescape(value)[0]
    if kind == "c":
        return (spec + "s") % value[:1]
    if kind in "diouxXeEfFgG":
        number: float = 0
        try:
            number = float(value) if kind in "eEfFgG" and value else int(value, 0) if value else 0
        except ValueError:
            await p.fail(f"{value}: invalid number")
        return (spec + kind.replace("i", "d").replace("u", "d")) % number
    await p.fail(f"%{kind}: invalid directive")
    return ""


async def sleep(p: Process) -> AsyncGenerator[bytes, None]:
    """Wait; seconds, or with s, m, h, d behind."""
    if not p.args:
        raise UsageError("missing operand")
    total = 0.0
    for arg in p.args:
        match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?|\.\d{1,9})([smhd]?)", arg)
        if match is None:
            raise UsageError(f"invalid time interval '{arg}'")
        total += float(match[1]) * _UNITS[match[2] or "s"]
    await p.io.sleep(min(total, SLEEP_S))
    return
    yield b""


async def env(p: Process) -> AsyncGenerator[bytes, None]:
    """Print what commands see."""
    if p.args:
        raise UsageError("only printing is supported", 125)
    for name in sorted(p.env):
        yield encode(f"{name}={p.env[name]}\n")


async def export(p: Process) -> AsyncGenerator[bytes, None]:
    """Let commands see variables."""
    for arg in [arg for arg in p.args if arg != "-p"]:
        name, equals, value = arg.partition("=")
        if not _NAME.match(name):
            await p.fail(f"`{arg}': not a valid identifier")
            continue
        if equals:
            p.shell.assign(name, value)
        p.shell.exported.add(name)
    if not p.args or p.args == ["-p"]:
        for name in sorted(p.shell.exported & p.shell.env.keys()):
            quoted = p.shell.env[name].replace("'", "'\\''")
            yield encode(f"export {name}='{quoted}'\n")


async def unset(p: Process) -> AsyncGenerator[bytes, None]:
    """Forget variables."""
    for name in p.args:
        p.shell.env.pop(name, None)
        p.shell.exported.discard(name)
    return
    yield b""


async def exit_(p: Process) -> AsyncGenerator[bytes, None]:
    """End the shell, with a status."""
    if p.args and not re.fullmatch(r"\d{1,9}", p.args[0]):
        await p.fail(f"{p.args[0]}: numeric argument required", 2)
        p.shell.ended = True
        return
    p.shell.ended = True
    p.status = int(p.args[0]) & 0xFF if p.args else p.shell.status
    return
    yield b""


async def true(p: Process) -> AsyncGenerator[bytes, None]:
    """Succeed."""
    return
    yield b""


async def false(p: Process) -> AsyncGenerator[bytes, None]:
    """Fail."""
    p.status = 1
    return
    yield b""


async def which(p: Process) -> AsyncGenerator[bytes, None]:
    """Where commands would be."""
    from portyard.ssh.core.commands import COMMANDS

    for name in p.args:
        if name not in COMMANDS:
            p.status = 1
            if p.name == "type":
                await p.fail(f"{name}: not found")
        elif p.name == "type":
            yield encode(f"{name} is a shell builtin\n")
        else:
            yield encode(f"/usr/bin/{name}\n")


async def command(p: Process) -> AsyncGenerator[bytes, None]:
    """`command -v name`, by which scripts ask what there is."""
    from portyard.ssh.core.commands import COMMANDS

    found, names = p.options("vV")
    if not found:
        raise UsageError("only -v is supported")
    for name in names:
        if name in COMMANDS:
            yield encode(name + "\n")
        else:
            p.status = 1


async def help_(p: Process) -> AsyncGenerator[bytes, None]:
    """Say what there is."""
    from portyard.ssh.core.commands import COMMANDS

    yield b"An emulated shell on this account's own files. Commands:\n"
    line = ""
    for name in sorted(COMMANDS):
        if len(line) + len(name) > 76:
            yield encode(line + "\n")
            line = ""
        line += f"  {name}"
    yield encode(line + "\n")


COMMANDS = {
    ":": true,
    "cd": cd,
    "command": command,
    "echo": echo,
    "env": env,
    "exit": exit_,
    "export": export,
    "false": false,
    "help": help_,
    "logout": exit_,
    "printenv": env,
    "printf": printf,
    "pwd": pwd,
    "sleep": sleep,
    "true": true,
    "type": which,
    "unset": unset,
    "which": which,
}
