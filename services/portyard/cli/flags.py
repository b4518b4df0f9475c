"""Commands whose help shows a flag as what it is: a word that is there or isn't, and takes no value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption


def _bare(parameters: list[Any]) -> list[Any]:
    for each in parameters:
        if isinstance(each, TyperOption) and each.is_flag and each.metavar is None:
            each.metavar = ""  # else its help says <bool>
    return parameters


class Command(TyperCommand):
    """A command."""

    def get_params(self, ctx: Any) -> list[Any]:  # noqa: ANN401 - a context of typer's own inside
        """Its options and arguments, --help among them."""
        return _bare(super().get_params(ctx))


class Group(TyperGroup):
    """A command with commands below it; without one of them, most of them list."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - a context of typer's own inside
        """Read what was given; `rules list`, which many tools have, is `rules`."""
        listing = self.invoke_without_command and ctx.parent is not None and args[:1] == ["list"]
        return super().parse_args(ctx, args[1:] if listing else args)

    def get_params(self, ctx: Any) -> list[Any]:  # noqa: ANN401 - a context of typer's own inside
        """Its options and arguments, --help among them."""
        return _bare(super().get_params(ctx))


class Commands(typer.Typer):
    """Typer's table of commands, each of them such a one."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - Typer's
        super().__init__(cls=Group, **options)

    def command(self, name: str | None = None, **options: Any) -> Callable[[Any], Any]:  # noqa: ANN401
        """See Typer."""
        return super().command(name, cls=Command, **options)
