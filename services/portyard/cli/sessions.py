"""`portyard sessions`: who spoke with the testbed, and the ids by which `tail` and `export` know them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import typer

from portyard.cli import completion
from portyard.cli.engines import CommandError
from portyard.cli.link import DEFAULT, AsJson, Link, SandboxName, Url, linked
from portyard.cli.screen import errors, moment, table, write_json

LAST = "last"
ID = 24  # hexadecimal digits of a whole id
_SOME = 1000  # sessions of one page of the API


def sessions(
    room: Annotated[
        str | None, typer.Option(help="Only this room: smtp, imap, http …", autocompletion=completion.rooms)
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=_SOME, help="How many at most.")] = 50,
    as_json: AsJson = False,
    sandbox: SandboxName = DEFAULT,
    url: Url = None,
) -> None:
    """List the sessions, newest first: with which service, from where, as whom, and for how long."""
    with linked(url) as link:
        found = link.control.get(f"{link.path(sandbox)}/sessions", room=room, limit=limit)
    if as_json:
        write_json(found)
    elif found:
        rows = [
            (each["id"], _service(each), moment(each["opened_at"]), _lasted(each), each["peer"], each["account"] or "-")
            for each in found
        ]
        table(("id", "service", "opened", "seconds", "peer", "account"), rows, giving="account", right=("seconds",))
    else:
        errors.print("no sessions")


def whole_id(link: Link, sandbox: str, told: str) -> str:
    """A session's id, for what a user says of it: the id, its last digits as `portyard tail` shows them, or `last`.

    Raises:
        CommandError: None of the newest sessions ends so, or several do.
    """
    if told != LAST and len(told) >= ID:
        return told
    newest = link.control.get(f"{link.path(sandbox)}/sessions", limit=1 if told == LAST else _SOME)
    fitting = [each["id"] for each in newest if told == LAST or each["id"].endswith(told)]
    if len(fitting) == 1:
        return str(fitting[0])
    if told == LAST:
        raise CommandError(f"sandbox {sandbox} has no session yet; see: portyard tail")
    among = f"several sessions' ids end with {told}" if fitting else f"no session {told}"
    raise CommandError(f"{among} in sandbox {sandbox}; see: portyard sessions")


def _service(session: dict[str, Any]) -> str:
    room, service = str(session["room"]), str(session["service"])
    return room if room == service else f"{room}/{service}"


def _lasted(session: dict[str, Any]) -> str:
    if session["closed_at"] is None:
        return "open"
    opened, closed = (datetime.fromisoformat(session[name]) for name in ("opened_at", "closed_at"))
    return f"{(closed - opened).total_seconds():.3f}"
