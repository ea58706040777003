"""An exported graph under CrypTen's own protocols: the values are MPCTensors, shares in Z_{2^64}, 16 fraction bits.

Functionality: every operation of the graph on additively shared values.
Inputs:   x shared (one picture, batch axis in front), weights shared (the server's secret), ReLU map public.
Offline:  Beaver triples and shared bits from the provider.
Online:   weighted layer: opens x - a and w - b, 1 round, 8 bytes an element of both each way.
          ReLU: CrypTen's conversion to binary shares, an adder over 64 bits, one bit back, one product:
          9 rounds, 232 bytes an active position each way. Max-pool: ceil(log2(window)) such ReLUs.
          Square: opens x - r, 1 round, 8 bytes an element each way.
          Selection, gather, affine, add, concatenation, flatten, average pool, truncation: local.
Error:    local truncation is off by up to one ulp (2^-16), and wrong by a large value with probability about
          2^(bits of the product - 64) an element, as in CrypTen: about 2^-10 an inference of a ResNet18. The ulp is a
          function of either party's share: a client that repeats a picture and sees logits learns weights from it.
Security: semi-honest, one corrupted party; masks from a cryptographic generator (the sole change to CrypTen).
Source:   Knott et al., NeurIPS 2021 (CrypTen), section 4 and appendix C.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pi_system.artifact import graph as ops
from pi_system.artifact.model import Masks
from pi_system.artifact.shapes import weight_shapes
from pi_system.backends.crypten.library import crypten
from pi_system.channel.profile import OFF, LayerWatch
from pi_system.program.interpreter import Interpreter

FRAC_BITS = 16
"""CrypTen's default precision."""


def share_weights(graph: ops.Graph, weights: dict[str, torch.Tensor] | None, device: str = "cpu") -> dict[str, Any]:
    """Secret-share the weights from rank 0; the other rank passes None. No message: CrypTen shares by PRZS.

    Returns MPCTensors in the shapes the layers use: a linear weight transposed, a convolution's bias (out, 1, 1).
    """
    shared: dict[str, Any] = {}
    linear = {node.name for node in graph if isinstance(node, ops.Linear)}
    for name, shape in weight_shapes(graph).items():
        node, part = name.rsplit(".", 1)
        value = torch.zeros(shape, device=device) if weights is None else to_grid(weights[name])
        if node in linear:
            value = value.t().contiguous()
        elif part == "bias":
            value = value.reshape(-1, 1, 1)
        shared[name] = crypten.cryptensor(value, src=0)
    return shared


def to_grid(value: torch.Tensor) -> torch.Tensor:
    """Round to 16 fraction bits: CrypTen's encoder cuts them off, which would shrink every weight a little."""
    scale = float(1 << FRAC_BITS)
    return torch.round(value * scale) / scale


def active_indices(graph: ops.Graph, masks: Masks) -> dict[str, NDArray[np.int64]]:
    """Flat positions of every masked node's active elements."""
    return {name: np.flatnonzero(masks[name]) for name in graph.masked()}


class CryptenInterpreter(Interpreter[Any]):
    """Runs a graph on MPCTensors inside a crypten_session."""

    def __init__(self, weights: dict[str, Any], active: dict[str, NDArray[np.int64]]) -> None:
        """Take shared weights (see share_weights) and active positions (see active_indices)."""
        self._weights = weights
        self._active = active
        self.watch: LayerWatch = OFF

    def _step(self, node: ops.Node, operands: list[Any]) -> Any:
        self.watch.enter(node.name)
        return super()._step(node, operands)

    def input(self, node: ops.Input, value: Any) -> Any:
        """The shared picture."""
        self.watch.enter(node.name)
        return value

    def weighted(self, node: ops.WeightedNode, x: Any) -> Any:
        """One Beaver product, then the shared bias."""
        weight, bias = self._weights[f"{node.name}.weight"], self._weights[f"{node.name}.bias"]
        if isinstance(node, ops.Linear):
            return x.matmul(weight) + bias
        y = x.conv2d(weight, stride=node.stride, padding=node.padding, groups=node.groups)
        return y + bias

    def relu(self, node: ops.Relu, x: Any) -> Any:
        """CrypTen's ReLU on the active positions, gathered; the others pass."""
        return self._partly(node.name, x, lambda part: part.relu()) if node.masked else x.relu()

    def square(self, node: ops.Square, x: Any) -> Any:
        """CrypTen's square from a shared r and r * r, then a local division and the shared bias."""

        def squared(part: Any) -> Any:
            out = part.square()
            out = out.div(1 << node.halvings) if node.halvings else out
            return out + self._bias(node) if node.biased else out

        return squared(x) if node.active is None else self._partly(node.name, x, squared)

    def select(self, node: ops.Select, x: Any) -> Any:
        """Zeros in both shares where the mask is not."""
        flat = x.share.flatten(1)
        index = torch.from_numpy(self._active[node.name]).to(flat.device)
        kept = torch.zeros_like(flat).index_copy_(1, index, flat.index_select(1, index))
        return _from_share(kept.reshape(x.share.shape))

    def _partly(self, name: str, x: Any, function: Callable[[Any], Any]) -> Any:
        """``function`` of the active positions, gathered; the others pass."""
        flat = x.share.flatten(1).clone()
        index = torch.from_numpy(self._active[name]).to(flat.device)
        gathered = function(_from_share(flat.index_select(1, index)))
        return _from_share(flat.index_copy_(1, index, gathered.share).reshape(x.share.shape))

    def _bias(self, node: ops.Square | ops.Affine) -> Any:
        """The shared bias as the operand is: (C, ...) or, at a square's active positions, (n,)."""
        share = self._weights[f"{node.name}.bias"].share.reshape(-1, *(1,) * (len(node.shape) - 1)).expand(node.shape)
        if isinstance(node, ops.Square) and node.active is not None:
            share = share.reshape(-1)[torch.from_numpy(self._active[node.name]).to(share.device)]
        return _from_share(share)

    def add(self, node: ops.Add, a: Any, b: Any) -> Any:
        """Local sum."""
        return a + b

    def concat(self, node: ops.Concat, xs: list[Any]) -> Any:
        """Local concatenation along channels."""
        return crypten.cat(xs, dim=1)

    def flatten(self, node: ops.Flatten, x: Any) -> Any:
        """Local reshape to (N, C * H * W)."""
        return x.flatten(start_dim=1)

    def avgpool(self, node: ops.AvgPool2d, x: Any) -> Any:
        """Local sum over windows and division by their size."""
        if node.summed:
            (kh, kw), (ph, pw) = node.kernel, node.padding
            padded = torch.nn.functional.pad(x.share, (pw, pw, ph, ph))
            windows = padded.unfold(2, kh, node.stride[0]).unfold(3, kw, node.stride[1])
            return _from_share(windows.sum((-1, -2)))
        return x.avg_pool2d(node.kernel, stride=node.stride, padding=node.padding)

    def maxpool(self, node: ops.MaxPool2d, x: Any) -> Any:
        """A tournament of max(a, b) = b + ReLU(a - b) over each window."""
        flat = x.share.flatten(2)  # (N, C, H W)
        index = torch.from_numpy(_window_positions(node, tuple(x.share.shape[2:]))).to(flat.device)
        windows = _from_share(flat[:, :, index].movedim(2, 0).contiguous())  # (window, N, C, H' W')
        while (size := windows.share.shape[0]) > 1:
            half = size // 2
            a, b, rest = (_from_share(part) for part in windows.share.split([half, half, size - 2 * half]))
            windows = crypten.cat([b + (a - b).relu(), rest], dim=0)
        return _from_share(windows.share[0].reshape(-1, *node.shape))

    def gather(self, node: ops.Gather, x: Any) -> Any:
        """Both shares at the node's positions, zeros where there is none."""
        flat = x.share.flatten(1)
        index = torch.from_numpy(node.indices()).to(flat.device)
        return _from_share(flat[:, index.clamp(min=0)] * (index >= 0))

    def affine(self, node: ops.Affine, x: Any) -> Any:
        """A sign, and the shared bias."""
        signed = x.neg() if node.negated else x
        return signed + self._bias(node) if node.biased else signed

    def truncate(self, node: ops.Truncate, x: Any) -> Any:
        """Nothing to do: CrypTen truncates after every product."""
        return x


def _from_share(share: torch.Tensor) -> Any:
    return crypten.mpc.MPCTensor.from_shares(share)


def _window_positions(node: ops.MaxPool2d, size: tuple[int, ...]) -> NDArray[np.int64]:
    """Flat input position of every window element, (window, H' W').

    A padded position repeats the window's nearest real one, so that padding never wins.
    """
    axes = []
    for axis in (0, 1):
        start = np.arange(node.shape[1 + axis]) * node.stride[axis] - node.padding[axis]
        axes.append(np.clip(start + np.arange(node.kernel[axis])[:, None], 0, size[axis] - 1))
    rows, columns = axes  # (kh, H'), (kw, W')
    flat = rows[:, None, :, None] * size[1] + columns[None, :, None, :]
    return np.ascontiguousarray(flat.reshape(node.kernel[0] * node.kernel[1], -1))
