"""`portyard export`: the journal and the mail in other people's formats."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode

import typer

from portyard.cli.engines import CommandError
from portyard.cli.link import DEFAULT, Link, SandboxName, Url, linked, query
from portyard.cli.screen import deliver

PAGE = 1000  # sessions of one look at the list
EXCHANGES = ("http", "websocket")  # the rooms whose sessions a HAR can hold
LAST = "last"


class Format(StrEnum):
    """What can be written."""

    TALK = "talk"
    JSONL = "jsonl"
    HAR = "har"
    PCAPNG = "pcapng"
    MBOX = "mbox"


Sessions = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="SESSION",
        help="Their ids, or last for the newest; all of the sandbox's when none is named.",
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
            help="talk: a transcript; jsonl: events; har: HTTP and WebSocket; pcapng: packets, decrypted; mbox: messages. [default: talk]",
            show_default=False,
        ),
    ] = None,
    output: Output = None,
    room: Annotated[str | None, typer.Option(help="Only sessions of this room.")] = None,
    sandbox: SandboxName = DEFAULT,
    url: Url = None,
) -> None:
    """Write sessions down as a talk, JSON lines, HAR or packets, or the messages as an mbox."""
    with linked(url) as link:
        wanted = form or _by_name(output)
        if wanted is Format.MBOX:
            if sessions or room:
                raise CommandError("an mbox holds messages, not sessions; leave the session and --room out")
            octets = link.control.raw(f"{link.path(sandbox)}/messages/export")
        else:
            ids = _chosen(link, sandbox, sessions or [], room, wanted)
            octets = _written(link, sandbox, ids, wanted)
        deliver(octets, output, binary=wanted is Format.PCAPNG)


def _by_name(output: Path | None) -> Format:
    ending = output.suffix.removeprefix(".") if output is not None else ""
    if ending in ("", *Format):
        return Format(ending) if ending else Format.TALK
    raise CommandError(f"{output}: no format is called {ending}; give --format: {', '.join(Format)}")


def _chosen(link: Link, sandbox: str, named: list[str], room: str | None, form: Format) -> list[str]:
    """The sessions' ids, oldest first."""
    if named and named != [LAST]:
        return named
    rooms = [room] if room is not None else list(EXCHANGES) if form is Format.HAR else [None]
    found = sorted(identity for each in rooms for identity in _ids(link, sandbox, each, most=1 if named else None))
    if not found:
        of = f" of {room}" if room else " of http or websocket" if form is Format.HAR else ""
        raise CommandError(f"sandbox {sandbox} has no session{of} yet; see: portyard tail")
    return found[-1:] if named else found


def _ids(link: Link, sandbox: str, room: str | None, most: int | None) -> list[str]:
    found: list[str] = []
    while True:
        before = found[-1] if found else None
        some = link.control.get(f"{link.path(sandbox)}/sessions", room=room, limit=most or PAGE, before=before)
        found += [session["id"] for session in some]
        if most is not None or len(some) < PAGE:
            return found


def _written(link: Link, sandbox: str, ids: list[str], form: Format) -> bytes:
    if form is Format.PCAPNG:
        from portyard.cli.captures import capture

        return capture([link.control.get(link.path(sandbox, "sessions", each)) for each in ids])
    each_written = [
        link.control.raw(f"{link.path(sandbox, 'sessions', each)}/export?{urlencode(query(format=form.value))}")
        for each in ids
    ]
    if form is Format.HAR:
        return _merged(each_written)
    return (b"\n" if form is Format.TALK else b"").join(each_written)


def _merged(archives: list[bytes]) -> bytes:
    """Several archives as one, the exchanges by their time."""
    if len(archives) == 1:
        return archives[0]
    read: list[dict[str, Any]] = [json.loads(archive) for archive in archives]
    entries = [entry for archive in read for entry in archive["log"]["entries"]]
    entries.sort(key=lambda entry: str(entry["startedDateTime"]))
    log = {**read[-1]["log"], "entries": entries, "comment": f"{len(read)} sessions"}
    return json.dumps({"log": log}, ensure_ascii=False).encode()
