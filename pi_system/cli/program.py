"""What the programs of this package have in common: ``-h``, ``--version``, errors in one line, where options come from.

Every option may also stand in a variable, PI_COMMAND_OPTION, and in a file (``--config``).
"""

from collections.abc import Callable

import click

from pi_system import __version__
from pi_system.cli.config_file import config_option
from pi_system.cli.errors import PiGroup
from pi_system.cli.logs import log_options
from pi_system.version import PROTOCOL_VERSION

Decorator = Callable[[Callable[..., None]], Callable[..., None]]


def with_options(*options: Decorator) -> Decorator:
    """A decorator that adds options, in this order, to a command."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def program(name: str, *, show_default: bool | None = None) -> Callable[[Callable[[], None]], PiGroup]:
    """Make the function the group of commands of the program ``name``; ``show_default`` holds for all their options."""
    settings = {
        "help_option_names": ["-h", "--help"],
        "show_default": show_default,
        "auto_envvar_prefix": "PI",
    }
    line = f"{name} {__version__}, protocol {PROTOCOL_VERSION}"

    def decorate(function: Callable[[], None]) -> PiGroup:
        version = click.version_option(
            message=line, allow_from_autoenv=False, help="Show the versions of the program and of its protocol."
        )
        options = config_option(name)(log_options(version(function)))
        return click.group(cls=PiGroup, context_settings=settings)(options)

    return decorate
