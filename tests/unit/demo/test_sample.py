"""``pi-client sample``: a picture to try a server with, without an extra."""

from pathlib import Path

from click.testing import CliRunner
from PIL import Image

import pi_client.cli
from pi_system.demo.samples import SAMPLES


def test_every_sample_is_a_picture_of_its_own(tmp_path: Path) -> None:
    for name in SAMPLES:
        file = tmp_path / "new" / f"{name}.png"
        done = CliRunner().invoke(pi_client.cli.main, ["sample", str(file), "--of", name])
        assert (done.exit_code, done.stdout) == (0, f"{file}: drawn: {name}\n")
        with Image.open(file) as picture:
            assert picture.mode == "RGB"
    assert len({file.read_bytes() for file in (tmp_path / "new").iterdir()}) == len(SAMPLES)


def test_a_place_that_takes_no_file_is_told(tmp_path: Path) -> None:
    done = CliRunner().invoke(pi_client.cli.main, ["sample", str(tmp_path)])
    assert (done.exit_code, done.stderr) == (11, f"error: {tmp_path}: expected a place to write to; Is a directory\n")
