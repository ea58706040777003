"""CryptoNAS's search: a controller draws architectures, and learns which ones do well with weights that all share.

Weights: every step of the training loop draws an architecture and trains the shared weights on it. Controller: after
every epoch it draws architectures, takes their accuracy on held-out training pictures as the reward, and follows
REINFORCE with a moving average as baseline. At the end the best of some drawn architectures is taken.

Source: ``CryptoNas.SOURCE``, and the authors' code (zghodsi/CryptoNAS): the controller (two LSTM layers of 32, logits
1.5 tanh, attention for skips, Adam at 1e-3, entropy 1e-4, baseline 0.999, skips pulled to a share of 0.4 with weight
0.8), separable convolutions in the search that are whole ones afterwards, skips as sums in the search. Differs: 50
times 20 architectures an epoch there, ``controller_steps`` here; ReLU before the convolution as in the final network.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from pi_system.reduce.method import ReductionTask
from pi_system.reduce.outer import HeldOut, OuterAdam, generator_of, split_training
from pi_system.reduce.training import train_student
from pi_system.train.blocks import conv_bn
from pi_system.train.loop import Companion
from pi_system.train.macro import KERNELS, MacroLayer, halving, macro_text, third
from pi_system.train.networks import Classifier
from pi_system.train.spec import NetworkSpec

_HIDDEN = 32
_TANH = 1.5
_ENTROPY_WEIGHT = 1e-4
_BASELINE_DECAY = 0.999
_SKIP_TARGET, _SKIP_WEIGHT = 0.4, 0.8
_RATE = 1e-3
_CANDIDATES = 10


class Draw(NamedTuple):
    """An architecture, minus the logarithm of its probability, its entropy, and how far skips are from their target."""

    layers: tuple[MacroLayer, ...]
    surprise: Tensor
    entropy: Tensor
    skip_penalty: Tensor


class Controller(nn.Module):
    """The distribution over architectures of so many layers."""

    def __init__(self, layers: int) -> None:
        """Draw the weights uniformly from -0.1 to 0.1."""
        super().__init__()
        self.layers = layers
        self.start = nn.Parameter(torch.empty(1, _HIDDEN))
        self.lstm = nn.ModuleList(nn.LSTMCell(_HIDDEN, _HIDDEN, bias=False) for _ in range(2))
        self.embedding = nn.Parameter(torch.empty(len(KERNELS), _HIDDEN))
        self.operation = nn.Parameter(torch.empty(_HIDDEN, len(KERNELS)))
        self.anchor, self.query = (nn.Parameter(torch.empty(_HIDDEN, _HIDDEN)) for _ in range(2))
        self.value = nn.Parameter(torch.empty(_HIDDEN, 1))
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -0.1, 0.1)

    def draw(self, generator: torch.Generator | None) -> Draw:
        """Draw an architecture; without a generator take the most probable choice each time."""
        state: list[tuple[Tensor, Tensor] | None] = [None, None]
        x: Tensor = self.start
        anchors, layers = list[Tensor](), list[MacroLayer]()
        surprises, penalties = list[Tensor](), list[Tensor]()
        for index in range(self.layers):
            h = self._step(x, state)
            logits = _TANH * torch.tanh(h @ self.operation)
            operation = _choose(logits, generator)
            surprises.append(functional.cross_entropy(logits, operation, reduction="none"))
            h = self._step(self.embedding[operation], state)
            skips: Sequence[int] = ()
            x = self.start
            if index:
                logits = self._skip_logits(h, torch.cat(anchors))
                chosen = _choose(logits, generator)
                surprises.append(functional.cross_entropy(logits, chosen, reduction="none"))
                penalties.append(_penalty(logits))
                x = (chosen[None].float() @ torch.cat(anchors)) / (1 + chosen.sum())
                skips = chosen.nonzero()[:, 0].tolist()
            anchors.append(h)
            layers.append(MacroLayer(int(operation), tuple(skips)))
        surprise = torch.cat(surprises)
        entropy = (surprise * torch.exp(-surprise)).detach().sum()
        return Draw(tuple(layers), surprise.sum(), entropy, torch.stack(penalties).mean())

    def _step(self, x: Tensor, state: list[tuple[Tensor, Tensor] | None]) -> Tensor:
        for k, cell in enumerate(self.lstm):
            state[k] = cell(x, state[k])
            x = state[k][0]  # type: ignore[index]
        return x

    def _skip_logits(self, h: Tensor, anchors: Tensor) -> Tensor:
        """(earlier layers, 2): for not skipping from it, and for skipping."""
        query = torch.tanh(anchors @ self.anchor + h @ self.query) @ self.value
        return _TANH * torch.tanh(torch.cat([-query, query], 1))


def _choose(logits: Tensor, generator: torch.Generator | None) -> Tensor:
    """One of the columns for each row, int64 (rows,)."""
    if generator is None:
        return logits.argmax(1)
    probabilities = functional.softmax(logits.detach(), 1).cpu()
    return torch.multinomial(probabilities, 1, generator=generator)[:, 0].to(logits.device)


def _penalty(logits: Tensor) -> Tensor:
    target = torch.tensor([1 - _SKIP_TARGET, _SKIP_TARGET], device=logits.device)
    share = torch.sigmoid(logits)
    return (share * torch.log(share / target)).sum()


class _SearchLayer(nn.Module):
    """All operations of a layer; the one drawn is applied, and what is skipped from is added."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.operations = nn.ModuleList(_operation(width, index) for index in range(len(KERNELS)))
        self.bn = nn.BatchNorm2d(width)

    def forward(self, outputs: list[Tensor], layer: MacroLayer) -> Tensor:
        y = self.operations[layer.operation](functional.relu(outputs[-1]))
        for skip in layer.skips:
            y = y + outputs[skip]
        return self.bn(y)  # type: ignore[no-any-return]


def _operation(width: int, index: int) -> nn.Module:
    kernel = KERNELS[index]
    if index % 2 == 0:
        return conv_bn(width, width, kernel)
    depthwise = nn.Conv2d(width, width, kernel, padding=kernel // 2, groups=width, bias=False)
    return nn.Sequential(depthwise, nn.Conv2d(width, width, 1, bias=False), nn.BatchNorm2d(width))


class MacroSupernet(Classifier):
    """Weights of all architectures, and the controller.

    Channels stay the same after a halving, as in the authors' code. In training a forward pass is through a drawn
    architecture, in evaluation through the most probable one.
    """

    draws: Tensor
    baseline: Tensor

    def __init__(self, layers: int, width: int, spec: NetworkSpec, seed: int) -> None:
        """Build for the pictures and classes of ``spec``; ``seed`` is of the draws."""
        super().__init__(spec.classes)
        self.stem = conv_bn(spec.channels, width, 3, spec.stride)
        self.layers = nn.ModuleList(_SearchLayer(width) for _ in range(layers))
        self.halvings = nn.ModuleDict(
            {f"{index}_{k}": halving(width, width) for index in self._ends(layers) for k in range(index + 2)}
        )
        self.controller = Controller(layers)
        self.register_buffer("draws", torch.tensor(0))
        self.register_buffer("baseline", torch.tensor(0.0))
        self._seed = seed
        self._finish(width)

    @staticmethod
    def _ends(layers: int) -> tuple[int, int]:
        return third(layers) - 1, 2 * third(layers) - 1

    def draw(self) -> Draw:
        """A new architecture; the count of draws is part of the state."""
        self.draws += 1
        return self.controller.draw(generator_of(self._seed, int(self.draws)))

    def features(self, x: Tensor) -> Tensor:
        """See ``Classifier``."""
        with torch.no_grad():
            layers = self.draw().layers if self.training else self.controller.draw(None).layers
        return self._through(x, layers)

    def logits_of(self, x: Tensor, layers: tuple[MacroLayer, ...]) -> Tensor:
        """Logits through one architecture."""
        return self.fc(self.flatten(self.pool(self._through(x, layers))))  # type: ignore[no-any-return]

    def _through(self, x: Tensor, layers: tuple[MacroLayer, ...]) -> Tensor:
        outputs: list[Tensor] = [self.stem(x)]
        for index, (module, layer) in enumerate(zip(self.layers, layers, strict=True)):
            outputs.append(module(outputs, layer))
            if index in self._ends(len(layers)):
                outputs = [self.halvings[f"{index}_{k}"](y) for k, y in enumerate(outputs)]
        return outputs[-1]


class _Reinforce(Companion):
    """The companion: after each epoch of the shared weights, the controller learns."""

    def __init__(self, supernet: MacroSupernet, held_out: HeldOut, steps: int) -> None:
        self._supernet, self._held_out, self._steps = supernet, held_out, steps
        supernet.optimizer = OuterAdam(list(supernet.controller.parameters()), rate=_RATE)

    def after_epoch(self) -> bool:
        """Let the controller learn; never end early."""
        for _ in range(self._steps):
            self.step()
        return False

    def step(self) -> float:
        """Draw, look at the accuracy, and move the controller; returns the reward."""
        net = self._supernet
        with torch.enable_grad():
            draw = net.draw()
        reward = self.accuracy(draw.layers, int(net.draws)) + _ENTROPY_WEIGHT * float(draw.entropy)
        net.baseline -= (1 - _BASELINE_DECAY) * (net.baseline - reward)
        loss = draw.surprise * (reward - float(net.baseline)) + _SKIP_WEIGHT * draw.skip_penalty
        optimizer: OuterAdam = net.optimizer  # type: ignore[assignment]
        optimizer.step(loss)
        return reward

    def accuracy(self, layers: tuple[MacroLayer, ...], number: int) -> float:
        """Share of a held-out batch that the shared weights classify right."""
        net = self._supernet
        training = net.training
        x, labels = self._held_out.batch(number)
        with torch.no_grad():
            right = net.eval().logits_of(x, layers).argmax(1) == labels
        net.train(training)
        return float(right.float().mean())


def search_macro(task: ReductionTask, layers: int, *, width: int, epochs: int, controller_steps: int) -> str:
    """Search an architecture on the task's data; the text of ``macro``.

    Raises:
        Interrupted: stopped; the same call resumes from the task's work directory.
    """
    seed = task.finetune.seed
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        supernet = MacroSupernet(layers, width, task.spec, seed)
    data, held_out = split_training(task)
    companion = _Reinforce(supernet, HeldOut(task, held_out), controller_steps)
    config = replace(task.finetune, epochs=epochs, distill_weight=0.0, ema=0.0)
    train_student(replace(task, data=data), supernet, config, "search", companion=companion, keep="last")
    with torch.no_grad():
        drawn = [supernet.draw().layers for _ in range(_CANDIDATES)]
    best = max(drawn, key=lambda one: companion.accuracy(one, -2))
    return macro_text(best)
