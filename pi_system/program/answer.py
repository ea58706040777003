"""What a client reads in what was opened: a class with its score, or the value of a network with one output."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pi_system.artifact.preprocess import Preprocess
from pi_system.program.reveal import Reveal

__all__ = ["OUT_OF_RANGE", "Answer", "Ranked", "read_answer", "top_classes"]

OUT_OF_RANGE = (
    "answer: expected a class, found a number that is none: the input's values leave the range that the network was "
    "calibrated for, or the server computed something else"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One input's answer.

    Attributes:
        label: the class's name; None: the network has one output and no classes.
        index: of the class, in the order of the classes; None: there is one output.
        score: the softmax of that class; None where only the label was revealed, or there is one output.
        scores: of every class, as ``score``.
        logits: of every class, exact or rounded as they were revealed; None where only the label was.
        value: the output of a network that has one; None: it has classes.
        output: name of that output; None as before.

    With neither index nor value there is no answer: what was opened is no class. The input's values left the range that
    the network was calibrated for, or the server computed something else.
    """

    label: str | None
    index: int | None
    score: float | None
    scores: tuple[float, ...] | None
    logits: tuple[float, ...] | None
    value: float | None
    output: str | None = None

    @property
    def missing(self) -> bool:
        """There is none."""
        return self.index is None and self.value is None

    def __str__(self) -> str:
        """For people: the label, with its score, or the output's name and value."""
        if self.value is not None:
            return f"{self.output} {self.value:.6g}"
        if self.missing:
            return "no class"
        return f"{self.label}" if self.score is None else f"{self.label}  score {self.score:.4f}"


def read_answer(output: NDArray[np.float64], preprocess: Preprocess, reveal: Reveal) -> Answer:
    """The answer in one row: logits or scores (classes,), or a class index (1,), by ``reveal``."""
    classes = preprocess.classes
    if len(classes) == 1 and reveal != "label":
        value = float(output[0])
        return Answer(label=None, index=None, score=None, scores=None, logits=(value,), value=value, output=classes[0])
    if reveal == "label":
        best = int(output[0])
        if not 0 <= best < len(classes):
            return Answer(label=None, index=None, score=None, scores=None, logits=None, value=None)
        return Answer(label=classes[best], index=best, score=None, scores=None, logits=None, value=None)
    best, logits = int(output.argmax()), tuple(float(value) for value in output)
    scores = tuple(float(score) for score in softmax(output))
    return Answer(label=classes[best], index=best, score=scores[best], scores=scores, logits=logits, value=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranked:
    """One class of an answer.

    Attributes:
        label: its name.
        index: in the order of the classes.
        score: its softmax; None where only the label was revealed.
        logit: exact or rounded as it was revealed; None as before.
    """

    label: str
    index: int
    score: float | None
    logit: float | None

    def __str__(self) -> str:
        """For people, as an Answer."""
        return self.label if self.score is None else f"{self.label}  score {self.score:.4f}"


def top_classes(answer: Answer, preprocess: Preprocess, count: int) -> tuple[Ranked, ...]:
    """The ``count`` most likely classes, the first one first; fewer where fewer were revealed, or there are.

    Of classes with the same logit the earlier one comes first, as in the answer.
    """
    if answer.index is None:
        return ()
    if answer.scores is None or answer.logits is None:
        return (Ranked(label=preprocess.classes[answer.index], index=answer.index, score=None, logit=None),)
    order = np.argsort(-np.array(answer.logits), kind="stable")[:count]
    return tuple(
        Ranked(label=preprocess.classes[i], index=int(i), score=answer.scores[i], logit=answer.logits[i]) for i in order
    )


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Along the last axis."""
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True), np.float64)
