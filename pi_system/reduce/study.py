"""A study: baselines and reductions by several methods, at several budgets, with several seeds.

It is a fixed list of jobs, each a run directory, so the same call resumes it: finished runs are read, the
unfinished one goes on from its checkpoint. Workers are processes that each take the next job of a phase
(baselines, then reductions), or Ray's where it is installed; nothing is scheduled beyond that. A worker whose
parent is gone saves its run and ends. Two studies may share a folder, and so the runs that both contain.

    OUT/study.json                      recipe, split, environment and every figure so far; or another NAME.json
    OUT/seed0/NETWORK/                  baselines
    OUT/seed0/LABEL@FRACTION/           reductions
"""

import json
import multiprocessing
import os
import platform
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from pi_system.errors import ConfigError, InputError
from pi_system.reduce.job import reduce_run
from pi_system.reduce.ray_jobs import run_on_ray
from pi_system.reduce.registry import make_method
from pi_system.train.config import TrainConfig
from pi_system.train.data import DataConfig
from pi_system.train.files import write_atomic
from pi_system.train.job import train_run
from pi_system.train.run import RunDirectory

__all__ = ["Entry", "StudyConfig", "run_study"]

_SCHEMA = 1
_SAVE_S = 10.0
"""How long an orphaned worker may take to save its run: a step of training and a checkpoint."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One curve of the study.

    Attributes:
        label: its name, unique.
        method: name of a reduction method.
        options: of the method, as text.
        network: which of the study's networks is reduced, from 0.
    """

    label: str
    method: str
    options: dict[str, str] = field(default_factory=dict)
    network: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyConfig:
    """What to run.

    Attributes:
        data: data set and split.
        networks: names; the first is the one whose ReLUs the fractions refer to.
        seeds: of weights and order; every run is repeated with each.
        fractions: budgets, as shares of the first network's ReLUs.
        baseline: recipe of the networks with all ReLUs; its seed is replaced.
        reduction: recipe of every reduction; its seed is replaced.
        entries: the curves.

    Raises:
        ConfigError: labels repeat, a network index is out of range, or a method cannot be made.
    """

    data: DataConfig
    networks: tuple[str, ...]
    seeds: tuple[int, ...]
    fractions: tuple[float, ...]
    baseline: TrainConfig
    reduction: TrainConfig
    entries: tuple[Entry, ...]

    def __post_init__(self) -> None:
        """Check every entry, so that no study fails after hours."""
        labels = [entry.label for entry in self.entries]
        if len(set(labels)) != len(labels) or not all(0 < fraction < 1 for fraction in self.fractions):
            raise ConfigError(f"study: expected different labels and fractions between 0 and 1; found {labels}")
        for entry in self.entries:
            if not 0 <= entry.network < len(self.networks):
                raise ConfigError(f"study, {entry.label}: expected a network below {len(self.networks)}")
            make_method(entry.method, entry.options)

    @classmethod
    def load(cls, path: Path) -> "StudyConfig":
        """Read a study from JSON with these fields; ``data`` is a name such as ``cifar100:PATH``.

        Raises:
            InputError: the file cannot be read.
            ConfigError: a field is missing, unknown or wrong.
        """
        try:
            content = json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: expected a study in JSON; {error}") from error
        try:
            return cls(
                data=DataConfig.parse(content.pop("data")),
                networks=tuple(content.pop("networks")),
                seeds=tuple(content.pop("seeds")),
                fractions=tuple(content.pop("fractions")),
                baseline=TrainConfig(**content.pop("baseline")),
                reduction=TrainConfig(**content.pop("reduction")),
                entries=tuple(Entry(**entry) for entry in content.pop("entries")),
                **content,
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ConfigError(f"{path}: expected the fields of a study; {error}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    """One run: of a network where ``entry`` is None, of a reduction otherwise."""

    out: Path
    seed: int
    network: int
    entry: Entry | None = None
    fraction: float | None = None


def run_study(
    config: StudyConfig,
    out: Path,
    *,
    workers: int = 1,
    threads: int | None = None,
    progress: bool = False,
    report: Callable[[str], None] = lambda line: None,
    name: str = "study",
    ray: bool = False,
) -> dict[str, Any]:
    """Run what is missing of a study; its JSON is written anew after every run.

    Args:
        config: what to run.
        out: folder for all runs.
        workers: processes that run at once.
        threads: of each; None leaves torch's choice.
        progress: show progress bars on stderr; for one worker.
        report: called with a line for every finished run.
        name: of the JSON in ``out``.
        ray: have Ray run the jobs, ``workers`` of them at once or, on a running cluster (``RAY_ADDRESS``), as many
            as it has room for; ``out`` and the data must then be on all its machines.

    Returns:
        What ``NAME.json`` holds.

    Raises:
        ConfigError: ``NAME.json`` in ``out`` is of another study, or Ray is not installed.
        InputError: the data cannot be read.
        Interrupted: stopped; the same call goes on.
    """
    file = out / f"{name}.json"
    _claim(config, file)
    results: list[dict[str, Any]] = []
    for jobs in _phases(config, out):
        found = (
            run_on_ray(partial(_run_alone, config, threads), jobs, workers, threads or 1)
            if ray
            else _run_all(jobs, config, workers, threads, progress)
        )
        for result in found:
            results.append(result)
            _write(config, file, results, workers, threads)
            report(_line(result))
    return _write(config, file, results, workers, threads)


def _claim(config: StudyConfig, file: Path) -> None:
    wanted = json.loads(json.dumps(_recorded(config)))
    if file.is_file():
        found = json.loads(file.read_text())["config"]
        different = sorted(key for key in wanted if wanted[key] != found.get(key))
        if different:
            raise ConfigError(f"{file.parent}: holds a study with another {', '.join(different)}; name another folder")


def _recorded(config: StudyConfig) -> dict[str, Any]:
    """The configuration as it is published: without where this machine keeps the data."""
    recipes = {"baseline": config.baseline.recorded(), "reduction": config.reduction.recorded()}
    data = {key: value for key, value in config.data.recorded().items() if key != "path"}
    return asdict(config) | recipes | {"data": data}


def _phases(config: StudyConfig, out: Path) -> Iterator[list[_Job]]:
    """Baselines, then reductions curve by curve, each with all its seeds: a stopped study holds whole curves."""
    places = [(seed, index) for seed in config.seeds for index in range(len(config.networks))]
    yield [_Job(out=_baseline(out, seed, config.networks[n]), seed=seed, network=n) for seed, n in places]
    yield [
        _Job(
            out=out / f"seed{seed}" / f"{entry.label}@{fraction:g}",
            seed=seed,
            network=entry.network,
            entry=entry,
            fraction=fraction,
        )
        for entry in config.entries
        for seed in config.seeds
        for fraction in config.fractions
    ]


def _baseline(out: Path, seed: int, network: str) -> Path:
    return out / f"seed{seed}" / network.replace(":", "-").replace(",", "-").replace("=", "")


def _run_all(
    jobs: list[_Job], config: StudyConfig, workers: int, threads: int | None, progress: bool
) -> Iterable[dict[str, Any]]:
    if workers == 1:
        for job in jobs:
            yield _run(job, config, progress)
        return
    context = multiprocessing.get_context("forkserver")
    # Workers of both phases come out of one process that has imported torch, and what its optimizers import.
    context.set_forkserver_preload(["__main__", "torch._dynamo"])
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker, initargs=(threads,)) as pool:
        try:
            yield from pool.map(_run, jobs, [config] * len(jobs))
        finally:
            pool.shutdown(cancel_futures=True)


def _start_worker(threads: int | None) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if threads is not None:
        torch.set_num_threads(threads)


def _end_with_parent() -> None:
    """Wait for the parent's end; then have the training save and stop, and the process with it."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(_SAVE_S)
    os._exit(1)


def _run_alone(config: StudyConfig, threads: int | None, job: _Job) -> dict[str, Any]:
    if threads is not None:
        torch.set_num_threads(threads)
    return _run(job, config)


def _run(job: _Job, config: StudyConfig, progress: bool = False) -> dict[str, Any]:
    """Run one job, or read its result; a budget a method cannot reach is a result, too."""
    figures: dict[str, Any] = {"run": "/".join(job.out.parts[-2:]), "seed": job.seed}
    network = config.networks[job.network]
    if job.entry is None:
        recipe = replace(config.baseline, seed=job.seed)
        result = train_run(job.out, network, config.data, recipe, progress=progress)
        return figures | {"label": "baseline", "fraction": None, **figures_of(result, job.out)}
    figures |= {"label": job.entry.label, "fraction": job.fraction, "source": network}
    top = job.out.parents[1]
    first = RunDirectory(_baseline(top, job.seed, config.networks[0])).result()
    budget = int(first["relus"] * (job.fraction or 0))
    try:
        result = reduce_run(
            _baseline(top, job.seed, network),
            job.out,
            job.entry.method,
            job.entry.options,
            replace(config.reduction, seed=job.seed),
            budget=budget,
            progress=progress,
        )
    except ConfigError as error:
        return figures | {"budget": budget, "error": str(error)}
    return figures | {"budget": budget, **figures_of(result, job.out)}


def figures_of(result: dict[str, Any], out: Path) -> dict[str, Any]:
    """What a study says of the finished run in ``out``; seconds are its epochs' wall time."""
    keys = ("network", "relus", "relu_layers", "macs", "parameters", "validation_accuracy", "test_accuracy")
    lines = (out / "metrics.jsonl").read_text().splitlines() if (out / "metrics.jsonl").is_file() else []
    seconds = [json.loads(line)["seconds"] for line in lines]
    return {key: result[key] for key in keys} | {"epochs": len(seconds), "seconds": round(sum(seconds), 1)}


def _write(
    config: StudyConfig, file: Path, results: list[dict[str, Any]], workers: int, threads: int | None
) -> dict[str, Any]:
    content: dict[str, Any] = {
        "schema": _SCHEMA,
        "config": _recorded(config),
        "environment": {
            "torch": torch.__version__,
            "python": platform.python_version(),
            "machine": platform.machine(),
            "cpus": os.cpu_count(),
            "workers": workers,
            "threads": threads or torch.get_num_threads(),
            "cuda": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        },
        "runs": results,
    }
    text = json.dumps(content, indent=2) + "\n"
    write_atomic(file, text)
    return dict(json.loads(text))


def _line(result: dict[str, Any]) -> str:
    if "error" in result:
        return f"{result['run']}: {result['error']}"
    return f"{result['run']}: {result['relus']:,} ReLUs, test {result['test_accuracy']:.2%}"
