"""A network ready for private inference: made of a torch module, kept in a folder, tried out, priced."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pi_system.api.guard import path, typed
from pi_system.api.in_process import infer_here
from pi_system.api.inputs import Inputs, read_inputs
from pi_system.api.result import Result
from pi_system.artifact import store
from pi_system.artifact.model import Artifact
from pi_system.artifact.preprocess import Preprocess
from pi_system.backends.registry import AUTO, AUTO_BACKENDS, check_runs, runnable, why_not
from pi_system.channel.link import parse_link
from pi_system.cost import Prediction, default_calibration, predict, resolve
from pi_system.errors import ConfigError, FixedPointRangeError
from pi_system.export.compare_bits import CompareBits, CompareOptions, choose_compare_bits
from pi_system.export.compile import Preprocessing, calibration_inputs, compile_network
from pi_system.export.quantise import QuantiseOptions
from pi_system.networks import BUILTIN_PREFIX, artifact_folder
from pi_system.program.counts import relu_count
from pi_system.program.encoding import check_values
from pi_system.program.fixed_point import fixed_logits
from pi_system.program.float_point import float_logits
from pi_system.program.reveal import Reveal

__all__ = ["Model", "compile", "load", "profile"]

_BATCH = 64
_Logits = Callable[[NDArray[np.float32], Sequence[str]], NDArray[np.float64]]

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """An exported network with its weights: what a server serves.

    Attributes:
        artifact: all of it; the weights are the server's secret.
    """

    artifact: Artifact

    @property
    def classes(self) -> tuple[str, ...]:
        """Names, in the order of the logits."""
        return self.artifact.public.preprocess.classes

    @property
    def preprocess(self) -> Preprocess:
        """How files become inputs."""
        return self.artifact.public.preprocess

    @property
    def digest(self) -> str:
        """Of the public part, in hex: what ``pi.Client(digest=...)`` compares."""
        return self.artifact.public.digest

    @property
    def relus(self) -> int:
        """ReLUs of one inference."""
        return relu_count(self.artifact.public.graph)

    def save(self, folder: str | PathLike[str]) -> Path:
        """Write the artifact as ``folder``, which must not exist; the weights' files are of mode 0600.

        Raises:
            ArtifactError: it exists, or cannot be written.
        """
        place = path("model", folder)
        with typed():
            store.save(self.artifact, place)
        return place

    def simulate(self, inputs: Inputs) -> Result:
        """What a private inference would answer, computed in the clear in fixed point: fast, in batches, without cost.

        Args:
            inputs: see ``Inputs``.

        Returns:
            Logits of the integers that the secure run computes with; its roundings differ in the last bits.

        Raises:
            InputError: the inputs cannot be used.
            FixedPointRangeError: naming one of them that leaves the calibrated range, where a private run's answer is
                undefined.
        """
        arrays, names = read_inputs(inputs, self.preprocess)
        return self._answers(arrays, names, self._simulated)

    def plaintext(self, inputs: Inputs) -> Result:
        """What the network, its weights rounded to the artifact's, answers in float32; errors as ``simulate``."""
        arrays, names = read_inputs(inputs, self.preprocess)
        return self._answers(arrays, names, lambda batch, _: np.asarray(float_logits(self.artifact, batch), np.float64))

    def predict(self, inputs: Inputs, backend: str = AUTO, reveal: Reveal = "logits") -> Result:
        """A private inference, offline and online phase, with both parties in this process.

        Args:
            inputs: see ``Inputs``.
            backend: gmw, gc, table or fss; auto: the fastest online as predicted, of those without a third party.
            reveal: what is opened: label, scores or logits.

        Raises:
            InputError: the inputs cannot be used.
            ConfigError: the backend cannot run this network here.
            StorageError: there is no room for the material, which is kept in a file meanwhile.
        """
        arrays, names = read_inputs(inputs, self.preprocess)
        check_values(arrays, names, self.artifact.public)
        with typed():
            backend = resolve(backend, self.artifact, reveal=reveal)
            outputs, cost = infer_here(self.artifact, arrays, backend, reveal)
        return Result(model=self.artifact.public, reveal=reveal, outputs=outputs, names=names, cost=cost)

    def _answers(self, arrays: NDArray[np.float32], names: Sequence[str], logits: _Logits) -> Result:
        starts = range(0, len(arrays), _BATCH)
        parts = [logits(arrays[start : start + _BATCH], names[start : start + _BATCH]) for start in starts]
        return Result(model=self.artifact.public, reveal="logits", outputs=np.concatenate(parts), names=tuple(names))

    def _simulated(self, batch: NDArray[np.float32], names: Sequence[str]) -> NDArray[np.float64]:
        try:
            return fixed_logits(self.artifact, batch, check_range=True)[1]
        except FixedPointRangeError as error:
            if len(batch) == 1:
                raise FixedPointRangeError(
                    f"input {names[0]}: {error}: a private run cannot answer it; calibrate on inputs like it"
                ) from None
            half = len(batch) // 2
            parts = (self._simulated(batch[of], names[of]) for of in (slice(half), slice(half, None)))
            return np.concatenate(list(parts))


def compile(
    network: object,
    calibration: object,
    *,
    classes: Sequence[str] | None = None,
    preprocess: Preprocessing = None,
    name: str | None = None,
    options: QuantiseOptions | None = None,
    compare_bits: CompareBits = "full",
    approximate: float | None = None,
) -> Model:
    """Make a trained network ready for private inference; it is copied, not changed.

    Args:
        network: a torch module, (N, C, H, W), (N, C, L) or (N, features) to logits (N, classes), or a
            torch.export.ExportedProgram. torch.compile and DataParallel come off.
        calibration: inputs as the network takes them: a tensor, an array, or a data loader. Its values decide how many
            bits every layer gets; 64 typical inputs are plenty, one example is little.
        classes: names in the order of the logits; see ``compile_network``.
        preprocess: how pictures and files become such inputs: ``{"mean": ..., "std": ...}``, one value or one a
            channel, of pixels from 0 to 1, or a whole ``Preprocess``.
        name: what is shown; None: the class of the network.
        options: how fixed point is chosen.
        compare_bits: bits that ``fss`` and ``table`` compare at every ReLU and max-pool: a number, or "auto": by layer
            the fewest that keep 99.8 % of the labels of ``calibration``. ``table`` takes 10 or fewer.
        approximate: how far straight pieces, which are sums of ReLUs, may be from smooth functions (GELU, SiLU, a
            sigmoid inside): 0.01, say. The artifact states what they change (``Accuracy.approximation``). None: such
            functions are refused.

    Raises:
        InputError: ``network`` or ``calibration`` is something else; the message says what to pass.
        UnsupportedLayerError: naming a layer that private inference does not have.
        ConfigError: classes or preprocessing do not fit, or the network's values fit no ring.
    """
    if not isinstance(options, QuantiseOptions | None):
        raise ConfigError(f"options: expected QuantiseOptions, found {type(options).__name__}")
    compare = CompareOptions(bits=compare_bits)
    inputs = calibration_inputs(calibration)
    artifact = compile_network(
        network,
        inputs,
        classes=classes,
        preprocess=preprocess,
        name=name,
        options=options,
        approximate=approximate,
    )
    inputs = inputs.reshape(-1, *artifact.public.graph.input.shape)
    model = Model(choose_compare_bits(artifact, inputs, compare)[0])
    public = model.artifact.public
    if not runnable(public, AUTO_BACKENDS):
        runs = ", ".join(runnable(public)) or "none"
        _LOG.warning("%s: %s; backends that run it: %s", public.name, why_not(public, AUTO_BACKENDS[-1]), runs)
    return model


def load(folder: str | PathLike[str]) -> Model:
    """Read what ``Model.save`` or ``pi-train export`` wrote, or ``builtin:NAME``.

    Raises:
        ArtifactError: it cannot be read, is damaged, or of another format version.
        InputError: ``folder`` is no path.
        ConfigError: no network of that name came with the package.
    """
    place = path("model", folder)
    if str(place).startswith(BUILTIN_PREFIX):
        place = artifact_folder(str(place))
    return Model(store.load(place))


def profile(
    model: Model | str | PathLike[str], *, backend: str = AUTO, link: str = "lan", reveal: Reveal = "logits"
) -> Prediction:
    """Predict the cost of one inference, layer by layer, without running it; prices are those that ship.

    Args:
        model: a Model, or a folder of one.
        backend: gmw, gc, table, fss or crypten; auto: the fastest online as predicted, of those without a third party.
        link: loopback, lan, wan or "MBIT_S,RTT_MS".
        reveal: what the client learns: label, scores or logits; of crypten only logits are predicted.

    Raises:
        ConfigError: no such backend, link or thing to reveal, or the backend does not run this model.
        ArtifactError: the folder cannot be read.
    """
    if not isinstance(link, str):
        raise ConfigError(f"link: expected a name or MBIT_S,RTT_MS, found {link!r:.40}")
    found = model if isinstance(model, Model) else load(model)
    backend = resolve(backend, found.artifact, parse_link(link), reveal=reveal)
    check_runs(found.artifact.public, backend)
    return predict(found.artifact, backend, link, default_calibration(), reveal)
