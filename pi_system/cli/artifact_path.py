"""The parameter type that names an artifact: a folder, or ``builtin:NAME`` for a network that came with the package."""

from pathlib import Path
from typing import Any

import click

from pi_system.networks import BUILTIN_PREFIX, artifact_folder


class ArtifactPath(click.Path):
    """A click type whose values are folders."""

    def __init__(self) -> None:
        """No folder is looked at: what is wrong with it, reading it says best."""
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """The folder. Raises ConfigError: no network of that name came with the package."""
        text = str(value)
        return artifact_folder(text) if text.startswith(BUILTIN_PREFIX) else Path(text)
