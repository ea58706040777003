"""DeepReDuce as a search: every culling, thinning and reshaping is trained, and the Pareto set is marked.

Each point is a finished run directory in ``OUT/points``; ``OUT/pareto.json`` lists them all. Source: Jha et al.,
ICML 2021, arXiv 2103.01396; see ``deepreduce``.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pi_system.reduce.configurations import Configuration, Reshaping, candidates, configurations
from pi_system.reduce.criticality import StageCriticality, measure_criticality
from pi_system.reduce.job import reduce_run, task_of
from pi_system.reduce.method import ReductionTask
from pi_system.train.config import TrainConfig
from pi_system.train.files import write_atomic
from pi_system.train.run import RunDirectory


def criticality_run(
    source: Path, out: Path, config: TrainConfig, *, epochs: int, progress: bool = False
) -> list[StageCriticality]:
    """Measure the criticality of every stage of a finished run; the same call resumes.

    Raises:
        InputError: the source run or its data cannot be read.
        Interrupted: stopped; finished measurements are kept in ``out``.
    """
    task = task_of(RunDirectory(source), 0, config, workdir=out / "work", progress=progress)
    return measure_criticality(task, epochs)


def pareto_run(
    source: Path,
    out: Path,
    config: TrainConfig,
    *,
    order: tuple[int, ...] | None = None,
    criticality_epochs: int = 2,
    channels: tuple[float, ...] = (1.0, 0.5, 0.25),
    strides: tuple[int, ...] = (1, 2),
    start: str = "inherited",
    extra_epochs: int = 0,
    progress: bool = False,
) -> dict[str, Any]:
    """Train every configuration of a finished run and write ``pareto.json``; the same call resumes.

    Args:
        source: run directory of the network, which is also the teacher.
        out: folder for the points.
        config: recipe of each point.
        order: stages, most critical first; None measures it.
        criticality_epochs: epochs of each measurement.
        channels: shares of the width to try.
        strides: of the stem: 2 halves the feature maps.
        start: ``new`` trains every point from new weights, as the paper; ``inherited`` only reshaped ones.
        extra_epochs: epochs more for points that start from new weights.
        progress: show progress bars on stderr.

    Returns:
        What ``pareto.json`` holds.

    Raises:
        InputError: the source run or its data cannot be read.
        Interrupted: stopped; what was done is kept.
    """
    measured = [] if order else criticality_run(source, out, config, epochs=criticality_epochs, progress=progress)
    order = order or tuple(entry.stage for entry in measured)
    task = task_of(RunDirectory(source), 0, config)
    shapes = [Reshaping(share, stride) for share in channels for stride in strides]
    points = []
    for name, relus, options in _points(task, order, shapes, start, extra_epochs):
        path = out / "points" / name
        result = reduce_run(source, path, "deepreduce", options, config, budget=relus, progress=progress)
        points.append({"run": f"points/{name}", "options": options, **_figures(result)})
    best = pareto_set((point["relus"], point["validation_accuracy"]) for point in points)
    for index, point in enumerate(points):
        point["pareto"] = index in best
    content = {
        "schema": 1,
        "source": str(source.resolve()),
        "train": config.recorded(),
        "criticality_order": list(order),
        "criticality": [asdict(entry) for entry in measured],
        "points": sorted(points, key=lambda point: point["relus"]),
    }
    write_atomic(out / "pareto.json", json.dumps(content, indent=2) + "\n")
    return content


def _figures(result: Mapping[str, Any]) -> dict[str, Any]:
    keys = ("network", "relus", "relu_layers", "macs", "validation_accuracy", "test_accuracy")
    return {key: result[key] for key in keys}


def _points(
    task: ReductionTask, order: tuple[int, ...], shapes: list[Reshaping], start: str, extra: int
) -> Iterable[tuple[str, int, dict[str, str]]]:
    """Name, ReLU count and options of every point with fewer ReLUs than the source."""
    present = Configuration(order, False).relu_map(task.network).count
    for found in candidates(task.spec, task.network, shapes, configurations(order)):
        one, shape = found.configuration, found.reshaping
        kept = ",".join(map(str, one.stages))
        name = f"s{kept.replace(',', '')}{'-thin' if one.thin else ''}-c{shape.channels:g}-f{shape.stride}"
        options = {"keep": kept, "thin": str(one.thin).lower()}
        options |= {"channels": f"{shape.channels:g}", "stride": str(shape.stride)}
        if start == "new" or shape.of(task.spec) != task.spec:
            options |= {"start": start, "extra_epochs": str(extra)}
        if 0 < found.relus < present:
            yield name, found.relus, options


def pareto_set(points: Iterable[tuple[int, float]]) -> set[int]:
    """Indices of the points (ReLUs, accuracy) that no other beats in one and equals or beats in the other."""
    found = list(points)
    return {
        index
        for index, (relus, accuracy) in enumerate(found)
        if not any(r <= relus and a >= accuracy and (r, a) != (relus, accuracy) for r, a in found)
    }
