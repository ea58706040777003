"""Names of data sets, such as ``digits``, ``cifar100:PATH`` or ``folder:PATH``, and loading by name."""

from dataclasses import dataclass
from pathlib import Path

from pi_system.errors import ConfigError
from pi_system.train.data.augment import Augmentation
from pi_system.train.data.cifar import CIFAR10, CIFAR100
from pi_system.train.data.dataset import DataSet
from pi_system.train.data.digits import CLASSES, read_digits
from pi_system.train.data.folder import read_folder

__all__ = ["DataConfig", "load_data"]

_NAMES = ("digits", "cifar10", "cifar100", "folder")


@dataclass(frozen=True, slots=True, kw_only=True)
class DataConfig:
    """Which data, and how the validation pictures are drawn from its training part.

    ``size`` brings the pictures of a folder tree to one size; other sets have a fixed one.

    Raises:
        ConfigError: a field is outside its limits.
    """

    name: str
    path: str | None = None
    size: int | None = None
    validation_fraction: float = 0.1
    split_seed: int = 0

    def __post_init__(self) -> None:
        """Check every field."""
        if self.name not in _NAMES:
            raise ConfigError(f"data: expected one of {', '.join(_NAMES)}; found {self.name!r}")
        if (self.path is None) != (self.name == "digits"):
            raise ConfigError(f"data {self.name}: expected {'no path' if self.path else 'NAME:PATH'}")
        if self.size is not None and (self.name != "folder" or self.size < 4):
            raise ConfigError(f"data {self.name}: size is for folder only, at least 4; found {self.size}")
        if not 0 < self.validation_fraction < 1:
            raise ConfigError(f"validation fraction: expected between 0 and 1; found {self.validation_fraction}")

    @classmethod
    def parse(cls, text: str, *, size: int | None = None, split_seed: int = 0) -> "DataConfig":
        """Read ``NAME`` or ``NAME:PATH``."""
        name, _, path = text.partition(":")
        absolute = str(Path(path).expanduser().resolve()) if path else None
        return cls(name=name.lower(), path=absolute, size=size, split_seed=split_seed)


def load_data(config: DataConfig) -> DataSet:
    """Load a data set.

    Raises:
        InputError: files are missing or damaged; the message says what was expected and found.
    """
    flip = Augmentation(pad=4, flip=True)
    path = Path(config.path or "")
    if config.name == "digits":
        pool, test = read_digits()
        # A mirrored digit is another sign, and 8 x 8 pixels leave room to shift by one.
        classes, augmentation = CLASSES, Augmentation(pad=1, flip=False)
    elif config.name == "folder":
        pool, test, classes = read_folder(path, config.size)
        augmentation = flip
    else:
        pool, test, classes = (CIFAR10 if config.name == "cifar10" else CIFAR100).read(path)
        augmentation = flip
    return DataSet.build(
        pool,
        test,
        classes,
        augmentation=augmentation,
        validation_fraction=config.validation_fraction,
        split_seed=config.split_seed,
    )
