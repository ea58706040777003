"""Where the programs start: without the extra that one needs, or stopped while it is read, each says so in a line."""

from contextlib import nullcontext
from importlib import import_module

import click

from pi_system.cli.errors import INTERRUPTED
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


def client() -> None:
    """``pi-client``."""
    _start("pi-client", "pi_client.cli")


def _start(program: str, module: str, extra: str = "") -> None:
    """Run ``main`` of a module that imports what the extra, if any, installs."""
    try:
        with needs(extra, program) if extra else nullcontext():
            main = import_module(module).main
    except MissingExtraError as error:
        click.echo(f"error: {error}", err=True)
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt:
        click.echo("error: stopped", err=True)
        raise SystemExit(INTERRUPTED) from None
    main()
