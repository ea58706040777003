"""``pi-client sample``: a picture to try a server with, where no extra is installed and no picture is at hand."""

from pathlib import Path

import click

from pi_system.demo.samples import SAMPLES, sample_png
from pi_system.errors import InputError


@click.command()
@click.argument("picture", type=click.Path(path_type=Path))
@click.option("--of", "name", type=click.Choice(list(SAMPLES)), default="ship", show_default=True)
def sample(picture: Path, name: str) -> None:
    """Write a drawing to the file PICTURE (PNG), in the place of what was there, to try a server with."""
    try:
        picture.parent.mkdir(parents=True, exist_ok=True)
        picture.write_bytes(sample_png(name))
    except OSError as error:
        raise InputError(f"{picture}: expected a place to write to; {error.strerror}") from error
    click.echo(f"{picture}: drawn: {name}")
