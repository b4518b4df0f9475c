"""`portyard export`: the journal and the mail in other people's formats."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated
from urllib.parse import urlencode

import typer

from portyard.cli import completion
from portyard.cli.engines import CommandError, MistakeError
from portyard.cli.link import DEFAULT, Link, SandboxName, Url, linked, query
from portyard.cli.screen import deliver
from portyard.cli.sessions import LAST, whole_id
from portyard.rooms import ROOMS

EXCHANGES = ("http", "websocket")  # the rooms whose sessions a HAR can hold


class Format(StrEnum):
    """What can be written."""

    TALK = "talk"
    TEST = "test"
    JSONL = "jsonl"
    HAR = "har"
    PCAPNG = "pcapng"
    MBOX = "mbox"


Sessions = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="SESSION",
        help="Their ids or how those end, or last for the newest; all of the sandbox's when none is named.",
        show_default=False,
    ),
]
Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FILE", help="A file; its ending says the format where --format doesn't."),
]


def export(
    sessions: Sessions = None,
    form: Annotated[
        Format | None,
        typer.Option(
            "--format",
            "-f",
            help="talk: a transcript; test: one that runs again; jsonl: events; har: HTTP and WebSocket; "
            "pcapng: packets, decrypted; mbox: messages. (default: talk)",
            show_default=False,
        ),
    ] = None,
    output: Output = None,
    room: Annotated[
        str | None, typer.Option(help="Only sessions of this room.", autocompletion=completion.rooms)
    ] = None,
    sandbox: SandboxName = DEFAULT,
    url: Url = None,
) -> None:
    """Write sessions down as a talk, JSON lines, HAR or packets, or the messages as an mbox."""
    with linked(url) as link:
        wanted = form or _by_name(output)
        if wanted is Format.MBOX:
            if sessions or room:
                raise MistakeError("an mbox holds messages, not sessions; leave the session and --room out")
            octets = link.control.raw(f"{link.path(sandbox)}/messages/export")
        else:
            octets = _written(link, sandbox, sessions or [], room, wanted)
        deliver(octets, output, binary=wanted is Format.PCAPNG)


def _by_name(output: Path | None) -> Format:
    ending = output.suffix.removeprefix(".") if output is not None else ""
    if ending in ("", *Format):
        return Format(ending) if ending else Format.TALK
    raise MistakeError(f"{output}: no format is called {ending}; give --format: {', '.join(Format)}")


def _written(link: Link, sandbox: str, named: list[str], room: str | None, form: Format) -> bytes:
    for each in named:
        if option := "format" if each in list(Format) else "room" if each in ROOMS else None:
            raise MistakeError(f"{each} is no session's id; give --{option} {each}")
    ids = None if named in ([], [LAST]) else ",".join(whole_id(link, sandbox, each) for each in named)
    if ids is None:
        rooms = [room] if room is not None else list(EXCHANGES) if form is Format.HAR else [None]
        if not any(link.control.get(f"{link.path(sandbox)}/sessions", room=each, limit=1) for each in rooms):
            of = f" of {room}" if room else " of http or websocket" if form is Format.HAR else ""
            raise CommandError(f"sandbox {sandbox} has no session{of} yet; see: portyard tail")
    asked = query(format=form.value, session=ids, room=room, limit=1 if named == [LAST] else None)
    return link.control.raw(f"{link.path(sandbox)}/export?{urlencode(asked)}")
