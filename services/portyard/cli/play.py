"""`portyard play`: be the client of a talk, in the testbed or against any other server."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from portyard.cli.engines import CommandError, MistakeError
from portyard.cli.letters import password_of
from portyard.cli.link import Url, linked
from portyard.cli.screen import fail, printable, say, screen
from portyard.commons.talk.model import Talk, TalkError
from portyard.testing import talks

_PORTS = {"ftp": ("ftp", "ftps"), "imap": ("imap", "imaps"), "pop3": ("pop3", "pop3s"), "smtp": ("smtp", "submissions")}
"""Where a talk that doesn't say is had: in plaintext, and in TLS from the first octet."""

TalkFile = Annotated[
    str, typer.Argument(metavar="TALK", help="What `portyard export --format test` wrote; - reads standard input.")
]


def play(
    talk: TalkFile,
    to: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Any server instead of the testbed's.", show_default=False),
    ] = None,
    login: Annotated[
        str | None,
        typer.Option(metavar="ACCOUNT", help="What $user stands for. (default: who logged in)", show_default=False),
    ] = None,
    password: Annotated[
        str | None,
        typer.Option(
            help="What $password stands for. (default: the one that this folder's settings give the account)",
            show_default=False,
        ),
    ] = None,
    ca: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="Who vouches for the server --to. (default: whom this machine trusts)",
            show_default=False,
        ),
    ] = None,
    timeout: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.1, help="How long a line may take.")
    ] = talks.TIMEOUT_S,
    url: Url = None,
) -> None:
    """Have a session again that the journal printed: be its client, and say where the server answers differently."""
    with _mistakes_in_a_line(talk, to):
        told = talks.read(typer.get_text_stream("stdin").read() + "\n" if talk == "-" else Path(talk))
        server = _elsewhere(to, ca, timeout) if to is not None else _here(told, url, timeout)
        values = _values(told, login, password, url, elsewhere=to is not None)
        heard = talks.play(told, server, values, _show)
    say(f"{heard} lines of the server's, each as the talk has it")


@contextlib.contextmanager
def _mistakes_in_a_line(talk: str, to: str | None) -> Iterator[None]:
    try:
        yield
    except talks.TalkFailure as failure:
        fail(str(failure).partition("\nso far:")[0])
    except UnicodeDecodeError:
        fail(f"{talk}: this is no text", 2)
    except TalkError as error:
        fail(error, 2)
    except CommandError as error:
        fail(error, error.status)
    except OSError as error:
        fail(f"{error.filename or to or 'the testbed'}: {error.strerror or error}", 2 if error.filename else 1)


def _show(who: str, text: str) -> None:
    colour = "bold" if who.endswith(("C", "C~")) else ""
    screen.print(Text.assemble((f"{who}: ", "dim"), (printable(text), colour)), soft_wrap=True)


def _elsewhere(to: str, ca: Path | None, timeout_s: float) -> talks.Server:
    host, colon, port = to.rpartition(":")
    if not colon or not host or not (port.isascii() and port.isdecimal() and 0 < int(port) < 1 << 16):
        raise MistakeError(f"--to {to}: expected HOST:PORT, such as mail.example.org:143")
    try:
        context = ssl.create_default_context(cafile=ca)
    except ssl.SSLError:
        raise MistakeError(f"--ca {ca}: expected certificates in PEM") from None
    return talks.Server(host.strip("[]"), int(port), context, timeout_s)


def _here(talk: Talk, url: str | None, timeout_s: float) -> talks.Server:
    port = talk.headers.get("port") or _PORTS[talk.room][talks.starts_with_tls(talk)]
    with linked(url) as link:
        for endpoint in link.control.get("endpoints"):
            if endpoint["port"] == port:
                context = ssl.create_default_context(cadata=link.control.raw("ca.pem").decode())
                return talks.Server(endpoint["host"], endpoint["host_number"], context, timeout_s)
    raise CommandError(f"the testbed has no port {port}; see: portyard status")


def _values(talk: Talk, login: str | None, password: str | None, url: str | None, *, elsewhere: bool) -> dict[str, str]:
    """What the talk's variables stand for, as far as it needs them."""
    login = login or talk.headers.get("account")
    if login is None:
        return {}
    if password is None and not elsewhere and any("$p" in line.text for line in talk.lines):
        with linked(url) as link:
            password = password_of(link, login)
    return talks.values_of(login, password) if password is not None else {"user": login}
