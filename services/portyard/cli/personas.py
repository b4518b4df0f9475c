"""`portyard personas`: the kinds of server that rooms can be."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any

import typer

from portyard.cli import completion
from portyard.cli.engines import MistakeError
from portyard.cli.flags import Commands
from portyard.cli.link import CREATE, DELETE, AsJson, Url, examples, goes_on, linked, named
from portyard.cli.screen import say, table, write_json
from portyard.commons.given_twice import GivenTwiceError, read_json, twice_in_toml
from portyard.testing.control import segment

app = Commands(
    invoke_without_command=True,
    help="List the personas; or bring one of your own, show one, remove one.",
    epilog=examples(
        "portyard personas",
        "portyard personas show imap gmail",
        "portyard personas create imap mine.toml",
        'portyard rules create --on imap.connect --then \'{"persona": "gmail"}\'',
    ),
)
Room = Annotated[
    str, typer.Argument(metavar="ROOM", help="smtp, pop3, imap, ftp or ssh.", autocompletion=completion.dressed)
]
Name = Annotated[str, typer.Argument(metavar="NAME", help="The persona's.", autocompletion=completion.personas)]


@app.callback()
def listed(
    context: typer.Context,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """List the personas; or bring one of your own, show one, remove one."""
    if goes_on(context, url):
        return
    with linked(url) as link:
        found = link.control.get("personas")
    if as_json:
        write_json(found)
        return
    rows = [(each["room"], each["name"], "" if each["builtin"] else "yours", each["summary"]) for each in found]
    table(("room", "name", "", "summary"), rows, giving="summary")


@app.command(epilog=examples("portyard personas show imap gmail"))
def show(context: typer.Context, room: Room, name: Name, url: Url = None) -> None:
    """Show all that a persona says, as JSON: a good start for one of your own."""
    with linked(url or context.obj) as link:
        found = link.control.get(_path(room, name))
    write_json(found["keys"])


@named(
    app,
    *CREATE,
    epilog=examples("portyard personas create imap mine.toml", "portyard personas create pop3 old.json --name older"),
)
def create(
    context: typer.Context,
    room: Room,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="TOML, or JSON where its name ends in .json.")],
    name: Annotated[str | None, typer.Option(help="Its name; else the one in the file, or the file's own.")] = None,
    url: Url = None,
) -> None:
    """Bring a persona, or put another in its place: connections that come from now on may meet it."""
    with linked(url or context.obj) as link:
        values = _read(file)
        called = name or str(values.get("name", file.stem))
        made = link.control.put(_path(room, called), values | {"name": called})
    say(f"persona {made['name']} of {made['room']}: in force")


@named(app, *DELETE, epilog=examples("portyard personas delete imap mine"))
def delete(context: typer.Context, room: Room, name: Name, url: Url = None) -> None:
    """Take away a persona that you brought."""
    with linked(url or context.obj) as link:
        link.control.delete(_path(room, name))
    say(f"persona {name} of {room}: deleted")


def _path(room: str, name: str) -> str:
    return f"personas/{segment(room)}/{segment(name)}"


def _read(file: Path) -> dict[str, Any]:
    text = ""
    try:
        text = file.read_text()
        values = read_json(text) if file.suffix == ".json" else tomllib.loads(text)
    except OSError as error:
        raise MistakeError(f"{file}: {error.strerror}") from None
    except GivenTwiceError as error:
        raise MistakeError(f"{file}: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise MistakeError(f"{file}: {twice_in_toml(text) or f'not TOML: {error}'}") from None
    except (ValueError, RecursionError) as error:
        raise MistakeError(f"{file}: not {'JSON' if file.suffix == '.json' else 'TOML'}: {error}") from None
    if not isinstance(values, dict):
        raise MistakeError(f"{file}: not a table")
    return values
