"""`portyard tail`: follow sessions as they speak."""

from __future__ import annotations

import http.client
import json
import sys
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import urlencode

import typer
from rich.text import Text

from portyard.cli import completion
from portyard.cli.link import DEFAULT, Link, SandboxName, Url, linked, query
from portyard.cli.screen import errors, fail, printable, screen
from portyard.cli.sessions import whole_id
from portyard.commons.talk.print import told_value
from portyard.testing.control import ControlError

Pattern = Annotated[
    str | None, typer.Option("--text", metavar="PATTERN", help="Only with this text, glob, or /regular expression/.")
]
SILENCE_S = 60.0  # the stream gives a sign of life every 15 seconds
POLL_S = 30.0  # how long one wait may last where there is no stream
_COLOURS = ("cyan", "magenta", "yellow", "blue", "green", "bright_cyan", "bright_magenta", "bright_yellow")
_STYLES = {"fault": "bold yellow", "error": "bold red", "auth": "green", "tls": "dim", "opened": "dim", "closed": "dim"}
_SHOWN = 8  # the last characters of a session's id, which differ between sessions of a run


def tail(
    room: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ROOM",
            help="Only this room: smtp, imap, http …; may be given again.",
            autocompletion=completion.rooms,
        ),
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option(help="Only this kind: command, reply, auth, tls, fault, error …", autocompletion=completion.kinds),
    ] = None,
    session: Annotated[
        str | None, typer.Option(metavar="ID", help="Only this session: its id, how that ends, or last.")
    ] = None,
    text: Pattern = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Begin with what happened since then, such as 2030-01-02T03:04:05Z."),
    ] = None,
    count: Annotated[int | None, typer.Option(min=1, help="End after so many events.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object a line.")] = False,
    sandbox: SandboxName = DEFAULT,
    url: Url = None,
) -> None:
    """Follow sessions as they speak: a line for each event, until ^C. Colours only on a terminal."""
    try:
        with linked(url) as link:
            wanted = None if session is None else whole_id(link, sandbox, session)
            rooms = frozenset(room or ())
            only = next(iter(rooms)) if len(rooms) == 1 else None  # the stream knows one or all
            filters = query(room=only, kind=kind, session=wanted, text=text, since=since)
            for each in rooms if only is None else ():
                link.control.get(
                    f"{link.path(sandbox)}/sessions", room=each, limit=1
                )  # a room that isn't there is told
            _follow(link, sandbox, filters, rooms, count, as_json=as_json)
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


def _follow(
    link: Link, sandbox: str, filters: dict[str, Any], rooms: frozenset[str], count: int | None, *, as_json: bool
) -> None:
    link.control.get(link.path(sandbox))  # a sandbox that isn't there is told from a stream that isn't
    printer = Printer()
    left = count
    for event in _events(link, sandbox, filters):
        if rooms and event["room"] not in rooms:
            continue
        if as_json:
            sys.stdout.write(json.dumps(event, ensure_ascii=False) + "\n")
            sys.stdout.flush()
        else:
            printer.show(event)
        left = None if left is None else left - 1
        if left == 0:
            return
    fail("the testbed ended the stream; see: portyard status")


def _events(link: Link, sandbox: str, filters: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The events as they come: by the stream, or by waiting again and again where there is none."""
    try:
        yield from _streamed(link, sandbox, filters)
    except ControlError as error:
        if error.status not in (404, 405, 501):
            raise
        yield from _polled(link, sandbox, filters)


def _streamed(link: Link, sandbox: str, filters: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Server-sent events (WHATWG HTML §9.2), as the console writes them: one data line each."""
    connection = http.client.HTTPConnection(link.control.host, link.control.port, timeout=SILENCE_S)
    headers = {"Accept": "text/event-stream"}
    if link.settings.token:
        headers["Authorization"] = f"Bearer {link.settings.token}"
    try:
        connection.request("GET", f"/api/v1/{link.path(sandbox)}/events/stream?{urlencode(filters)}", headers=headers)
        answer = connection.getresponse()
        if answer.status != 200:
            raise ControlError(answer.status, _problem(answer.read()))
        for line in answer:
            if line.startswith(b"data:"):
                yield json.loads(line[5:])
            elif line == b": events follow\n":
                _begun(sandbox, link)
    finally:
        connection.close()


def _polled(link: Link, sandbox: str, filters: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Wait for one more event than is known of the last one's moment: several may share it."""
    since = filters.get("since") or link.control.get(f"{link.path(sandbox)}/clock")["machine"]
    seen: set[str] = set()
    _begun(sandbox, link)
    while True:
        wanted = {**filters, "since": since, "count": min(len(seen) + 1, 1000), "timeout": POLL_S}
        answer = link.control.get(f"{link.path(sandbox)}/events/wait", timeout_s=POLL_S, **wanted)
        fresh = [event for event in answer["events"] if event["id"] not in seen]
        yield from fresh
        if fresh:
            since = max(event["at"] for event in fresh)
            seen = {event["id"] for event in answer["events"] if event["at"] == since}


def _begun(sandbox: str, link: Link) -> None:
    errors.print(Text(f"following sandbox {sandbox} at {link.url}, ^C ends", style="dim"), soft_wrap=True)


def _problem(octets: bytes) -> dict[str, Any]:
    try:
        found = json.loads(octets)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


class Printer:
    """Prints events, each session in a colour of its own."""

    def __init__(self) -> None:
        self._colours: dict[str, str] = {}

    def show(self, event: dict[str, Any]) -> None:
        """Print an event: a line for each line that was said."""
        at = datetime.fromisoformat(event["at"]).astimezone().strftime("%H:%M:%S.%f")[:-3]
        colour = self._colours.setdefault(event["session"], _COLOURS[len(self._colours) % len(_COLOURS)])
        service = event["service"] if event["service"] == event["room"] else f"{event['room']}/{event['service']}"
        for mark, line in lines_of(event):
            style = {"C:": "bold", "S:": ""}.get(mark, _STYLES.get(event["kind"], "dim"))
            front = Text.assemble((at, "dim"), " ", (f"{service:9} {event['session'][-_SHOWN:]}", colour))
            screen.print(Text.assemble(front, " ", (f"{mark:2} ", colour), (line, style)), soft_wrap=True)
        sys.stdout.flush()


def lines_of(event: dict[str, Any]) -> list[tuple[str, str]]:
    """What an event says, line by line, each with who says it: `C:`, `S:`, or `--` for what nobody said."""
    fields, kind = event["fields"], event["kind"]
    text = str(fields.get("text", ""))
    match kind:
        case "command":
            return [("C:", printable(line)) for line in _split(text)]
        case "reply" | "greeting":
            mark = "C:" if fields.get("role") == "client" else "S:"
            return [(mark, printable(line)) for line in _split(text)]
        case "data" if fields.get("direction") in ("in", "out"):
            told = text or f"({fields.get('octets')} octets)"
            return [("C:" if fields["direction"] == "in" else "S:", printable(told.replace("\n", "\\n")))]
    plain = {
        name: value for name, value in fields.items() if not isinstance(value, list | dict | None) or name == "does"
    }
    words = ((name, told_value(value)) for name, value in plain.items())
    told = " ".join(f"{name}={word}" for name, word in words if word)
    return [("--", printable(f"{kind} {told}".replace("\n", "\\n")).strip())]


def _split(text: str) -> list[str]:
    return text.replace("\r\n", "\n").split("\n")
