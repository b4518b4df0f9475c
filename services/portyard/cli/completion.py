"""`portyard completion`: the script by which a shell completes commands, options and what they take."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Annotated
from urllib.parse import quote

import typer
from typer.completion import get_completion_script  # type: ignore[attr-defined]  # told in its own documentation

VARIABLE = "_PORTYARD_COMPLETE"  # as typer looks for it


class Shell(StrEnum):
    """A shell that we have a script for."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def completion(shell: Annotated[Shell, typer.Argument(help="bash, zsh or fish.")]) -> None:
    """Print the script that makes a shell complete portyard's commands, options, rooms, verbs and sandboxes."""
    sys.stdout.write(
        get_completion_script(prog_name="portyard", complete_var=VARIABLE, shell=shell.value).strip() + "\n"
    )


def rooms(incomplete: str) -> list[str]:
    """The rooms."""
    from portyard.rooms import ROOMS

    return _fitting(incomplete, ROOMS)


def services(incomplete: str) -> list[str]:
    """Rooms and services."""
    from portyard.rooms import cards

    return _fitting(
        incomplete, ["all", *(name for card in cards() for name in (card.name, *(each.name for each in card.services)))]
    )


def kinds(incomplete: str) -> list[str]:
    """The kinds of events."""
    from portyard.commons.journal.model import KINDS

    return _fitting(incomplete, KINDS)


def verbs(incomplete: str) -> list[str]:
    """What a rule may listen to: first the room, then its verbs."""
    from portyard.rooms import cards

    room, dot, _ = incomplete.partition(".")
    known = {card.name: card.vocabulary for card in cards() if card.vocabulary is not None}
    if not dot:
        return _fitting(incomplete, [f"{name}." for name in known])
    return _fitting(incomplete, [f"{room}.{verb}" for verb in known[room].verbs] if room in known else [])


def recipes(incomplete: str) -> list[str]:
    """Certificates and demands by name."""
    from portyard.commons.tls.recipes import RECIPES

    return _fitting(incomplete, RECIPES)


def sandboxes(incomplete: str) -> list[str]:
    """The sandboxes of the testbed that runs here; none where none answers."""
    return _fitting(incomplete, _quietly(_sandboxes))


def leasable(incomplete: str) -> list[str]:
    """The services whose listeners a sandbox may lease."""
    from portyard.rooms import cards

    return _fitting(incomplete, (service.name for card in cards() for service in card.services if service.journalled))


def scopes(incomplete: str) -> list[str]:
    """For what a rule may count by itself."""
    return _fitting(incomplete, ("session", "peer", "account"))


def fields(context: typer.Context, incomplete: str) -> list[str]:
    """The fields of the verb that the line has named already."""
    from portyard.rooms import cards

    room, _, verb = str(context.params.get("on") or "").partition(".")
    known = {card.name: card.vocabulary for card in cards() if card.vocabulary is not None}
    if room not in known or verb not in known[room].verbs:
        return []
    return _fitting(incomplete, (f"{field}=" for field in known[room].fields_of(verb)))


def rules(context: typer.Context, incomplete: str) -> list[str]:
    """The rules of the sandbox that the line has named, by name where they have one."""
    sandbox = str(context.params.get("sandbox") or "default")
    asked = _quietly(lambda: _listed(f"sandboxes/{quote(sandbox, safe='')}/rules", "name", "id"))
    return _fitting(incomplete, asked)


def dressed(incomplete: str) -> list[str]:
    """The rooms that have personas."""
    from portyard.rooms import cards

    return _fitting(incomplete, (card.name for card in cards() if card.quirks))


def personas(context: typer.Context, incomplete: str) -> list[str]:
    """The personas of the room that the line has named."""
    room = str(context.params.get("room") or "")
    return _fitting(incomplete, _quietly(lambda: _listed("personas", "name", room=room)))


def _sandboxes() -> list[str]:
    return _listed("sandboxes", "name")


def _listed(path: str, *names: str, **wanted: str) -> list[str]:
    """Of each that a list of the API has, the first of these that isn't empty."""
    from portyard.cli.link import linked

    with linked(os.environ.get("PORTYARD_URL")) as link:
        found = [each for each in link.control.get(path) if all(each[key] == value for key, value in wanted.items())]
    return [next(each[name] for name in names if each[name]) for each in found]


def _quietly(ask: Callable[[], list[str]]) -> list[str]:
    """A shell that completes has no place for complaints."""
    import contextlib
    import io

    with contextlib.redirect_stderr(io.StringIO()), contextlib.suppress(Exception):
        return ask()
    return []


def _fitting(incomplete: str, words: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(word for word in words if word.startswith(incomplete)))
