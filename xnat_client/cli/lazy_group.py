"""A group of subcommands whose modules are imported when one is called, not before.

The records need a database library that not everybody has installed, and that takes its time to
import; asking for help must need neither. Not here: any subcommand.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import click


class LazyGroup(click.Group):
    """A click group that knows its subcommands by module and by their line of help.

    Parameters
    ----------
    lazy : mapping of str to (str, str)
        Name of the subcommand to ``module:attribute`` and its line in the overview.
    extra : str
        The extra of the distribution that brings what the subcommands import.
    """

    def __init__(
        self, *args: Any, lazy: Mapping[str, tuple[str, str]], extra: str, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self._lazy = dict(lazy)
        self._extra = extra

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all subcommands, sorted."""
        return sorted({*super().list_commands(ctx), *self._lazy})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one subcommand.

        Raises
        ------
        ClickException
            A module of another distribution is not installed; the sentence says what to install.
        """
        if cmd_name not in self._lazy:
            return super().get_command(ctx, cmd_name)
        module, attribute = self._lazy[cmd_name][0].split(":")
        try:
            command = getattr(importlib.import_module(module), attribute)
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] == __name__.partition(".")[0]:
                raise  # a module of our own is missing: our fault, not the installation's
            raise click.ClickException(
                f"'{ctx.info_name} {cmd_name}' needs the Python module {error.name}, which is not "
                "installed. Install the part of winxnat that holds it: "
                f'pip install "winxnat[{self._extra}]"'
            ) from error
        if not isinstance(command, click.Command):
            raise TypeError(f"{self._lazy[cmd_name][0]} is not a click command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the overview without importing a subcommand."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, self._lazy[name][1]) for name in sorted(self._lazy)])
