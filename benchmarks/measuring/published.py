"""Weight files that torchvision publishes, NETWORK-DIGITS.pth: checked, then loaded into the networks of cnns.py.

The digits are the first of the file's SHA-256, as torch.hub checks them, here before anything in it is unpickled.
"""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from torch import nn

from pi_system.errors import InputError
from pi_system.export.checkpoint import load_checkpoint, read_weights

PUBLISHED: Final = (
    "resnet50-0676ba61.pth",
    "resnet50-11ad3fa6.pth",
    "squeezenet1_1-b8a52dc0.pth",
    "densenet121-a639ec97.pth",
    "mobilenet_v2-b0353104.pth",
)
"""At https://download.pytorch.org/models/; of ResNet50 the first training and the second."""
_NAME: Final = re.compile(r"(\w+)-([0-9a-f]{8,64})\.pth", re.ASCII)
_COUNTERS: Final = "num_batches_tracked"
"""Of batch normalisation: no weight, and missing in older files."""


@dataclass(frozen=True)
class WeightFile:
    """A file whose name and checksum fit each other; what is in it has not been looked at."""

    path: Path
    network: str
    digits: str
    sha256: str

    @classmethod
    def check(cls, path: Path, network: str) -> Self:
        """Read the file's bytes, nothing else of it.

        Raises:
            InputError: no such file, another form of name, another network's name, another checksum.
        """
        if (found := _NAME.fullmatch(path.name)) is None:
            raise InputError(f"{path}: expected a name such as {PUBLISHED[0]}")
        if found[1] != network:
            raise InputError(f"{path}: expected weights of {network}, found those of {found[1]}")
        try:
            with open(path, "rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise InputError(f"{path}: expected a file, found {error.strerror}") from error
        if not digest.startswith(found[2]):
            raise InputError(f"{path}: expected a SHA-256 that begins with {found[2]}, found {digest[: len(found[2])]}")
        return cls(path, network, found[2], digest)

    def load(self, module: nn.Module) -> None:
        """Give ``module`` exactly these weights. Raises InputError: some are missing, too many or of another shape."""
        found = _weights(read_weights(self.path))
        if unexpected := sorted(found - _weights(module.state_dict())):
            some = ", ".join(unexpected[:3])
            raise InputError(
                f"{self.path}: expected weights of {self.network} alone, found {len(unexpected)} more: {some}"
            )
        load_checkpoint(module, self.path)

    def about(self) -> dict[str, Any]:
        """For a JSON file: which weights these are, and whether torchvision's site has a file of this name."""
        return {"file": self.path.name, "sha256": self.sha256, "published": self.path.name in PUBLISHED}


def _weights(names: Any) -> set[str]:
    return {name for name in names if not name.endswith(_COUNTERS)}
