"""Where ``pi-train``, ``pi-server`` and ``pi-dealer`` start: without the extra that one needs it says so in a line."""

from importlib import import_module

import click

from pi_system.errors import MissingExtraError
from pi_system.extras import needs


def train() -> None:
    """``pi-train``."""
    _start("pi-train", "pi_system.cli.train", "train")


def server() -> None:
    """``pi-server``."""
    _start("pi-server", "pi_server.cli", "server")


def dealer() -> None:
    """``pi-dealer``."""
    _start("pi-dealer", "pi_system.cli.dealer", "server")


def _start(program: str, module: str, extra: str) -> None:
    """Run ``main`` of a module that imports what the extra installs."""
    try:
        with needs(extra, program):
            main = import_module(module).main
    except MissingExtraError as error:
        click.echo(f"error: {error}", err=True)
        raise SystemExit(error.exit_code) from None
    main()
