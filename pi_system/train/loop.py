"""The training loop: resumable at any step, the same on every run, best epoch chosen by validation.

Randomness is drawn from generators seeded by (seed, epoch, step), and the learning rate is a function of the
step, so beside tensors a checkpoint needs counters only and a resumed run continues bit by bit (on a CPU, with the same
number of threads). Under torchrun several processes share every step's pictures (see ``parallel``).
"""

import hashlib
import math
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn
from torch.nn import functional

from pi_system.errors import ConfigError, DivergedError
from pi_system.train.average import WeightAverage
from pi_system.train.checkpoint import Checkpoint
from pi_system.train.config import TrainConfig
from pi_system.train.data.augment import Normalisation, augment
from pi_system.train.data.dataset import DataSet
from pi_system.train.evaluate import Score, evaluate
from pi_system.train.interrupt import stop_requests
from pi_system.train.parallel import any_of, average_, from_first, replicate, share_of, shared_statistics
from pi_system.train.schedule import learning_rates, make_optimizer

# Stands for a step where the order of an epoch's pictures is drawn.
_ORDER = -1


History = list[dict[str, Any]]
"""One entry an epoch, ready for JSON."""


class Interrupted(KeyboardInterrupt):
    """Training was asked to stop; the checkpoint, where there is one, holds everything done so far."""


class Companion:
    """What a method adds to a training run, by itself nothing. Its state is in the network's buffers, to resume."""

    def extra_loss(self) -> Tensor | None:
        """A scalar added to the loss, asked for after both forward passes of a step."""
        return None

    def after_step(self, done: int, steps: int) -> None:
        """Called after each update of the weights, when ``done`` of the run's ``steps`` are."""

    def after_epoch(self) -> bool:
        """Called before an epoch's validation; True ends the run with this epoch."""
        return False

    def figures(self) -> Mapping[str, float]:
        """What else the history says of the epoch that has ended, by name."""
        return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class FitResult:
    """What a run reached; ``history`` has one entry an epoch (losses, validation accuracy, seconds)."""

    validation: Score
    best_epoch: int
    history: History


def fit(
    network: nn.Module,
    data: DataSet,
    config: TrainConfig,
    *,
    teacher: nn.Module | None = None,
    checkpoint: Path | None = None,
    label: str = "train",
    on_epoch: Callable[[History], None] | None = None,
    progress: bool = False,
    companion: Companion | None = None,
    keep: Literal["best", "last"] = "best",
) -> FitResult:
    """Train a network in place; at the end it holds the weights of its best epoch by validation.

    Args:
        network: gives logits (N, classes); masks of its ReLUs are left as they are.
        data: test pictures are not looked at.
        config: the recipe.
        teacher: a network to distill from, used in evaluation mode.
        checkpoint: file to save to after each epoch and when stopped, and to resume from if it is there.
        label: what the progress bar and the history call this run.
        on_epoch: called with the whole history after each epoch.
        progress: show a progress bar on stderr.
        companion: what a reduction method adds to the run.
        keep: ``last`` leaves the weights of the last epoch, and reports that one, instead of the best.

    Raises:
        ConfigError: the checkpoint is of another run.
        DivergedError: the loss is no longer finite.
        Interrupted: Ctrl-C or SIGTERM came; the checkpoint was written.
    """
    return _Run(network, data, config, teacher, checkpoint, label, on_epoch, companion, keep).run(progress)


class _Run:
    def __init__(
        self,
        network: nn.Module,
        data: DataSet,
        config: TrainConfig,
        teacher: nn.Module | None,
        checkpoint: Path | None,
        label: str,
        on_epoch: Callable[[History], None] | None,
        companion: Companion | None,
        keep: Literal["best", "last"],
    ) -> None:
        self.config, self.path, self.label, self.on_epoch = config, checkpoint, label, on_epoch
        self.companion, self.keep = companion, keep
        self.device = config.torch_device()
        self.network: Any = network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.teacher = None
        if teacher is not None:
            self.teacher = teacher.to(self.device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
        self.train = data.train.to(self.device)
        self.validation = data.validation.to(self.device)
        self.preprocess, self.augmentation = data.preprocess, data.augmentation.with_border(config.crop)
        self.normalise = Normalisation.of(data.preprocess, self.device)
        self.autocast = torch.bfloat16 if config.precision == "bfloat16" else None
        self.batch = min(config.batch_size, len(self.train))
        self.steps = len(self.train) // self.batch
        self.optimizer = make_optimizer(self.network, config)
        self.rates = learning_rates(config, config.epochs * self.steps)
        self.average = WeightAverage(self.network, config.ema) if config.ema else None
        self.state = from_first(self._stored())
        self._start()
        self.forward: Any = replicate(self.network)
        if config.compile and companion is None:  # a companion changes the network between steps
            self.forward = torch.compile(self.forward)

    def _stored(self) -> Checkpoint:
        identity = {"label": self.label, "pictures": len(self.train), **self.config.recorded()}
        identity.pop("device")  # a run may move to another device
        if self.path is None or not self.path.is_file():
            return Checkpoint(identity=identity, model={}, optimizer={}, best={})
        return Checkpoint.load(self.path, identity)

    def _start(self) -> None:
        """Take over what the checkpoint holds."""
        if not self.state.model:
            return
        try:
            self.network.load_state_dict(self.state.model)
        except RuntimeError as error:
            raise ConfigError(f"{self.path}: expected a checkpoint of this network; found another's") from error
        parameters = dict(self.network.named_parameters())
        for place, tensor in self.state.optimizer.items():
            name, _, key = place.rpartition("|")
            # Adam's step count stays a scalar; everything else has the parameter's layout in memory.
            like = parameters[name] if tensor.dim() else tensor
            self.optimizer.state[parameters[name]][key] = torch.empty_like(like).copy_(tensor)
        if self.average is not None:
            self.average.restore(self.state.average)

    def run(self, progress: bool) -> FitResult:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with (
            Progress(*columns, console=Console(stderr=True), disable=not progress) as bar,
            stop_requests() as stop,
            shared_statistics(self.network),
        ):
            done = self.state.epoch * self.steps + self.state.step
            task = bar.add_task(self.label, total=self.config.epochs * self.steps, completed=done)
            while not self._done():
                self._epoch(stop, lambda: bar.advance(task))
                accuracy = self.state.history[-1]["validation_accuracy"]
                bar.update(task, description=f"{self.label} (validation {accuracy:.2%})")
        return self._finish()

    def _done(self) -> bool:
        history = self.state.history
        return self.state.epoch >= self.config.epochs or (bool(history) and "ended" in history[-1])

    def _epoch(self, stop: threading.Event, advance: Callable[[], None]) -> None:
        started = time.monotonic()
        state = self.state
        order = torch.randperm(len(self.train), generator=self._generator(state.epoch, _ORDER))
        order = order.to(self.device)
        loss_sum = torch.tensor(state.loss_sum, dtype=torch.float64, device=self.device)
        self.network.train()
        for step in range(state.step, self.steps):
            loss_sum += self._step(order[step * self.batch : (step + 1) * self.batch], step)
            advance()
            if any_of(stop.is_set()):
                average_([loss_sum])
                self._save(step=step + 1, loss_sum=float(loss_sum))
                how = "lost" if self.path is None else "saved: the same command goes on from here"
                raise Interrupted(f"{self.label} stopped in epoch {state.epoch + 1}, {how}")
        average_([loss_sum])
        self._close_epoch(float(loss_sum) / self.steps, time.monotonic() - started)

    def _step(self, index: Tensor, step: int) -> Tensor:
        """Update the weights on the pictures at ``index`` (N,); return this process's loss, float32 scalar."""
        images, labels = self.train.images[index], self.train.labels[index]
        if self.config.augment:
            images = augment(images, self.augmentation, self._generator(self.state.epoch, step))
        x, labels = self.normalise(share_of(images)), share_of(labels)
        for group in self.optimizer.param_groups:
            group["lr"] = self.rates[self._done_steps(step)]
        with torch.autocast(self.device.type, self.autocast, enabled=self.autocast is not None):
            logits = self.forward(x)
            loss = self._loss(logits.float(), labels, x)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        if self.average is not None:
            self.average.update(self._done_steps(step + 1))
        if self.companion is not None:
            self.companion.after_step(self._done_steps(step + 1), self.config.epochs * self.steps)
        return loss.detach()

    def _loss(self, logits: Tensor, labels: Tensor, x: Tensor) -> Tensor:
        loss = functional.cross_entropy(logits, labels, label_smoothing=self.config.label_smoothing)
        if self.teacher is not None:
            heat = self.config.distill_temperature
            with torch.no_grad():
                target = functional.log_softmax(self.teacher(x).float() / heat, dim=1)
            found = functional.log_softmax(logits / heat, dim=1)
            gap = functional.kl_div(found, target, reduction="batchmean", log_target=True)
            loss = loss + self.config.distill_weight * heat * heat * gap
        extra = None if self.companion is None else self.companion.extra_loss()
        return loss if extra is None else loss + extra

    def _close_epoch(self, loss: float, seconds: float) -> None:
        state = self.state
        if not math.isfinite(loss):
            raise DivergedError(
                f"{self.label}: expected a finite loss; found {loss} in epoch {state.epoch + 1} "
                f"(learning_rate {self.config.learning_rate} may be too high)"
            )
        ended = self.companion is not None and self.companion.after_epoch()
        with nullcontext() if self.average is None else self.average.applied():
            score = from_first(evaluate(self.network, self.validation, self.preprocess, autocast=self.autocast))
            if self.keep == "last" or not state.history or score >= max(map(_score, state.history)):
                state.best = {k: v.detach().clone() for k, v in self.network.state_dict().items()}
        state.history.append(
            {
                "phase": self.label,
                "epoch": state.epoch + 1,
                "train_loss": loss,
                "validation_accuracy": score.accuracy,
                "validation_loss": -score.negated_loss,
                "seconds": round(seconds, 3),
                **({} if self.companion is None else self.companion.figures()),
                **({"ended": True} if ended else {}),
            }
        )
        state.epoch += 1
        self._save(step=0, loss_sum=0.0)
        if self.on_epoch is not None:
            self.on_epoch(state.history)

    def _finish(self) -> FitResult:
        history = self.state.history
        if not history:
            score = evaluate(self.network, self.validation, self.preprocess, autocast=self.autocast)
            return FitResult(validation=score, best_epoch=0, history=[])
        self.network.load_state_dict(self.state.best)
        self.network.eval()
        best = max(map(_score, history)) if self.keep == "best" else _score(history[-1])
        epoch = max(k for k, entry in enumerate(history, start=1) if _score(entry) == best)
        return FitResult(validation=best, best_epoch=epoch, history=history)

    def _save(self, *, step: int, loss_sum: float) -> None:
        self.state.step, self.state.loss_sum = step, loss_sum
        if self.path is None:
            return
        self.state.model = self.network.state_dict()
        self.state.average = {} if self.average is None else self.average.values
        self.state.optimizer = {
            f"{name}|{key}": value
            for name, parameter in self.network.named_parameters()
            for key, value in self.optimizer.state[parameter].items()
            if isinstance(value, Tensor)
        }
        self.state.save(self.path)

    def _generator(self, epoch: int, step: int) -> torch.Generator:
        # torch's CPU generator looks at 32 bits of its seed only, so the three numbers are hashed to as many.
        name = f"{self.config.seed}/{epoch}/{step}".encode()
        return torch.Generator().manual_seed(int.from_bytes(hashlib.sha256(name).digest()[:4]))

    def _done_steps(self, step: int) -> int:
        return self.state.epoch * self.steps + step


def _score(entry: dict[str, Any]) -> Score:
    return Score(entry["validation_accuracy"], -entry["validation_loss"])
