"""From the accuracy study: of every curve the cheapest network that is accurate enough, by the name of its like.

What is measured has random weights, and its ReLUs where the study's JSON says: in as many layers and as many as there.
Layers that were dropped whole are named exactly; which positions of a layer were kept is not in the JSON and does not
change cost, so masks are drawn.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pi_system.errors import ConfigError
from pi_system.reduce.deepreduce import configurations
from pi_system.reduce.study_report import read_study
from pi_system.train.networks import build_network
from pi_system.train.relu import named_relus
from pi_system.train.spec import NetworkSpec

CONTROLS = ("random", "narrower")
TOLERANCE = 0.01
"""Accuracies that differ by less count as equal: two seeds differ by as much."""


def equally_accurate(files: Sequence[Path]) -> tuple[float, dict[str, str]]:
    """The test accuracy (0 to 1) that every method reaches, and each one's cheapest network that has it, to a point.

    Controls are left out; accuracies are means over seeds. Raises InputError, or ConfigError without a reduced network.
    """
    study = read_study(*files)
    curves = {label: cells for label, cells in study.curves.items() if not label.startswith(CONTROLS)}
    if not curves:
        raise ConfigError("study: expected a curve that is not a control, found none")
    target = min(max(cell.mean for cell in cells) for cells in curves.values())
    runs = {entry["run"]: entry for file in files for entry in json.loads(file.read_text())["runs"]}
    found = {}
    for label, cells in curves.items():
        cheapest = min((cell for cell in cells if cell.mean >= target - TOLERANCE), key=lambda cell: cell.relus)
        found[label] = network_like(runs[cheapest.runs[0]])
    return target, found


def network_like(run: dict[str, Any]) -> str:
    """A name (networks.py) with the run's ReLUs in as many layers."""
    network, relus, layers = run["network"], run["relus"], run["relu_layers"]
    masks = named_relus(build_network(NetworkSpec.parse(network), device="meta"))
    if relus == sum(relu.size for relu in masks.values()):
        return str(network)
    for configuration in configurations((3, 2, 4, 1)):
        kept = [masks[name].size for name in configuration.layers(masks)]
        if (sum(kept), len(kept)) == (relus, layers):
            digits = "".join(map(str, configuration.stages))
            return f"{network}/keep={digits}{'thin' if configuration.thin else ''}"
    if layers == len(masks):
        return f"{network}/relus={relus}"
    # The largest layers: they have room for all of them.
    sizes = [relu.size for relu in masks.values()]
    largest = sorted(sorted(range(len(sizes)), key=lambda place: -sizes[place])[:layers])
    return f"{network}/layers={','.join(map(str, largest))}/relus={relus}"
