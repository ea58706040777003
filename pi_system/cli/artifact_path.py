"""The option that names an artifact: a folder, or ``builtin:NAME`` for a network that came with the package."""

from pathlib import Path

import click

from pi_system.networks import BUILTIN_PREFIX, artifact_folder

__all__ = ["artifact_option"]


def _resolve(_context: click.Context, _parameter: click.Parameter, value: Path) -> Path:
    return artifact_folder(str(value)) if str(value).startswith(BUILTIN_PREFIX) else value


artifact_option = click.option(
    "--artifact",
    type=click.Path(path_type=Path),
    required=True,
    callback=_resolve,
    help="Folder of the exported model, or builtin:NAME (see pi-train builtin).",
)
