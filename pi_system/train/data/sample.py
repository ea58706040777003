"""One test picture as a PNG file, to try a client with."""

from pathlib import Path

from PIL import Image

from pi_system.errors import ConfigError, InputError
from pi_system.train.data.dataset import DataSet


def write_sample(data: DataSet, index: int, path: Path) -> str:
    """Write test picture ``index`` as it is stored and return the name of its class.

    Raises:
        ConfigError: there is no such picture.
        InputError: the file cannot be written.
    """
    if not 0 <= index < len(data.test):
        raise ConfigError(f"index: expected from 0 to {len(data.test) - 1}; found {index}")
    pixels = data.test.images[index].numpy()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(path, format="PNG")
    except OSError as error:
        raise InputError(f"{path}: expected a place to write to; {error.strerror}") from error
    return data.preprocess.classes[int(data.test.labels[index])]
