"""Which testbed a command speaks to, and its control API with refusals as one line."""

from __future__ import annotations

import contextlib
import http.client
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

import typer

from portyard.cli import completion
from portyard.cli.engines import CommandError, current
from portyard.cli.screen import fail, fall_silent
from portyard.commons.authority import authority
from portyard.commons.directory import Endpoint
from portyard.commons.settings import SettingError, Settings, load
from portyard.testing.control import Control, ControlError, segment

Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        envvar="PORTYARD_URL",
        metavar="URL",
        help="The testbed's console, such as http://127.0.0.1:8025; else the testbed that runs from this folder.",
        rich_help_panel="Which testbed",
        show_envvar=True,
    ),
]
SandboxName = Annotated[
    str,
    typer.Option(
        "--sandbox",
        "-s",
        metavar="NAME",
        help="Whose mail, rules, sessions.",
        rich_help_panel="Which testbed",
        autocompletion=completion.sandboxes,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON, for scripts.")]
DEFAULT = "default"
_MISSAID = (400, 422)  # what was given can't be right, whatever the testbed holds
CREATE = ("create", "add")
DELETE = ("delete", "rm", "remove")
Command = TypeVar("Command", bound=Callable[..., Any])


def examples(*lines: str) -> str:
    """An epilog with a line for each example."""
    return "\n\n".join(["Examples:", *(f"  {line}" for line in lines)])


def named(app: typer.Typer, name: str, *others: str, epilog: str) -> Callable[[Command], Command]:
    """A command by its name, and by the names that people know from other tools; help and completion show the first alone."""

    def register(command: Command) -> Command:
        app.command(name, epilog=epilog)(command)
        for other in others:
            app.command(other, epilog=epilog, hidden=True)(command)
        return command

    return register


@dataclass(frozen=True, slots=True)
class Link:
    """The way to a testbed.

    Attributes:
        control: Its control API.
        settings: What is set here, such as the accounts that exist from the start.
        url: Where it is, for messages.
    """

    control: Control
    settings: Settings
    url: str

    def path(self, sandbox: str, *parts: str) -> str:
        """A path below a sandbox; every part is one segment."""
        return "/".join(["sandboxes", segment(sandbox), *(segment(part) for part in parts)])

    def endpoint(self, service: str, port: str) -> Endpoint:
        """Where a port is.

        Raises:
            CommandError: It isn't up.
        """
        for fields in self.control.get("endpoints"):
            if (fields["service"], fields["port"]) == (service, port):
                return Endpoint(**fields)
        raise CommandError(f"{service} doesn't run there; see: portyard status")


@contextlib.contextmanager
def linked(url: str | None) -> Iterator[Link]:
    """The testbed at the URL, or the one that runs from here; refusals end the command with one line."""
    where = url or "the testbed"
    try:
        settings = settings_here()
        where = url or _own_url(settings)
        control = _control(where, settings)
        yield Link(control, settings, where)
        control.close()
    except ControlError as error:
        known = "status" in error.problem or "services" in error.problem
        if not known:
            fail(f"what answers at {where} is no testbed's console ({error}); give its --url")
        fail(refusal(error), 2 if error.status in _MISSAID else 1)
    except CommandError as error:
        fail(error, error.status)
    except ValueError as error:
        fail(error)
    except BrokenPipeError:
        fall_silent()
    except (OSError, http.client.HTTPException) as error:
        fail(f"no testbed answers at {where} ({error or type(error).__name__}); start one with: make up, or give --url")


def _control(url: str, settings: Settings) -> Control:
    try:
        return Control(url, settings.token or None)
    except ValueError as error:
        told = str(error)
        fail(told if url in told else f"url = {url!r}: {told}; expected something like http://127.0.0.1:8025", 2)


def settings_here() -> Settings:
    """The settings of this folder and environment."""
    try:
        return load()
    except SettingError as error:
        fail(error, 2)


def refusal(error: ControlError) -> str:
    """A refusal with what is allowed instead."""
    if error.status == 401:
        return f"{error}; set PORTYARD_TOKEN to the testbed's token"
    allowed = error.problem.get("allowed")
    told = ", ".join(map(str, allowed)) if isinstance(allowed, list) else str(allowed or "")
    return f"{error} (allowed: {told})" if told and told not in str(error) else str(error)


def _own_url(settings: Settings) -> str:
    for endpoint in current(settings).endpoints():
        if endpoint.port == "console":
            return f"http://{authority(endpoint.host, endpoint.host_number)}"
    raise CommandError("the console doesn't run; see: portyard status")


def goes_on(context: typer.Context, options: object) -> bool:
    """Whether a subcommand follows, which finds the options that stood before it in the context."""
    if context.invoked_subcommand is None:
        return False
    context.obj = options
    return True


def inherited(context: typer.Context, sandbox: str, url: str | None) -> tuple[str, str | None]:
    """The options of a subcommand, or those that stood before it."""
    before = context.obj if isinstance(context.obj, tuple) else (DEFAULT, None)
    return sandbox if sandbox != DEFAULT else before[0], url or before[1]


def query(**given: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON values
    """The parameters that were given."""
    return {name: value for name, value in given.items() if value is not None}
