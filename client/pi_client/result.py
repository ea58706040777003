"""What ``pi-client infer`` prints: for people, and as one JSON object."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pi_system.artifact.model import PublicModel
from pi_system.errors import ConfigError, FixedPointRangeError, RevealError
from pi_system.program.answer import OUT_OF_RANGE, Answer, read_answer, top_classes
from pi_system.rpc.choosing import Explained
from pi_system.rpc.phase_cost import OnlineCost, PreparationCost
from pi_system.rpc.session_config import SessionConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class InferResult:
    """One ``infer`` call.

    Attributes:
        model: the public model.
        config: the session's.
        names: of the inputs: a file, or ``file[index]``.
        outputs: logits or scores (N, classes), or class indices (N, 1), by ``config.revealed``.
        online: cost of the online phase, for all pictures.
        offline: cost of the offline phase behind it, None if there is no record of it.
        prepared_now: that offline phase ran in this call.
        request: what both sides' logs call the session that answered last.
        choice: what ``auto`` stood for, and why; None: the backend was named.
        top_k: how many classes of each input are named, most likely first; None: the first, as label and score.
        asked: inputs of the call, of which those of ``names`` are the first.
    """

    model: PublicModel
    config: SessionConfig
    names: tuple[str, ...]
    outputs: NDArray[np.float64]
    online: OnlineCost
    offline: PreparationCost | None
    prepared_now: bool
    request: str = ""
    choice: Explained | None = None
    top_k: int | None = None
    asked: int

    def as_json(self) -> dict[str, Any]:
        """The JSON object.

        ``asked``: inputs of the call; ``predictions`` has fewer where it failed or was stopped in the middle.
        ``predictions``: an input's name, class index, label, score (softmax), logits and value. Under ``scores`` the
        logits are rounded to multiples of ``score_step``, which is null otherwise; under ``label`` score and logits are
        null; all of them where what was opened is no class. Of a network with one output, ``value`` is that, ``output``
        its name, and class, label and score are null; else ``value`` and ``output`` are null. ``top``: the first
        ``top_k`` classes with the same of each, null unless they were asked for. ``online_*`` are of all inputs
        together, as is ``ready_ms``, which comes before them: material is marked as used, durably, and read; ``relus``
        counts those of all inputs, ``us_per_relu`` is 1000 * online_ms / relus and ``bytes_per_relu`` the online
        payload / relus, both directions, null for a network without. ``offline_ms`` and ``offline_bytes`` are of
        ``offline_count`` inferences, which were prepared in this call if ``prepared_now``, null if unknown. ``choice``:
        what ``auto`` stood for and what was predicted of the others (``Decision.as_json`` in cost/choice.py), null
        where the backend was named.
        """
        online, offline, relus = self.online, self.offline, self.relus
        payload = online.client_to_server_bytes + online.server_to_client_bytes
        return {
            "schema": 1,
            "model": self.model.name,
            "artifact_digest": self.model.digest,
            "backend": self.config.backend,
            "choice": None if self.choice is None else self.choice.as_json(),
            "reveal": self.config.revealed,
            "score_step": 2.0**self.score_step_log2 if self.config.revealed == "scores" else None,
            "request": self.request,
            "insecure_provider": self.config.insecure_provider,
            "asked": self.asked,
            "predictions": [self._prediction(i) for i in range(len(self.names))],
            "relus": relus,
            "ready_ms": online.ready_ms,
            "online_ms": online.online_ms,
            "online_rounds": online.rounds,
            "online_bytes": {
                "client_to_server": online.client_to_server_bytes,
                "server_to_client": online.server_to_client_bytes,
            },
            "frame_bytes": online.frame_bytes,
            "us_per_relu": 1000 * online.online_ms / relus if relus else None,
            "bytes_per_relu": payload / relus if relus else None,
            "prepared_now": self.prepared_now,
            "offline_count": offline.count if offline else None,
            "offline_ms": offline.offline_ms if offline else None,
            "offline_bytes": offline.offline_bytes if offline else None,
        }

    def check_answers(self) -> None:
        """Raise FixedPointRangeError if an input has no answer; names the first."""
        for index, name in enumerate(self.names):
            if self._answer(index).missing:
                raise FixedPointRangeError(f"{name}: {OUT_OF_RANGE}")

    @property
    def score_step_log2(self) -> int:
        """Of the step that scores are rounded to."""
        return self.model.ring.score_step(self.model.graph.output)

    @property
    def relus(self) -> int:
        """Active ReLU positions, of all inputs."""
        return sum(node.active for node in self.model.graph.relus()) * len(self.names)

    def lines(self) -> list[str]:
        """The same for people."""
        data = self.as_json()
        lines = [line for index, name in enumerate(self.names) for line in self._answer_lines(index, name)]
        sizes = data["online_bytes"]
        lines.append(
            f"online   {data['online_ms']:.1f} ms, {data['online_rounds']} rounds, "
            f"{sizes['client_to_server']:,} bytes to the server, {sizes['server_to_client']:,} to the client"
        )
        if self.relus:
            lines.append(
                f"per ReLU {data['us_per_relu']:.3f} us, {data['bytes_per_relu']:.1f} bytes ({self.relus:,} ReLUs)"
            )
        lines.append(f"offline  {self._offline_line()}")
        lines.append(f"reveals  {self._revealed_line()}")
        if self.choice is not None:
            lines.append(f"backend  {self.choice.line()}")
        model = f"model    {data['model']}, artifact {data['artifact_digest'][:16]}, backend {data['backend']}"
        lines.append(model + (f", request {self.request}" if self.request else ""))
        return lines

    def _revealed_line(self) -> str:
        step = f", logits in steps of 2^{self.score_step_log2}" if self.config.revealed == "scores" else ""
        return f"{self.config.revealed}{step}"

    def _offline_line(self) -> str:
        if self.offline is None:
            return "prepared ahead, cost not recorded"
        when = "prepared in this call" if self.prepared_now else "prepared ahead"
        cost = self.offline
        return f"{cost.offline_ms:.1f} ms, {cost.offline_bytes:,} bytes for {cost.count} inferences, {when}"

    def _answer(self, index: int) -> Answer:
        return read_answer(self.outputs[index], self.model.preprocess, self.config.revealed)

    def _answer_lines(self, index: int, name: str) -> list[str]:
        """The answer, and the classes after the first where more were asked for, below it."""
        answer = self._answer(index)
        more = top_classes(answer, self.model.preprocess, self.top_k or 1)[1:]
        return [f"{name}: {answer}", *(f"{' ' * len(name)}  {one}" for one in more)]

    def _prediction(self, index: int) -> dict[str, Any]:
        answer = self._answer(index)
        return {
            "path": self.names[index],
            "class": answer.index,
            "label": answer.label,
            "score": answer.score,
            "logits": None if answer.logits is None else list(answer.logits),
            "value": answer.value,
            "output": answer.output,
            "top": self._top(answer),
        }

    def _top(self, answer: Answer) -> list[dict[str, Any]] | None:
        if self.top_k is None:
            return None
        found = top_classes(answer, self.model.preprocess, self.top_k)
        return [{"class": one.index, "label": one.label, "score": one.score, "logit": one.logit} for one in found]


def check_top_k(top_k: int | None, model: PublicModel, config: SessionConfig) -> None:
    """Before anything is spent: that so many classes can be named.

    Raises:
        RevealError: only the label is revealed, which names one.
        ConfigError: the network has one output, and no classes.
    """
    if top_k is None:
        return
    if len(model.preprocess.classes) == 1:
        raise ConfigError("top-k: expected a network with classes, found one with a single output")
    if top_k > 1 and config.revealed == "label":
        raise RevealError(
            f"top-k: expected 1, or scores or logits revealed (pi-server serve --reveal), found {top_k} of a label"
        )
