"""Trained networks whose comparisons see few bits: what that loses on test pictures, and what it costs, exactly."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import torch
from measuring.documents import default_cache, say
from measuring.networks import SEED, cached_artifact
from measuring.question import Sample
from numpy.typing import NDArray

from pi_system.artifact.model import Artifact
from pi_system.artifact.store import load
from pi_system.backends.registry import BACKENDS, find_backend
from pi_system.cost import default_calibration, predict
from pi_system.errors import ConfigError
from pi_system.export.compare_bits import CompareBits, CompareOptions, choose_compare_bits
from pi_system.export.compare_loss import paired_loss
from pi_system.export.exporter import export_network
from pi_system.export.finetune import finetune_run
from pi_system.export.job import calibration_of, judged_of
from pi_system.export.random import random_pictures
from pi_system.networks import artifact_folder
from pi_system.program.counts import relu_count
from pi_system.program.encoding import encode_input, quantise_weights
from pi_system.program.fixed_point import FixedInterpreter
from pi_system.program.float_point import FloatInterpreter
from pi_system.ring.prg import Prg
from pi_system.train.config import TrainConfig
from pi_system.train.data import DataConfig, DataSet, load_data
from pi_system.train.run import RunDirectory

_BATCH: Final = 256
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Subject:
    """A trained network, all bits compared, and its data."""

    label: str
    artifact: Artifact
    data: DataSet
    _found: dict[bool, Labels] = field(default_factory=dict)

    @classmethod
    def of_run(cls, label: str, run: Path) -> "Subject":
        """A finished run."""
        directory, loaded = RunDirectory(run), RunDirectory(run).load()
        data = load_data(directory.data_config())
        artifact = export_network(loaded.network, loaded.preprocess, calibration_of(data), str(loaded.spec))
        return cls(label, artifact, data)

    @classmethod
    def builtin(cls, name: str, data: str) -> "Subject":
        """A network of the package, on its data set, ``NAME:PATH``."""
        artifact = load(artifact_folder(name))  # called by what it is: another network may have its name one day
        return cls(artifact.public.name.partition(",")[0], artifact, load_data(DataConfig.parse(data)))

    def with_bits(self, bits: CompareBits) -> Artifact:
        """As ``pi-train export --compare-bits`` gives it."""
        options = CompareOptions(bits=bits)
        return choose_compare_bits(self.artifact, calibration_of(self.data), options, judged_of(self.data))[0]

    def exact(self, pictures: NDArray[np.float32], fixed: bool) -> Labels:
        """Labels of the test pictures by exact signs, in fixed point or in float; found once."""
        if fixed not in self._found:
            self._found[fixed] = _labels(self.artifact, pictures, None, fixed)
        return self._found[fixed]

    def finetuned(self, run: Path, bits: CompareBits, folder: Path, config: TrainConfig) -> "Subject":
        """The network after ``pi-train finetune RUN``."""
        finetune_run(run, folder, CompareOptions(bits=bits), config)
        return Subject.of_run(self.label, folder)


def accuracy_sample(subject: Subject, bits: CompareBits, draws: int, source: Subject | None = None) -> Sample:
    """Loss of accuracy on all test pictures against exact signs in the same arithmetic.

    ``auto`` is measured in fixed point, anything else in float, which takes a tenth of the time (distributions agree:
    tests/conformance/test_random_signs.py). Of a network that was trained on, the loss is against its ``source``.
    """
    artifact, fixed = subject.with_bits(bits), bits == "auto"
    test = judged_of(subject.data, subject.data.test)
    exact = (source or subject).exact(test.pictures, fixed) == test.labels
    drawn = [_labels(artifact, test.pictures, draw, fixed) == test.labels for draw in range(draws)]
    loss = paired_loss(exact - np.mean(drawn, axis=0))
    say(f"{subject.label}, {bits} bits: {exact.mean():.2%} exact, {100 * loss.value:+.2f} points lost")
    return {
        "kind": "accuracy",
        "network": subject.label,
        "relus": relu_count(artifact.public.graph),
        "bits": bits,
        "finetuned": source is not None,
        "compare_bits": all_bits(artifact) | artifact.public.ring.compare_bits,
        "all_bits": all_bits(artifact),
        "arithmetic": "fixed" if fixed else "float",
        "pictures": len(test.pictures),
        "draws": draws,
        "exact_accuracy": float(exact.mean()),
        "loss": loss._asdict(),
    }


def all_bits(artifact: Artifact) -> dict[str, int]:
    """K = k - t of every ReLU."""
    graph, ring = artifact.public.graph, artifact.public.ring
    return {node.name: ring.comparison_bits[node.name] - ring.shift(node) for node in graph.relus()}


def cost_samples(network: str, wanted: Iterable[CompareBits]) -> list[Sample]:
    """Bytes of one inference of a network of random weights under every backend that runs it: counted, not measured."""
    samples, prices = [], default_calibration()
    every = load(cached_artifact(network, default_cache()))
    pictures = random_pictures(every.public.graph.input.shape, 16, SEED)
    for bits in wanted:
        artifact, _ = choose_compare_bits(every, pictures, CompareOptions(bits=bits))
        for backend in BACKENDS:
            try:
                found = predict(artifact, backend, "loopback", prices)
            except ConfigError as error:
                say(f"{network}, {bits} bits, without {backend}: {error}")
                continue
            samples.append(
                {
                    "kind": "cost",
                    "network": network,
                    "relus": relu_count(artifact.public.graph),
                    "backend": backend,
                    "bits": bits,
                    "online_bytes": found.client_to_server_bytes + found.server_to_client_bytes,
                    "offline_bytes": found.offline_bytes,
                    "dealt_bytes": found.offline_bytes if find_backend(backend).DEALT else 0,
                    "stored_server_bytes": found.stored_bytes_server,
                    "stored_client_bytes": found.stored_bytes_client,
                }
            )
    return samples


def _labels(artifact: Artifact, pictures: NDArray[np.float32], draw: int | None, fixed: bool) -> Labels:
    """Labels with the coins of a draw, or, None, exact signs."""
    graph, ring = artifact.public.graph, artifact.public.ring
    coins = None if draw is None else Prg(draw.to_bytes(16, "little"))
    parts = [pictures[start : start + _BATCH] for start in range(0, len(pictures), _BATCH)]
    if fixed:
        weights = quantise_weights(graph, ring, artifact.weights)
        exact = FixedInterpreter(ring, artifact.masks, weights, coins=coins)
        return np.concatenate([exact.run(graph, encode_input(part, graph, ring)).argmax(1) for part in parts])
    windows = {} if coins is None else {node.name: ring.window(node) for node in graph.relus()}
    real = FloatInterpreter(artifact.masks, artifact.weights, random_signs=(windows, coins) if coins else None)
    return np.concatenate([real.run(graph, torch.from_numpy(part)).argmax(1).numpy() for part in parts])
