"""Well-known CNNs at their published sizes: their export, and one private inference beside torch.

Weights are random; statistics of batch normalisation are those of pictures with structure at every scale, as a trained
network's are of its training set. Each step leaves a JSON file, and is not done again where that is there.
"""

import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
import torch.nn.functional as F
from measuring import BENCHMARKS, documents
from measuring.cnns import CNNS
from measuring.documents import say
from measuring.memory import peak_memory_bytes
from measuring.networks import SEED, counts
from measuring.processes import child_environment
from measuring.programs import start_dealer, start_server
from measuring.question import Sample
from measuring.sessions import Network, Session
from numpy.typing import NDArray
from torch import nn

from pi_system.artifact.preprocess import Preprocess
from pi_system.artifact.store import load, save
from pi_system.backends.registry import find_backend, runnable
from pi_system.export.exporter import export_network
from pi_system.export.random import randomise
from pi_system.program.fixed_point import fixed_logits

CALIBRATION: Final = 64
FRESH: Final = 8
"""Pictures that export never saw, on which its artifact is judged once more."""
_MEAN: Final = (0.485, 0.456, 0.406)
_STD: Final = (0.229, 0.224, 0.225)
_BATCH: Final = 8


def structured_pictures(size: int, count: int, seed: int) -> NDArray[np.float32]:
    """Pictures (count, 3, size, size), normalised: noise of every scale, each with its own brightness and contrast."""
    rng = np.random.default_rng(seed)
    total = torch.zeros(count, 3, size, size)
    for cells in (1, 3, 7, 14, 28, 56, size):
        noise = torch.from_numpy(rng.normal(size=(count, 3, cells, cells)).astype(np.float32))
        share = torch.from_numpy(rng.uniform(0.2, 1.0, (count, 1, 1, 1)).astype(np.float32))
        total += share * F.interpolate(noise, (size, size), mode="bilinear", align_corners=False)
    pixels = torch.sigmoid(total)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (_MEAN, _STD))
    return np.ascontiguousarray(((pixels - mean) / std).numpy(), dtype=np.float32)


@dataclass(frozen=True)
class Known:
    """A network of ``CNNS`` for square pictures of ``size`` pixels, worked on in ``folder``."""

    network: str
    size: int
    folder: Path

    @property
    def artifact(self) -> Path:
        """Its artifact's folder."""
        return self.place / "artifact"

    @property
    def place(self) -> Path:
        """Where its files are."""
        return self.folder / f"{self.network}-{self.size}"

    @cached_property
    def module(self) -> nn.Module:
        """The torch module, always the same."""
        module = randomise(CNNS[self.network](), (3, self.size, self.size), SEED)
        norms = [part for part in module.modules() if isinstance(part, nn.BatchNorm2d)]
        for norm in norms:
            norm.reset_running_stats()
        for norm in norms:
            norm.train()
        with torch.no_grad():
            for batch in range(2):
                module(torch.from_numpy(structured_pictures(self.size, _BATCH, SEED + batch)))
        return module.eval()

    def logits(self, pictures: NDArray[np.float32]) -> NDArray[np.float64]:
        """Torch's."""
        with torch.no_grad():
            parts = [self.module(part) for part in torch.split(torch.from_numpy(pictures), _BATCH)]
        return np.asarray(torch.cat(parts).double().numpy())

    def export(self) -> Sample:
        """Export it into ``artifact`` and say what that cost and gave."""
        preprocess = Preprocess(
            channels=3,
            height=self.size,
            width=self.size,
            mean=_MEAN,
            std=_STD,
            classes=tuple(str(index) for index in range(1000)),
        )
        pictures, module = structured_pictures(self.size, CALIBRATION, SEED + 2), self.module
        start_s = time.monotonic()
        artifact = export_network(module, preprocess, pictures, f"{self.network}-{self.size}")
        seconds = time.monotonic() - start_s
        save(artifact, self.artifact)
        peak, ring, stated = peak_memory_bytes(), artifact.public.ring, artifact.public.accuracy
        return {
            **counts(artifact).model_dump(),
            "size": self.size,
            "seconds": seconds,
            "peak_memory_bytes": peak,
            "ring_bits": ring.ring_bits,
            "comparison_bits": max(ring.comparison_bits.values()),
            "overflow_log2": ring.overflow_log2,
            "truncation_log2": ring.truncation_log2,
            "stated": stated and stated.model_dump(),
            "fresh": self._compared(structured_pictures(self.size, FRESH, SEED + 3)),
            "backends": list(runnable(artifact.public)),
        }

    def _compared(self, pictures: NDArray[np.float32]) -> Sample:
        expected, artifact = self.logits(pictures), load(self.artifact)
        found = np.concatenate([fixed_logits(artifact, part[None], check_range=True)[1] for part in pictures])
        return {"pictures": len(pictures), **comparison(found, expected)}

    def infer(self, backend: str) -> Sample:
        """One private inference of real processes, compared with torch."""
        work = self.place / backend
        pictures = structured_pictures(self.size, 1, SEED + 4)
        network = Network(self.artifact, 1, work, pictures=pictures)
        with ExitStack() as stack:
            dealer = "127.0.0.1:1"
            if find_backend(backend).DEALT:
                dealer = stack.enter_context(start_dealer(work)).address
            server = stack.enter_context(start_server(self.artifact, dealer, work, backends=(backend,)))
            session = stack.enter_context(Session(network, backend, server, dealer))
            start_s = time.monotonic()
            offline = session.prepare(1)
            prepared_s = time.monotonic() - start_s
            say(f"{self.network} {backend}: prepared in {prepared_s:.0f} s")
            online = session.infer(0)
            peak, (stored,) = session.peak(), session.stored
        return {
            "backend": backend,
            **comparison(online.logits, self.logits(pictures)),
            "offline_ms": offline.offline_ms,
            "offline_bytes": offline.offline_bytes,
            "online_ms": online.cost.online_ms,
            "rounds": online.cost.rounds,
            "online_bytes": online.cost.client_to_server_bytes + online.cost.server_to_client_bytes,
            "stored_bytes": stored.model_dump(),
            "peak_memory_bytes": peak.model_dump(),
            "ulps": session.worst.ulps,
            "within_ulp_bound": session.worst.bounded,
        }


def comparison(found: NDArray[np.float64], expected: NDArray[np.float64]) -> dict[str, Any]:
    """Of logits (N, classes): largest error as a share of the spread, and the share of labels that are torch's."""
    spread = float(np.sqrt(np.mean(expected.var(axis=1))))
    return {
        "error": float(np.abs(found - expected).max()) / spread,
        "spread": spread,
        "labels": float((found.argmax(axis=1) == expected.argmax(axis=1)).mean()),
    }


def exported(known: Known) -> Sample:
    """Its export, in a process of its own, whose peak memory is the export's."""
    script = str(BENCHMARKS / "known_networks.py")
    command = [sys.executable, script, "export", known.network, "--size", str(known.size), "--folder"]
    subprocess.run([*command, str(known.folder)], check=True, env=child_environment(1), stdout=subprocess.DEVNULL)
    return documents.once(known.place / "export.json", dict)
