"""Prices from measurements: non-negative least squares on relative errors.

The end of an online phase is linear in the prices along its critical path, and which path is critical depends on the
prices; so the fit alternates: find the paths under the prices, then the prices under the paths. A price that samples
say little about is held near a rough figure by a weak prior: being off by a factor of two costs as much as one sample
off by 2 %. Online and offline are two such problems: they share no prices. Those of weighted layers are known before
(layer_prices.py).
"""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Final

import numpy as np
from measuring.layer_prices import LayerSample, layer_prices
from measuring.samples import CostSample
from measuring.schema import Strict
from scipy.optimize import nnls

from pi_system.artifact.model import PublicArtifact
from pi_system.channel.link import parse_link
from pi_system.cost.calibration import Calibration
from pi_system.cost.predict import Workload, predict
from pi_system.cost.work import PRICED, UNITS, Prices, Work


class Residual(Strict):
    """How far the fit is from the median of one sample: predicted / measured - 1."""

    network: str
    backend: str
    link: str
    online: float
    offline: float


class Fitted(Calibration, Strict):
    """A calibration with what it was fitted to, and how far the fit is from every sample."""

    samples: tuple[CostSample, ...]
    layers: tuple[LayerSample, ...]
    residuals: tuple[Residual, ...]


_ROUNDS: Final = 8
_PRIOR: Final = 0.02
ROUGH: Final[Mapping[str, float]] = {
    "mac32": 0.0055, "mac64": 0.011, "moved": 0.4, "swept": 0.15, "layer": 60e3, "masked": 6.0,
    "start": 500e3, "gate": 100e3, "hop": 150e3, "woken": 50e3, "byte": 0.5,
    "fss_call": 30e3, "fss_level": 0.85, "fss_element": 8.0,
    "gmw_call": 80e3, "gmw_element": 50.0, "gc_call": 50e3, "gc_wire": 36.0,
    "square_call": 20e3, "square_element": 8.0,
    "crypten_start": 3e6, "crypten_round": 1e6, "crypten_word": 4.0, "crypten_relu": 500.0, "crypten_mac": 0.8,
    "dealt_start": 30e6, "dealt_level": 4.0, "dealt_mac": 0.05, "dealt_weight": 3.0,
    "dealt_byte": 2.0,
    "ot_start": 200e6, "ot_product": 1.0, "ot_ciphertext": 50.0, "ot_cot": 30.0, "ot_byte": 3.0,
    "gmw_prepared": 500.0, "gc_prepared": 30.0, "pair_prepared": 300.0,
    "table_prepared": 500.0, "table_entry": 1.0, "stored_byte": 3.0,
    "crypten_offline_start": 30e6, "crypten_offline_byte": 8.0, "crypten_offline_mac": 0.5,
}  # fmt: skip
"""ns a unit on one core with VAES and AMX, from kernels alone: where the fit begins, and the prior."""


def fit_prices(
    samples: Sequence[CostSample], networks: Mapping[str, PublicArtifact], known: Mapping[str, float]
) -> dict[str, float]:
    """Prices of all work that occurs in ``samples``; ``networks`` by name; of ``known`` ones the given."""
    workloads = {(s.network, s.backend): Workload(networks[s.network], s.backend) for s in samples}
    ours = [workloads[s.network, s.backend] for s in samples]
    links = [parse_link(sample.link) for sample in samples]
    measured = [
        np.array([1e6 * median(sample.online_ms) for sample in samples]),
        np.array([1e6 * median(sample.offline_ms) for sample in samples]),
    ]
    found: dict[str, float] = {**ROUGH, **known}
    for _ in range(_ROUNDS):
        prices = Prices.of(found)
        online = [work.online(link, prices)[0].path for work, link in zip(ours, links, strict=True)]
        offline = [work.prepared(link, prices).path for work, link in zip(ours, links, strict=True)]
        for paths, ns in zip((online, offline), measured, strict=True):
            found |= _solve(np.array(paths), ns, known)
    seen = np.any([*online, *offline], axis=0)
    return {name: found[name] for name, there in zip(PRICED, seen, strict=False) if there}


def _solve(paths: Work, measured: Work, known: Mapping[str, float]) -> dict[str, float]:
    """The prices of the work in ``paths`` (n, len(UNITS)) that explain ``measured`` ns best, relatively."""
    given = [UNITS.index(name) for name in known]
    fixed = paths[:, len(PRICED) :].sum(axis=1) + paths[:, given] @ np.array([*known.values()])
    relative = paths[:, : len(PRICED)] / measured[:, None]
    relative[:, given] = 0
    used = np.flatnonzero(relative.any(axis=0))
    rough = np.array([ROUGH[UNITS[index]] for index in used])
    # Solved for multiples of the rough prices: columns of like size, and the prior is one multiple each.
    matrix = np.vstack([relative[:, used] * rough, _PRIOR * np.eye(len(used))])
    target = np.concatenate([1.0 - fixed / measured, np.full(len(used), _PRIOR)])
    multiples, _ = nnls(matrix, target)
    return {UNITS[index]: float(value) for index, value in zip(used, multiples * rough, strict=True)}


def fit_calibration(
    samples: Sequence[CostSample],
    layers: Sequence[LayerSample],
    networks: Mapping[str, PublicArtifact],
    machine: str,
    environment: Mapping[str, object],
) -> Fitted:
    """A calibration with its residuals; ``environment`` as JSON, ``machine`` in words."""
    fitted = Fitted(
        machine=machine,
        environment=dict(environment),
        backends=tuple(dict.fromkeys(sample.backend for sample in samples)),
        prices=fit_prices(samples, networks, layer_prices(layers)),
        samples=tuple(samples),
        layers=tuple(layers),
        residuals=(),
    )
    return fitted.model_copy(update={"residuals": tuple(_residual(s, networks, fitted) for s in samples)})


def _residual(sample: CostSample, networks: Mapping[str, PublicArtifact], fitted: Fitted) -> Residual:
    found = predict(networks[sample.network], sample.backend, sample.link, fitted)
    return Residual(
        network=sample.network,
        backend=sample.backend,
        link=sample.link,
        online=found.online_ms / median(sample.online_ms) - 1,
        offline=found.offline_ms / median(sample.offline_ms) - 1,
    )
