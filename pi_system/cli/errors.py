"""Errors at the command line: one clear line on stderr and the error's exit code, never a traceback.

Every command group of this package is a ``PiGroup``, a command that stands alone a ``PiCommand``. Codes are listed in
``pi_system.errors``; 2 is click's own for wrong usage, 130 means stopped by the user.
"""

from typing import Any

import click

from pi_system import interrupts
from pi_system.durable import storage_error
from pi_system.errors import PiError


class _OneLineErrors(click.Command):
    def main(self, *args: Any, **extra: Any) -> Any:
        """Run the program, whose Ctrl-C is not lost."""
        with interrupts.noted():
            return super().main(*args, **extra)

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        """Parse the arguments; a configuration file that cannot be used is an error like others."""
        try:
            return super().make_context(*args, **extra)
        except PiError as error:
            click.echo("error: " + " ".join(str(error).split()), err=True)
            raise click.exceptions.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            click.echo("error: stopped", err=True)
            raise click.exceptions.Exit(interrupts.INTERRUPTED) from None

    def invoke(self, ctx: click.Context) -> Any:
        """Run what the context names."""
        try:
            return super().invoke(ctx)
        except PiError as error:
            message, code = str(error) + (f" (request {error.request})" if error.request else ""), error.exit_code
        except OSError as error:
            known = storage_error(error)
            if known is None:
                raise
            message, code = f"{known}: {error.filename}" if error.filename else str(known), known.exit_code
        except KeyboardInterrupt as stopped:
            message, code = str(stopped) or "stopped", interrupts.INTERRUPTED
        click.echo("error: " + " ".join(message.split()), err=True)
        return ctx.exit(code)


class PiCommand(_OneLineErrors):
    """A command that turns a PiError into its message and exit code."""


class PiGroup(_OneLineErrors, click.Group):
    """A command group that does so for its commands, and whose help says each option's variable."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name."""
        command = super().get_command(ctx, cmd_name)
        if command is not None:
            _tell_variables(command)
        return command

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the group's own options, then its commands."""
        _tell_variables(self)
        super().format_options(ctx, formatter)


def _tell_variables(command: click.Command) -> None:
    """Have the help name the options' variables; what ends the program at once has none to speak of."""
    for option in command.params:
        if isinstance(option, click.Option):
            option.show_envvar = option.name not in ("help", "version")
