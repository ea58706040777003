"""What a prediction gives: answers, and what they cost."""

import operator
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pi_system.artifact.model import PublicModel
from pi_system.errors import FixedPointRangeError, InputError
from pi_system.program.answer import OUT_OF_RANGE, Answer, read_answer, softmax
from pi_system.program.reveal import Reveal

__all__ = ["Answer", "Cost", "Result"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a call cost, all inputs together.

    Attributes:
        online_ms: from the first online byte to the result, wall-clock.
        online_rounds: times the client waited for an answer.
        online_bytes: payload in both directions.
        offline_ms: of the last offline phase behind this call; None: there is no record of it.
        offline_bytes: payload of that on all connections; None as before.
        offline_count: inferences that it was for; None as before.
        prepared_now: that phase ran in this call.
    """

    online_ms: float
    online_rounds: int
    online_bytes: int
    offline_ms: float | None = None
    offline_bytes: int | None = None
    offline_count: int | None = None
    prepared_now: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Result:
    """The answers of one call, in the order of its inputs: a sequence of ``Answer``.

    Attributes:
        model: public part of the network that answered.
        reveal: what was opened: label, scores or logits.
        outputs: that, (N, classes) or of labels (N, 1).
        names: of the inputs: a file, ``file[index]``, or a number.
        cost: of the call; None: nothing was sent.
    """

    model: PublicModel
    reveal: Reveal
    outputs: NDArray[np.float64]
    names: tuple[str, ...]
    cost: Cost | None = None

    def __len__(self) -> int:
        """Number of inputs."""
        return len(self.outputs)

    def __getitem__(self, index: int) -> Answer:
        """The answer to one input. Raises IndexError."""
        return read_answer(self.outputs[operator.index(index)], self.model.preprocess, self.reveal)

    def __iter__(self) -> Iterator[Answer]:
        """All answers."""
        return (self[index] for index in range(len(self)))

    @property
    def label(self) -> str:
        """Of the only input.

        Raises:
            InputError: there are several, or the network has one output and no labels.
            FixedPointRangeError: it has no answer, see Answer.
        """
        return _label(self._only())

    @property
    def score(self) -> float | None:
        """Of the only input's label. Raises InputError: there are several."""
        return self._only().score

    @property
    def value(self) -> float | None:
        """Of the only input, for a network with one output. Raises InputError: there are several inputs."""
        return self._only().value

    @property
    def labels(self) -> tuple[str, ...]:
        """Of all inputs. Errors as ``label``, but of several inputs."""
        return tuple(_label(answer) for answer in self)

    @property
    def values(self) -> tuple[float, ...]:
        """Of all inputs, for a network with one output. Raises InputError: it has classes."""
        if len(self.model.preprocess.classes) > 1:
            raise InputError("result: expected a network with one output, found classes: take labels or logits")
        return tuple(float(value) for value in self.outputs[:, 0])

    @property
    def logits(self) -> NDArray[np.float64] | None:
        """Exact or rounded as they were revealed, (N, classes); None where only labels were."""
        return None if self.reveal == "label" else self.outputs

    @property
    def scores(self) -> NDArray[np.float64] | None:
        """Softmax of the logits, (N, classes); None where only labels were revealed, or there is one output."""
        return None if self.reveal == "label" or self.outputs.shape[1] == 1 else softmax(self.outputs)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        answers = [
            {"input": name, "label": one.label, "score": one.score, "value": one.value, "output": one.output}
            for name, one in zip(self.names, self, strict=True)
        ]
        cost = None if self.cost is None else {name: getattr(self.cost, name) for name in Cost.__slots__}
        return {"answers": answers, "reveal": self.reveal, "cost": cost}

    def __str__(self) -> str:
        """A line an input."""
        return "\n".join(f"{name}: {answer}" for name, answer in zip(self.names, self, strict=True))

    def _only(self) -> Answer:
        if len(self) != 1:
            raise InputError(f"result: expected one input, found {len(self)}: take labels, scores or result[index]")
        return self[0]


def _label(answer: Answer) -> str:
    if answer.missing:
        raise FixedPointRangeError(OUT_OF_RANGE)
    if answer.label is None:
        raise InputError("result: expected a network with classes, found one with one output: take value or values")
    return answer.label
