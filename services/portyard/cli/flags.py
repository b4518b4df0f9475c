"""Commands whose help shows a flag as what it is: a word that is there or isn't, and takes no value."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, NoReturn

import typer
from rich.text import Text
from typer.core import TyperCommand, TyperGroup, TyperOption

from portyard.cli.screen import errors, printable
from portyard.rooms import ROOMS


def _check(command: TyperCommand | TyperGroup, ctx: Any, args: list[str]) -> None:  # noqa: ANN401 - typer's own inside
    """See that what was given says one thing, and say how else it is said: of two values the parser would take the later.

    Raises:
        UsageError: An option of one value has two, or a room stands where none is read.
    """
    if ctx.resilient_parsing:
        return
    _, left, given = command.make_parser(ctx).parse_args(args=list(args))
    if any(each.is_eager for each in given):
        return  # --help helps, whatever else there is
    for each in given:
        if isinstance(each, TyperOption) and not (each.is_flag or each.multiple) and given.count(each) > 1:
            ctx.fail(f"{max(each.opts, key=len)} is given {given.count(each)} times, and takes one value.")
    if left and left[0] in ROOMS and any("--room" in each.opts for each in command.params):
        ctx.fail(f"A room is given as an option: --room {left[0]}.")


def _bare(parameters: list[Any]) -> list[Any]:
    for each in parameters:
        if isinstance(each, TyperOption) and each.is_flag and each.metavar is None:
            each.metavar = ""  # else its help says <bool>
    return parameters


class Command(TyperCommand):
    """A command."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - a context of typer's own inside
        """Read what was given."""
        _check(self, ctx, args)
        return super().parse_args(ctx, args)

    def get_params(self, ctx: Any) -> list[Any]:  # noqa: ANN401 - a context of typer's own inside
        """Its options and arguments, --help among them."""
        return _bare(super().get_params(ctx))


class Group(TyperGroup):
    """A command with commands below it; without one of them, most of them list."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - a context of typer's own inside
        """Read what was given; `rules list`, which many tools have, is `rules`."""
        listing = self.invoke_without_command and ctx.parent is not None and args[:1] == ["list"]
        read = args[1:] if listing else args
        _check(self, ctx, read)
        return super().parse_args(ctx, read)

    def get_params(self, ctx: Any) -> list[Any]:  # noqa: ANN401 - a context of typer's own inside
        """Its options and arguments, --help among them."""
        return _bare(super().get_params(ctx))

    def main(self, *args: Any, **options: Any) -> NoReturn:  # noqa: ANN401 - Typer's
        """Run the command line to the process's end; what can't be read of it is told in a line, without the frame of Typer's."""
        try:
            status = super().main(*args, **options | {"standalone_mode": False})
        except typer.Abort:
            status = 1
        except Exception as error:  # Typer's releases name it differently
            if not hasattr(error, "format_message"):
                raise
            status = _tell(error)
        sys.exit(status if isinstance(status, int) else 0)


def _tell(error: Any) -> int:  # noqa: ANN401 - Typer's
    """Say what is wrong with the command line, and where it is told how it is meant; the exit status."""
    told = " ".join(error.format_message().split()).replace("Value error, ", "").rstrip(".")
    if told:  # nothing where the help was shown instead
        context = getattr(error, "ctx", None)
        errors.print(Text(f"portyard: {printable(told)}{_help(context)}", style="red"), soft_wrap=True)
    return int(error.exit_code)


def _help(context: Any) -> str:  # noqa: ANN401 - Typer's
    return f"; see: {context.command_path} --help" if context is not None else ""


class Commands(typer.Typer):
    """Typer's table of commands, each of them such a one."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - Typer's
        super().__init__(cls=Group, **options)

    def command(self, name: str | None = None, **options: Any) -> Callable[[Any], Any]:  # noqa: ANN401
        """See Typer."""
        return super().command(name, cls=Command, **options)
