"""The command line."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.status import Status
from rich.table import Table

from portyard.cli.docker import save_ca
from portyard.cli.engines import CommandError, Engine, choose, current, engine_of, home
from portyard.commons.directory import Endpoint
from portyard.commons.settings import SettingError, Settings, load
from portyard.rooms import cards

app = typer.Typer(
    name="portyard",
    help="A yard full of ports: complete protocol servers to point real clients at.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
)
WIDE = 140  # columns of a table that goes to a file or a pipe
_screen = Console(width=None if sys.stdout.isatty() else WIDE)
_errors = Console(stderr=True, width=None if sys.stderr.isatty() else WIDE)


def _settings() -> Settings:
    try:
        return load()
    except SettingError as error:
        _fail(error, 2)


def _fail(error: Exception, status: int = 1) -> NoReturn:
    _errors.print(f"portyard: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(status)


@app.command()
def up() -> None:
    """Start the testbed, wait until every service is ready, and print where it is. Again: print it again."""
    settings = _settings()
    try:
        engine = _running_or_none(settings)
        if engine is None:
            choice = choose()
            _screen.print(f"engine: [bold]{choice.name}[/] ({choice.why})", highlight=False)
            engine = engine_of(choice.name, settings)
            home().mkdir(exist_ok=True)
            (home() / "engine").write_text(f"{choice.name}\n")
        else:
            _screen.print("it runs already", highlight=False)
        _wait(engine)
        _show(engine, settings)
    except CommandError as error:
        _fail(error)


def _running_or_none(settings: Settings) -> Engine | None:
    try:
        return current(settings)
    except CommandError:
        return None


def _wait(engine: Engine) -> None:
    """Progress on a terminal is one line that changes; elsewhere one line for each step."""
    last = ""

    def plainly(waiting: str, ready: int, every: int) -> None:
        nonlocal last
        line = f"{ready} of {every} ready" + (f", waiting for {waiting}" if waiting else "")
        if line != last:
            last = line
            _errors.print(line, highlight=False)

    if not _errors.is_terminal:
        engine.up(plainly)
        return
    with Status("starting", console=_errors) as status:
        engine.up(
            lambda waiting, ready, every: status.update(f"{ready} of {every} ready, waiting for {waiting or 'nobody'}")
        )


def _show(engine: Engine, settings: Settings) -> None:
    _screen.print(_table(engine.endpoints()))
    for account in settings.accounts:
        _screen.print(f"account   {account.address}  password {account.password}", highlight=False)
    path = save_ca(engine.ca_pem())
    _screen.print(f"CA        {path}   (curl --cacert, openssl -CAfile …)", highlight=False, soft_wrap=True)


def _table(endpoints: list[Endpoint]) -> Table:
    """One row a port, in the rooms' order; only the summary gives way where the screen is narrow."""
    order = {service.name: place for place, service in enumerate(s for card in cards() for s in card.services)}
    notes = {"none": "-", "upgrade": "upgrade", "implicit": "implicit"}
    rows = [
        (
            endpoint.service,
            endpoint.port,
            f"{endpoint.host}:{endpoint.host_number}",
            notes[endpoint.tls],
            endpoint.summary,
        )
        for endpoint in sorted(endpoints, key=lambda endpoint: order.get(endpoint.service, len(order)))
    ]
    titles = ("service", "port", "address", "TLS", "")
    table = Table(box=None, pad_edge=False, header_style="bold")
    left = _screen.width - 2 * len(titles)
    for column, title in enumerate(titles[:-1]):
        width = max(len(title), *(len(row[column]) for row in rows)) if rows else len(title)
        left -= width
        table.add_column(title, no_wrap=True, min_width=width)
    table.add_column("", no_wrap=True, overflow="ellipsis", width=max(left, 1))
    last = ""
    for row in rows:
        table.add_row(row[0] if row[0] != last else "", *row[1:4], row[4] if row[0] != last else "")
        last = row[0]
    return table


@app.command()
def down() -> None:
    """Stop the testbed. Its state stays."""
    settings = _settings()
    _guarded(lambda: _stop(settings))


def _stop(settings: Settings) -> None:
    engine = _running_or_none(settings)
    stopped = engine.down() if engine is not None else False
    _screen.print("stopped" if stopped else "nothing runs here", highlight=False)


@app.command()
def status() -> None:
    """Say which services are ready; exit status 1 when one isn't."""
    settings = _settings()
    health: dict[str, bool] = {}

    def ask() -> None:
        health.update(current(settings).health())

    _guarded(ask)
    for name, ready in health.items():
        _screen.print(f"{name:10} {'[green]ready[/]' if ready else '[red]not ready[/]'}", highlight=False)
    if not all(health.values()):
        raise typer.Exit(1)


@app.command()
def endpoints(
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for scripts.")] = False,
) -> None:
    """Print where each service is."""
    settings = _settings()
    found: list[Endpoint] = []
    _guarded(lambda: found.extend(current(settings).endpoints()))
    if as_json:
        import json

        from portyard.commons.directory import entry_fields

        sys.stdout.write(json.dumps([entry_fields(endpoint) for endpoint in found], indent=2) + "\n")
    else:
        _screen.print(_table(found))


@app.command()
def ca(
    path: Annotated[bool, typer.Option("--path", help="Print the path of a file that holds it instead.")] = False,
) -> None:
    """Print the CA's certificate, to verify the testbed's servers with."""
    settings = _settings()
    pem = b""

    def ask() -> None:
        nonlocal pem
        pem = current(settings).ca_pem()

    _guarded(ask)
    sys.stdout.write(f"{save_ca(pem)}\n" if path else pem.decode())


@app.command(context_settings={"allow_extra_args": True})
def serve(
    rooms: Annotated[
        list[str] | None, typer.Argument(help="Rooms or services; all of them when none is named.")
    ] = None,
) -> None:
    """Run rooms in this process, in the foreground, until told to stop."""
    from portyard.cli.serve import serve as run

    raise typer.Exit(run(rooms or []))


def _guarded(work: Callable[[], None]) -> None:
    try:
        work()
    except CommandError as error:
        _fail(error)
