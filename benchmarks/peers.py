"""The servers that we are measured beside: installed into `.portyard/bench`, never into the system; they listen on loopback only."""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.processes import HOME, HOST, ROOT, BenchmarkError, Program, free_port

INSTALL_S = 300.0


@dataclass(frozen=True, slots=True)
class Peer:
    """An installed peer.

    Attributes:
        name: What the table calls it.
        version: Of it.
        command: Makes its command line from a port and a folder of its own.
        recipient: Somebody for whom it takes mail.
        environment: What it needs beside ours.
    """

    name: str
    version: str
    command: Callable[[int, Path], list[str]]
    recipient: str = "bob@portyard.test"
    environment: Mapping[str, str] = field(default_factory=dict)

    def start(self, folder: Path) -> tuple[Program, int]:
        """Start it; the program and its port.

        Raises:
            BenchmarkError: It doesn't start.
        """
        port = free_port()
        own = folder / self.name.replace(" ", "-")
        own.mkdir()
        program = Program(self.name, self.command(port, own), own, self.environment)
        try:
            program.wait_for_port(port)
        except BenchmarkError:
            program.stop()
            raise
        return program, port


@dataclass(frozen=True, slots=True)
class Missing:
    """A peer that can't be had."""

    name: str
    why: str


def peers() -> list[Peer | Missing]:
    """Every peer, installed where it wasn't."""
    makers: dict[str, Callable[[], Peer]] = {
        "aiosmtpd alone": _aiosmtpd,
        "mail-devel": _mail_devel,
        "MailDev 2": _maildev,
        "Postfix smtp-sink": _smtp_sink,
    }
    found: list[Peer | Missing] = []
    for name, make in makers.items():
        try:
            found.append(make())
        except (BenchmarkError, OSError, ValueError, subprocess.SubprocessError) as error:
            found.append(Missing(name, " ".join(str(error).split())[:200]))
    return found


def _aiosmtpd() -> Peer:
    return Peer(
        "aiosmtpd alone",
        importlib.metadata.version("aiosmtpd"),
        lambda port, folder: [sys.executable, "-m", "benchmarks.dropping", str(port)],
        environment={"PYTHONPATH": str(ROOT)},
    )


def _mail_devel() -> Peer:
    folder = HOME / "mail-devel"
    program = folder / "bin" / "mail_devel"
    if not program.exists():
        _install([sys.executable, "-m", "venv", "--clear", str(folder)])
        _install([str(folder / "bin" / "pip"), "install", "--quiet", "mail-devel"])
    version = _output([str(program), "--version"]).split()[-1]

    def command(port: int, own: Path) -> list[str]:
        ports = ["--smtp-port", str(port), "--imap-port", str(free_port()), "--smtps-port", str(free_port())]
        return [str(program), "--host", HOST, *ports, "--no-http", "--password", "secret"]

    return Peer("mail-devel", version, command, "test@example.org")


def _maildev() -> Peer:
    package = HOME / "maildev" / "node_modules" / "maildev"
    node = shutil.which("node")
    if node is None:
        raise BenchmarkError("there is no Node")
    if not package.exists():
        npm = shutil.which("npm")
        if npm is None:
            raise BenchmarkError("there is no npm")
        package.parents[1].mkdir(parents=True, exist_ok=True)
        _install(
            [npm, "install", "--prefix", str(package.parents[1]), "--silent", "--no-audit", "--no-fund", "maildev@2"]
        )
    version = str(json.loads((package / "package.json").read_text())["version"])

    def command(port: int, own: Path) -> list[str]:
        places = ["--smtp", str(port), "--web", str(free_port()), "--ip", HOST, "--web-ip", HOST]
        return [node, str(package / "bin" / "maildev"), "--silent", *places, "--mail-directory", str(own / "mail")]

    return Peer("MailDev 2", version, command)


def _smtp_sink() -> Peer:
    """Unpacked from its package: Postfix itself is neither configured nor started."""
    program, libraries = shutil.which("smtp-sink", path=f"{os.environ.get('PATH', '')}:/usr/sbin"), ""
    version = "as installed"
    if program is None:
        folder = HOME / "postfix"
        if not (folder / "x" / "usr" / "sbin" / "smtp-sink").exists():
            _unpack_postfix(folder)
        program, libraries = str(folder / "x" / "usr" / "sbin" / "smtp-sink"), str(folder / "x" / "usr/lib/postfix")
        version = _output(["dpkg-deb", "-f", str(next(folder.glob("postfix_*.deb"))), "Version"]).strip()
    environment = {"LD_LIBRARY_PATH": libraries} if libraries else {}
    sink = program
    account = ["-u", "root"] if os.geteuid() == 0 else []
    return Peer(
        "Postfix smtp-sink",
        version,
        lambda port, own: [sink, *account, f"{HOST}:{port}", "1024"],
        environment=environment,
    )


def _unpack_postfix(folder: Path) -> None:
    if shutil.which("apt-get") is None:
        raise BenchmarkError("smtp-sink is not on PATH, and there is no apt-get to fetch its package")
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("postfix_*.deb"):
        old.unlink()
    _install(["apt-get", "download", "-q", "postfix"], folder)
    _install(["dpkg-deb", "-x", str(next(folder.glob("postfix_*.deb"))), str(folder / "x")])


def _install(command: list[str], folder: Path | None = None) -> None:
    HOME.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        command, cwd=folder or HOME, capture_output=True, text=True, check=False, timeout=INSTALL_S, env=os.environ
    )
    if done.returncode:
        lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise BenchmarkError(f"{Path(command[0]).name} {command[1]}: {lines[-1] if lines else done.returncode}")


def _output(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60.0)
    return done.stdout or done.stderr
