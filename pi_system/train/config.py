"""The training recipe: one frozen object, written into every run directory."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch

from pi_system.errors import ConfigError

_CHOICES = {
    "precision": ("float32", "bfloat16"),
    "device": ("auto", "cpu", "cuda"),
    "optimizer": ("sgd", "adam"),
    "schedule": ("cosine", "constant", "onecycle", "multistep"),
    "decay": ("all", "weights"),
    "crop": ("zeros", "reflect"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """SGD with momentum, Nesterov's or not, or Adam, and how the learning rate goes.

    ``schedule``: ``cosine`` ends at zero; ``onecycle`` rises from a 25th in the share ``warmup`` of the steps and
    falls by a cosine to about zero (torch's OneCycleLR); ``multistep`` is multiplied by ``drop`` at the shares
    ``milestones`` of the steps; ``constant``. All but onecycle may rise linearly at first, over the share ``warmup``.

    ``decay``: ``all``, or ``weights`` for no weight decay on biases and batch normalisation. ``ema`` above 0 validates
    and keeps the exponential moving average of the weights with that decay (``average``). ``crop``: pictures
    are shifted as far as suits the data and zeros come in (``zeros``), or half as far, rounded up, and the picture's
    mirror image does (``reflect``).

    With a teacher the loss is cross-entropy + ``distill_weight`` * T^2 * KL(teacher || student) on logits
    divided by T = ``distill_temperature`` (Hinton et al., 2015, arXiv 1503.02531).

    ``precision`` bfloat16 is autocast: weights and their update stay float32. ``device`` auto takes CUDA where
    torch has it. ``compile`` has torch.compile translate the network at the start, which takes minutes on a CPU and
    pays on long runs with a GPU; it is not used where a reduction method changes the network between steps.

    Raises:
        ConfigError: a field is outside its limits.
    """

    epochs: int
    batch_size: int = 128
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    label_smoothing: float = 0.0
    distill_temperature: float = 4.0
    distill_weight: float = 1.0
    augment: bool = True
    seed: int = 0
    precision: Literal["float32", "bfloat16"] = "float32"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    optimizer: Literal["sgd", "adam"] = "sgd"
    nesterov: bool = True
    schedule: Literal["cosine", "constant", "onecycle", "multistep"] = "cosine"
    warmup: float = 0.0
    milestones: tuple[float, ...] = (0.5, 0.75)
    drop: float = 0.1
    decay: Literal["all", "weights"] = "all"
    ema: float = 0.0
    crop: Literal["zeros", "reflect"] = "zeros"
    compile: bool = False

    def __post_init__(self) -> None:
        """Check every field."""
        for field, low in (("epochs", 0), ("batch_size", 2), ("seed", 0)):
            if getattr(self, field) < low:
                raise ConfigError(f"{field}: expected at least {low}; found {getattr(self, field)}")
        if self.seed >= 1 << 32:  # what torch's generator tells apart
            raise ConfigError(f"seed: expected below {1 << 32}; found {self.seed}")
        object.__setattr__(self, "milestones", tuple(self.milestones))  # JSON has lists
        for field in ("learning_rate", "distill_temperature", "drop"):
            if not getattr(self, field) > 0:
                raise ConfigError(f"{field}: expected above 0; found {getattr(self, field)}")
        for field in ("momentum", "label_smoothing", "warmup", "ema"):
            if not 0 <= getattr(self, field) < 1:
                raise ConfigError(f"{field}: expected from 0 to below 1; found {getattr(self, field)}")
        if self.weight_decay < 0 or self.distill_weight < 0:
            raise ConfigError("weight_decay, distill_weight: expected at least 0")
        if self.schedule == "onecycle" and not self.warmup:
            raise ConfigError("warmup: expected above 0 with schedule onecycle; found 0")
        if list(self.milestones) != sorted(set(self.milestones)) or not all(0 < m < 1 for m in self.milestones):
            raise ConfigError(f"milestones: expected rising shares between 0 and 1; found {self.milestones}")
        for field, allowed in _CHOICES.items():
            if getattr(self, field) not in allowed:
                raise ConfigError(f"{field}: expected {'|'.join(allowed)}; found {getattr(self, field)}")

    def recorded(self) -> dict[str, Any]:
        """The fields that say which run this is, as JSON has them.

        How fast it is computed, which a resumed run may change, is left out.
        """
        fields = asdict(self) | {"milestones": list(self.milestones)}
        del fields["compile"]
        return fields

    def torch_device(self) -> torch.device:
        """The device to train on.

        Raises:
            ConfigError: CUDA was asked for and torch has none.
        """
        available = torch.cuda.is_available()
        if self.device == "cuda" and not available:
            raise ConfigError("device: expected a CUDA device; torch found none")
        return torch.device("cuda" if available and self.device != "cpu" else "cpu")
