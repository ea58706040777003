"""Well-known CNNs at their published sizes: their export, and private inferences over a link, beside torch.

Weights are random, or those of a published file (published.py). Where they are random, statistics of batch
normalisation are those of pictures with structure at every scale, as a trained network's are of its training set. Each
step leaves a JSON file, and is not done again where that is there.
"""

import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np
import torch
import torch.nn.functional as F
from measuring import BENCHMARKS, documents
from measuring.cnns import CNNS
from measuring.documents import say
from measuring.memory import peak_memory_bytes
from measuring.networks import SEED, counts
from measuring.processes import Site, child_environment
from measuring.programs import start_dealer, start_server
from measuring.published import WeightFile
from measuring.question import Sample
from measuring.sessions import Network, Session
from numpy.typing import NDArray
from torch import nn

from pi_system.artifact.preprocess import Preprocess
from pi_system.artifact.store import load, save
from pi_system.backends.registry import find_backend, runnable
from pi_system.errors import InputError
from pi_system.export.exporter import export_network
from pi_system.export.random import randomise
from pi_system.program.fixed_point import fixed_logits

CALIBRATION: Final = 64
FRESH: Final = 8
"""Pictures that export never saw, on which its artifact is judged once more."""
LINKS: Final = {"loopback": "loopback", "lan": "lan", "wan": "wan", "cheetah-wan": "400,40"}
"""What our channel imitates; the last is the wide-area network of Cheetah's paper, 400 Mbit/s and 40 ms."""
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
    """A network of ``CNNS`` for square pictures of ``size`` pixels, worked on in ``folder``; no weights: random."""

    network: str
    size: int
    folder: Path
    weights: WeightFile | None = None

    @property
    def name(self) -> str:
        """With the digits of its weights, if they are published."""
        return "-".join([self.network, *([self.weights.digits] if self.weights else []), str(self.size)])

    @property
    def artifact(self) -> Path:
        """Its artifact's folder."""
        return self.place / "artifact"

    @property
    def place(self) -> Path:
        """Where its files are."""
        return self.folder / self.name

    @cached_property
    def module(self) -> nn.Module:
        """The torch module, always the same. Raises InputError: the file's weights are not this network's."""
        if self.weights:
            module = CNNS[self.network]()
            self.weights.load(module)
            return module.eval()
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
        artifact = export_network(module, preprocess, pictures, self.name)
        seconds = time.monotonic() - start_s
        save(artifact, self.artifact)
        peak, ring, stated = peak_memory_bytes(), artifact.public.ring, artifact.public.accuracy
        return {
            **counts(artifact).model_dump(),
            "size": self.size,
            "weights": self.weights and self.weights.about(),
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

    def pictures(self, count: int) -> NDArray[np.float32]:
        """Of private inferences (count, 3, size, size)."""
        return structured_pictures(self.size, count, SEED + 4)

    def infer(self, backend: str, link: str, repeat: int) -> Sample:
        """``repeat`` private inferences of real processes in one session over ``link``, compared with torch.

        Each is prepared by itself; the first preparation also makes what is made once a model.
        """
        work, site, pictures = (
            self.place / f"{backend}-{link}",
            Site(name=link, link=LINKS[link]),
            self.pictures(repeat),
        )
        network = Network(self.artifact, repeat, work, pictures=pictures)
        with ExitStack() as stack:
            dealer = "127.0.0.1:1"
            if find_backend(backend).DEALT:
                dealer = stack.enter_context(start_dealer(work)).address
            server = stack.enter_context(start_server(self.artifact, dealer, work, backends=(backend,), site=site))
            session = stack.enter_context(Session(network, backend, server, dealer, site=site))
            logits = np.concatenate([self._told(session, index) for index in range(repeat)])
            return {"link": link, **comparison(logits, self.logits(pictures)), **_costs(session)}

    def _told(self, session: Session, index: int) -> NDArray[np.float64]:
        found = session.call(index)
        offline_s, online_s = session.offline[-1].offline_ms / 1000, found.cost.online_ms / 1000
        where = f"{self.name} {session.backend} {session.site.name}"
        say(f"{where}: prepared in {offline_s:.0f} s, answered in {online_s:.1f} s")
        return found.logits


def _costs(session: Session) -> Sample:
    """Medians of a session's calls, and every sample."""
    offline, online = session.offline, session.online
    samples: dict[str, list[float]] = {
        "offline_ms": [cost.offline_ms for cost in offline],
        "offline_bytes": [cost.offline_bytes for cost in offline],
        "online_ms": [cost.online_ms for cost in online],
        "online_bytes": [cost.client_to_server_bytes + cost.server_to_client_bytes for cost in online],
    }
    return {
        "backend": session.backend,
        **{name: median(values) for name, values in samples.items()},
        "samples": samples,
        "rounds": online[-1].rounds,
        "stored_bytes": session.stored[-1].model_dump(),
        "peak_memory_bytes": session.peak().model_dump(),
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
    """Its export, in a process of its own, whose peak memory is the export's. Raises InputError: it said why."""
    script = str(BENCHMARKS / "known_networks.py")
    command = [sys.executable, script, "export", known.network, "--size", str(known.size)]
    command += ["--weights", str(known.weights.path)] if known.weights else []
    command += ["--folder", str(known.folder)]
    if subprocess.run(command, env=child_environment(1), stdout=subprocess.DEVNULL).returncode:
        raise InputError(f"{known.name}: expected it to be exported, found the error above")
    return documents.once(known.place / "export.json", dict)
