"""What an entry of an indicator (pixel, channel, layer) is worth keeping for, estimated from gradients in training.

Switching an entry between ReLU and identity changes the output by min(x, 0) at its positions, so to first order the
loss of one picture by d = sum over these positions of dL/dy min(x, 0).

``fisher``: sum of d^2 over some pictures of a step, the squared effect of the switch. ``signed``: sum of d, so that a
ReLU without which the loss is lower is worth less than one that does nothing. ``relupruner``: mean |dL/dy x| P(x < 0)
+ 1/2 mean x^2 F, F being the mean of (dL/dy)^2, times a weight of the layer: norm of its gradients times root of F over
the layer, times 1 + 0.2 depth / deepest, scaled to 0.1 ... 1.1 over the layers. ``random``: a number drawn once, as a
control. The first three are moving averages over steps.

All are measured for entries that are on and for those that are off, so that one can come back.

Sources: squared effect: Theis et al., 2018, arXiv 1801.05787; relupruner: ReLUPruner, AAAI 2026, code at
github.com/Orange2019220/ReluPruner (relupruner/importance.py), read. Differs there: a mean over the last ten steps is a
moving average here, the layers' weights are applied at selection instead of a step late, and a channel's or layer's
importance (its code has pixels only) is the sum over its positions.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from pi_system.errors import ConfigError

_DECAY = 0.95
_SLOW_DECAY = 0.99
_RECENT_DECAY = 0.9
_DEPTH = 0.2


class Measure(nn.Module):
    """Importance of an indicator's entries, float32 (1, *shape); its state is in buffers, to be resumed.

    Args:
        allowed: bool (C, H, W), the positions that may be ReLUs: others change nothing.
        shape: of the entries, which broadcasts to (C, H, W).
    """

    importance: Tensor
    allowed: Tensor

    def __init__(self, allowed: Tensor, shape: tuple[int, int, int]) -> None:
        """Start at zero."""
        super().__init__()
        self.shape = shape
        self.register_buffer("allowed", allowed.clone(), persistent=False)
        self.register_buffer("importance", _zeros(shape, allowed.device))

    def observe(self, x: Tensor, grad: Tensor) -> None:
        """Take in some pictures of a step: input x (N, C, H, W) and gradient of the loss by the output."""
        self.importance.lerp_(self.found(x, grad), 1 - _DECAY)

    def state(self) -> list[Tensor]:
        """What several processes average after a step."""
        return [value for value in self.buffers() if value.is_floating_point()]

    def by_relu(self, cost: Tensor) -> Tensor:
        """Importance over the ReLUs of each entry, float32 ``shape``."""
        return self.importance[0] / cost

    def found(self, x: Tensor, grad: Tensor) -> Tensor:
        """Importance by these pictures alone."""
        raise TypeError(f"{type(self).__name__} has no importance")

    def effect(self, x: Tensor, grad: Tensor) -> Tensor:
        """Of a switch of each entry on each picture's loss, to first order, (N, *shape)."""
        return self.entries(grad * x.clamp(max=0))

    def entries(self, values: Tensor) -> Tensor:
        """Sum values (N, C, H, W) over each entry's allowed positions."""
        if tuple(values.shape[1:]) == self.shape:
            return values
        return (values.float() * self.allowed).sum_to_size((len(values), *self.shape))


class _Fisher(Measure):
    def found(self, x: Tensor, grad: Tensor) -> Tensor:
        return self.effect(x, grad).square().sum(0, keepdim=True, dtype=torch.float32)


class _Signed(Measure):
    def found(self, x: Tensor, grad: Tensor) -> Tensor:
        return self.effect(x, grad).sum(0, keepdim=True, dtype=torch.float32)


class _Random(Measure):
    def __init__(self, allowed: Tensor, shape: tuple[int, int, int], generator: torch.Generator) -> None:
        super().__init__(allowed, shape)
        self.importance.copy_(torch.rand(shape, generator=generator))

    def observe(self, x: Tensor, grad: Tensor) -> None:
        """Nothing: it was drawn."""

    def by_relu(self, cost: Tensor) -> Tensor:
        return self.importance[0]  # or small entries would be drawn more often


class _ReluPruner(Measure):
    negative: Tensor
    fisher: Tensor
    scale: Tensor
    """Moving averages over the layer: mean norm of a picture's gradient, mean squared gradient."""

    def __init__(self, allowed: Tensor, shape: tuple[int, int, int]) -> None:
        super().__init__(allowed, shape)
        whole = (int(allowed.shape[0]), int(allowed.shape[1]), int(allowed.shape[2]))
        self.register_buffer("negative", _zeros(whole, allowed.device))
        self.register_buffer("fisher", _zeros(whole, allowed.device))
        self.register_buffer("scale", torch.zeros(2, device=allowed.device))

    def found(self, x: Tensor, grad: Tensor) -> Tensor:
        x, grad = x.float(), grad.float()
        self.negative.lerp_((x < 0).float().mean(0, keepdim=True), 1 - _RECENT_DECAY)
        self.fisher.lerp_(grad.square().mean(0, keepdim=True), 1 - _SLOW_DECAY)
        norms = torch.stack([grad.flatten(1).norm(dim=1).mean(), grad.square().mean()])
        self.scale.lerp_(norms, 1 - _DECAY)
        first = (grad * x).abs().mean(0, keepdim=True) * self.negative
        return self.entries(first + 0.5 * x.square().mean(0, keepdim=True) * self.fisher)


MEASURES = ("fisher", "signed", "relupruner", "random")


def make_measure(
    name: str, allowed: Tensor, shape: tuple[int, int, int], generator: torch.Generator | None = None
) -> Measure:
    """A measure by name; ``random`` draws from the generator.

    Raises:
        ConfigError: unknown name.
    """
    if name not in MEASURES:
        raise ConfigError(f"importance: expected one of {', '.join(MEASURES)}; found {name!r}")
    if name == "random":
        return _Random(allowed, shape, generator or torch.Generator().manual_seed(0))
    kinds: dict[str, type[Measure]] = {"fisher": _Fisher, "signed": _Signed, "relupruner": _ReluPruner}
    return kinds[name](allowed, shape)


def layer_weights(measures: Mapping[str, Measure]) -> dict[str, float]:
    """Factor of each layer's importance, layers in the order of execution: 1 but for ``relupruner``."""
    raw = {}
    for depth, (name, measure) in enumerate(measures.items()):
        if isinstance(measure, _ReluPruner):
            norm, fisher = measure.scale.tolist()
            raw[name] = norm * (fisher + 1e-8) ** 0.5 * (1 + _DEPTH * depth / max(1, len(measures) - 1))
    low, high = min(raw.values(), default=0.0), max(raw.values(), default=0.0)
    if high == low:
        return dict.fromkeys(measures, 1.0)
    return {name: (value - low) / (high - low) + 0.1 for name, value in raw.items()}


def _zeros(shape: tuple[int, int, int], device: torch.device) -> Tensor:
    """Laid out as activations are: another order in memory is several times slower."""
    return torch.zeros(1, *shape, device=device).contiguous(memory_format=torch.channels_last)
