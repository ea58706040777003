"""Names of data sets, such as ``digits``, ``cifar100:PATH`` or ``folder:PATH``, and loading by name."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from pi_system.errors import ConfigError
from pi_system.train.data.augment import Augmentation
from pi_system.train.data.cifar import CIFAR10, CIFAR100, CifarLayout
from pi_system.train.data.dataset import DataSet
from pi_system.train.data.digits import CLASSES, read_digits
from pi_system.train.data.folder import read_folder
from pi_system.train.data.tiny_imagenet import TINY_IMAGENET, TinyImageNetLayout

_NAMES = ("digits", "cifar10", "cifar100", "tinyimagenet", "folder")


@dataclass(frozen=True, slots=True, kw_only=True)
class DataConfig:
    """Which data, and how the validation pictures are drawn from its training part.

    ``size`` brings the pictures of a folder tree to one size; other sets have a fixed one.

    ``tuning_fraction`` of the training part is set aside for tuning methods; no run trains on it or chooses its epoch
    by it. A trial of the tuning is ``judged_on`` these pictures where another run has its test pictures, which it does
    not load. By default there are none, and the split is what it is without.

    Raises:
        ConfigError: a field is outside its limits.
    """

    name: str
    path: str | None = None
    size: int | None = None
    validation_fraction: float = 0.1
    split_seed: int = 0
    tuning_fraction: float = 0.0
    judged_on: Literal["test", "tuning"] = "test"

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
        if not 0 <= self.tuning_fraction < 1 - self.validation_fraction:
            most = f"{1 - self.validation_fraction:g}"
            raise ConfigError(f"tuning fraction: expected from 0 to below {most}; found {self.tuning_fraction}")
        if self.judged_on not in ("test", "tuning") or (self.judged_on == "tuning" and not self.tuning_fraction):
            raise ConfigError(f"judged on: expected test, or tuning with a tuning fraction; found {self.judged_on!r}")

    def recorded(self) -> dict[str, Any]:
        """The fields as JSON has them; those of the tuning pictures only where they say something."""
        unsaid = {"tuning_fraction": 0.0, "judged_on": "test"}
        return {name: value for name, value in asdict(self).items() if name not in unsaid or value != unsaid[name]}

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
        layouts: dict[str, CifarLayout | TinyImageNetLayout] = {
            "cifar10": CIFAR10,
            "cifar100": CIFAR100,
            "tinyimagenet": TINY_IMAGENET,
        }
        pool, test, classes = layouts[config.name].read(path)
        augmentation = flip
    return DataSet.build(
        pool,
        test,
        classes,
        augmentation=augmentation,
        validation_fraction=config.validation_fraction,
        split_seed=config.split_seed,
        tuning_fraction=config.tuning_fraction,
        judged_on=config.judged_on,
    )
