"""The command line: the testbed's life, and the table of all commands."""

from __future__ import annotations

import contextlib
import http.client
import os
import sys
from collections.abc import Callable
from enum import StrEnum
from itertools import groupby
from pathlib import Path
from typing import Annotated
from urllib.parse import urlencode

import typer
from rich.status import Status
from rich.table import Table

from portyard import __version__
from portyard.cli import completion, export, letters, mail, personas, play, rules, sandboxes, sessions, started, tail
from portyard.cli.docker import save_ca
from portyard.cli.engines import CommandError, Engine, choose, current, engine_of, known, noted
from portyard.cli.flags import Commands
from portyard.cli.link import AsJson, Url, examples, linked, settings_here
from portyard.cli.screen import LEAST, deliver, errors, fail, screen, write_json
from portyard.commons.authority import authority
from portyard.commons.binding import check_numbers
from portyard.commons.directory import Endpoint
from portyard.commons.settings import SettingError, Settings
from portyard.rooms import cards
from portyard.testing.control import Control, ControlError

app = Commands(
    name="portyard",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    epilog=examples(
        "portyard up",
        "portyard send --to alice@portyard.test --subject Hello --attach report.pdf",
        "portyard tail --room smtp",
        "portyard rules create --on smtp.rcpt --refuse '451 4.7.1 try again later' --times 2",
        "portyard export last --output talk.pcapng",
        'portyard --install-completion      (once, for your shell; or: eval "$(portyard completion bash)")',
    ),
)


def _tell_version(asked: bool) -> None:
    if asked:
        sys.stdout.write(f"portyard {__version__}\n")
        raise typer.Exit(0)


@app.callback()
def main(
    _version: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Say which Portyard this is.")
    ] = False,
) -> None:
    """A yard full of ports: complete protocol servers to point real clients at."""


@app.command()
def up() -> None:
    """Start the testbed, wait until every service is ready, and print where it is. Again: print it again."""
    settings = settings_here()
    try:
        engine = _running_or_none(settings)
        if engine is None:
            check_numbers(settings.port_overrides, cards())
            choice = choose()
            screen.print(f"engine: [bold]{choice.name}[/] ({choice.why})", highlight=False)
            engine = engine_of(choice.name, settings)
            started.keep(settings)
        else:
            _tell_that_it_runs(engine, settings)
        with noted(engine):
            _wait(engine)
        _show(engine, settings)
    except (CommandError, SettingError) as error:
        fail(error)


def _running_or_none(settings: Settings) -> Engine | None:
    try:
        return current(settings)
    except CommandError:
        return None


def _tell_that_it_runs(engine: Engine, settings: Settings) -> None:
    """With the settings of its start, whatever they are now; only services that are missing start with today's."""
    forced = os.environ.get("PORTYARD_ENGINE", "")
    other = f" by {engine.name}; make down and make up put PORTYARD_ENGINE={forced} in force"
    screen.print(f"it runs already{other if forced not in ('', engine.name) else ''}", highlight=False, soft_wrap=True)
    changed, other_code = started.changed(settings), started.is_other_code()
    if not changed and not other_code:
        return
    if not all(engine.health().values()):
        started.keep(settings)
        return
    if changed:
        told = f"settings  changed since it started: {', '.join(changed)}; make down and make up put them in force"
        screen.print(told, highlight=False, soft_wrap=True)
    if other_code:
        told = "code      another since it started; make down and make up run it"
        screen.print(told, highlight=False, soft_wrap=True)


def _wait(engine: Engine) -> None:
    """Progress on a terminal is one line that changes; elsewhere one line for each step."""
    last = ""

    def plainly(waiting: str, ready: int, every: int) -> None:
        nonlocal last
        line = f"{ready} of {every} ready" + (f", waiting for {waiting}" if waiting else "")
        if line != last:
            last = line
            errors.print(line, highlight=False)

    if not errors.is_terminal:
        engine.up(plainly)
        return
    with Status("starting", console=errors) as status:
        engine.up(
            lambda waiting, ready, every: status.update(f"{ready} of {every} ready, waiting for {waiting or 'nobody'}")
        )


def _show(engine: Engine, settings: Settings) -> None:
    screen.print(_table(engine.endpoints()))
    for account in settings.accounts:
        screen.print(f"account   {account.address}  password {account.password}", highlight=False)
    path = save_ca(engine.ca_pem())
    screen.print(f"CA        {path}   (curl --cacert, openssl -CAfile …)", highlight=False, soft_wrap=True)
    if count := _rules_of_before(engine, settings):
        what = "1 of before is" if count == 1 else f"{count} of before are"
        screen.print(
            f"rules     {what} in force: portyard rules, portyard rules clear", highlight=False, soft_wrap=True
        )


def _rules_of_before(engine: Engine, settings: Settings) -> int:
    """How many rules a kept state has in `default`: who wonders at a fault looks there first. 0 where nobody says."""
    for endpoint in engine.endpoints():
        if endpoint.port == "console":
            with contextlib.suppress(ControlError, OSError, http.client.HTTPException):
                where = f"http://{authority(endpoint.host, endpoint.host_number)}"
                with contextlib.closing(Control(where, settings.token or None)) as control:
                    return len(control.get("sandboxes/default/rules"))
    return 0


def _table(endpoints: list[Endpoint]) -> Table:
    """One row a port, in the rooms' order, and one for data connections; the summary goes on below where the screen is narrow."""
    order = {service.name: place for place, service in enumerate(s for card in cards() for s in card.services)}
    notes = {"none": "-", "upgrade": "upgrade", "implicit": "implicit"}
    rows = []
    ordered = sorted(endpoints, key=lambda endpoint: order.get(endpoint.service, len(order)))
    for service, its in groupby(ordered, key=lambda endpoint: endpoint.service):
        several = list(its)
        for endpoint in several:
            where = authority(endpoint.host, endpoint.host_number)
            rows.append((service, endpoint.port, where, notes[endpoint.tls], endpoint.summary))
        if passive := several[0].passive_ports:
            rows.append((service, "passive", authority(several[0].host, passive), "-", ""))
    titles = ("service", "port", "address", "TLS", "")
    table = Table(box=None, pad_edge=False, header_style="bold")
    left = screen.width - 2 * len(titles)
    for column, title in enumerate(titles[:-1]):
        width = max(len(title), *(len(row[column]) for row in rows)) if rows else len(title)
        left -= width
        table.add_column(title, no_wrap=True, min_width=width)
    if left >= LEAST:  # a column of fewer would be all height
        table.add_column("", width=left)
    last = ""
    for row in rows:
        cells = (*row[:4], row[4]) if row[0] != last else ("", *row[1:4], "")
        table.add_row(*cells[: len(table.columns)])
        last = row[0]
    return table


@app.command()
def down() -> None:
    """Stop the testbed. Its state stays."""
    settings = settings_here()
    _guarded(lambda: _stop(settings))


def _stop(settings: Settings) -> None:
    done = [did for engine in known(settings) if (did := engine.down())]
    screen.print("; ".join(done) or "nothing runs here", highlight=False)


@app.command()
def status(url: Url = None) -> None:
    """Say which services are ready; exit status 1 when one isn't."""
    health: dict[str, bool] = {}
    if url is not None:
        with linked(url) as link:
            try:
                told = link.control.get("health")
            except ControlError as error:  # 503 with the same body: not all are ready
                told = error.problem
                if "services" not in told:
                    raise
            health = {each["name"]: each["ready"] for each in told["services"]}
    else:
        _guarded(lambda: health.update(current(settings_here()).health()))
    for name, ready in health.items():
        screen.print(f"{name:10} {'[green]ready[/]' if ready else '[red]not ready[/]'}", highlight=False)
    if not all(health.values()):
        raise typer.Exit(1)


@app.command(epilog=examples("portyard endpoints --json"))
def endpoints(
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Print where each service is."""
    found: list[Endpoint] = []
    if url is not None:
        with linked(url) as link:
            found = [Endpoint(**fields) for fields in link.control.get("endpoints")]
    else:
        _guarded(lambda: found.extend(current(settings_here()).endpoints()))
    if as_json:
        from portyard.commons.directory import entry_fields

        write_json([entry_fields(endpoint) for endpoint in found])
    else:
        screen.print(_table(found))


class CaFormat(StrEnum):
    """How the CA's certificate is written."""

    PEM = "pem"
    P12 = "p12"
    JKS = "jks"


@app.command(
    epilog=examples(
        "curl --cacert $(portyard ca --path) https://127.0.0.1:3443/get",
        "portyard ca --format p12 --output portyard.p12      (a trust store for Java)",
    )
)
def ca(
    path: Annotated[bool, typer.Option("--path", help="Print the path of a file that holds it instead.")] = False,
    form: Annotated[
        CaFormat, typer.Option("--format", "-f", help="pem, or Java's trust stores: p12, and jks for old ones.")
    ] = CaFormat.PEM,
    password: Annotated[
        str | None, typer.Option(help="Of the p12 or jks. (default: changeit)", show_default=False)
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="A file instead of standard output.")
    ] = None,
    url: Url = None,
) -> None:
    """Print the CA's certificate, to verify the testbed's servers with."""
    if form is not CaFormat.PEM:
        if path:
            fail(f"--path is the PEM file's; write the {form.value} with --output", 2)
        with linked(url) as link:
            asked = f"ca.{form.value}"
            asked += f"?{urlencode({'password': password})}" if password is not None else ""
            deliver(link.control.raw(asked), output, binary=True)
        return
    if password is not None:
        fail("--password is of a p12 or jks: say which with --format", 2)
    pem = b""

    def ask() -> None:
        nonlocal pem
        pem = current(settings_here()).ca_pem()

    if url is not None:
        with linked(url) as link:
            pem = link.control.raw("ca.pem")
    else:
        _guarded(ask)
    if path:
        sys.stdout.write(f"{save_ca(pem)}\n")
    else:
        deliver(pem, output, binary=False)


@app.command(context_settings={"allow_extra_args": True})
def serve(
    rooms: Annotated[
        list[str] | None,
        typer.Argument(help="Rooms or services; all of them when none is named.", autocompletion=completion.services),
    ] = None,
) -> None:
    """Run rooms in this process, in the foreground, until told to stop."""
    from portyard.cli.serve import serve as run

    raise typer.Exit(run(rooms or []))


def _guarded(work: Callable[[], None]) -> None:
    try:
        work()
    except CommandError as error:
        fail(error)


app.command(
    epilog=examples(
        "portyard send --to alice@portyard.test --subject Hello --text 'How are you?'",
        "portyard send --login alice --to bob@portyard.test --html '<b>Hi</b>' --attach report.pdf",
        "portyard send message.eml --to anyone@example.com",
    )
)(letters.send)
app.add_typer(mail.app, name="mail")
app.command(
    epilog=examples(
        "portyard tail",
        "portyard tail --room smtp --room imap --kind command",
        "portyard tail --kind fault --sandbox t1",
    )
)(tail.tail)
app.command(epilog=examples("portyard sessions", "portyard sessions --room imap --sandbox t1"))(sessions.sessions)
app.add_typer(rules.app, name="rules")
app.add_typer(sandboxes.app, name="sandboxes")
app.add_typer(personas.app, name="personas")
app.command(epilog=examples("portyard reset", "portyard reset t1"))(sandboxes.reset)
app.command(
    epilog=examples(
        "portyard export last",
        "portyard export --room smtp --output mail.pcapng      (then: wireshark mail.pcapng)",
        "portyard export --format har --output web.har",
        "portyard export --format mbox --output mail.mbox",
    )
)(export.export)
app.command(
    epilog=examples(
        "portyard export last --format test > seen.talk; portyard play seen.talk",
        "portyard play seen.talk --to imap.example.org:143 --login ada --password '...'",
    )
)(play.play)
app.command(
    epilog=examples(
        'eval "$(portyard completion bash)"      (in ~/.bashrc)',
        "portyard completion zsh > ~/.zfunc/_portyard",
        "portyard completion fish > ~/.config/fish/completions/portyard.fish",
    )
)(completion.completion)
