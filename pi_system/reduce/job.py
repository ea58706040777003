"""One reduction job: from a finished run directory to another one with fewer ReLUs."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pi_system.errors import BudgetError, ConfigError, InputError, InvariantError
from pi_system.reduce.method import ReductionTask, ignore_history
from pi_system.reduce.registry import in_reach, make_method, reaching
from pi_system.train.config import TrainConfig
from pi_system.train.data import load_data
from pi_system.train.evaluate import evaluate
from pi_system.train.loop import FitResult, History
from pi_system.train.networks import Classifier
from pi_system.train.parallel import is_first
from pi_system.train.relu_map import ReluMap
from pi_system.train.run import RunDirectory
from pi_system.train.spec import NetworkSpec


def budget_of(relus: int, budget: int | None, fraction: float | None) -> int:
    """The ReLU budget from a number or a fraction of the present count, rounded down.

    Raises:
        ConfigError: both or neither are given, or the fraction is not between 0 and 1.
    """
    if (budget is None) == (fraction is None):
        found = "neither" if budget is None else "both"
        raise ConfigError(f"--budget, --fraction: expected one of them, a number of ReLUs or a share; found {found}")
    if budget is not None:
        return budget
    if fraction is None or not 0 < fraction < 1:
        raise ConfigError(f"fraction: expected between 0 and 1; found {fraction}")
    return int(relus * fraction)


def task_of(
    origin: RunDirectory,
    budget: int,
    config: TrainConfig,
    *,
    workdir: Path | None = None,
    on_epoch: Callable[[History], None] = ignore_history,
    progress: bool = False,
) -> ReductionTask:
    """A task on the network, the data and the split of a finished run.

    Raises:
        ConfigError: an impossible budget.
        InputError: the run or its data cannot be read, or the data are not what it was trained on.
    """
    loaded, data_config = origin.load(), origin.data_config()
    data = load_data(data_config)
    if data.preprocess != loaded.preprocess:
        raise InputError(f"data {data_config.name}: expected the pictures {origin.path} was trained on; found others")
    return ReductionTask(
        spec=loaded.spec,
        network=loaded.network,
        data=data,
        budget=budget,
        finetune=config,
        workdir=workdir,
        on_epoch=on_epoch,
        progress=progress,
    )


def reduce_run(
    source: Path,
    out: Path,
    method: str,
    options: Mapping[str, str],
    config: TrainConfig,
    *,
    budget: int | None = None,
    fraction: float | None = None,
    progress: bool = False,
) -> dict[str, Any]:
    """Reduce the ReLUs of a finished run; the same call resumes a reduction that was stopped.

    The data and their split are those of the source run, so that its validation pictures stay unseen.

    Args:
        source: run directory of the network to reduce, which is also the teacher.
        out: run directory to write.
        method: name of the method.
        options: the method's own options, as text.
        config: recipe of the finetuning.
        budget: largest number of ReLUs; or
        fraction: the same as a share of the source's ReLUs.
        progress: show progress bars on stderr.

    Further networks that come out of it are runs in folders of ``out``.

    Returns:
        What result.json holds.

    Raises:
        ConfigError: an impossible budget, an unknown method or option, or ``out`` holds another run.
        InputError: the source run or its data cannot be read.
        Interrupted: stopped; everything done is in the run directory.
    """
    reducer = make_method(method, options)
    origin, run = RunDirectory(source), RunDirectory(out)
    relus = budget_of(origin.load().relu_map.count, budget, fraction)
    task = task_of(origin, relus, config, workdir=out / "work", on_epoch=run.record, progress=progress)
    reduction = {"source": str(source.resolve()), "method": method, "options": dict(options), "budget": relus}
    run.claim(origin.data_config(), network=str(task.spec), train=config.recorded(), reduction=reduction)
    if run.finished:
        return run.result()
    try:
        result = reducer.reduce(task)
    except BudgetError as error:
        hint = in_reach(error, ReluMap.of(task.network).count) + reaching(relus, method, options)
        raise ConfigError(f"{error}; {hint}") from error
    if result.relu_map.count > relus and not getattr(reducer, "KEEPS_RELUS", False):
        raise InvariantError(f"{method}: expected at most {relus} ReLUs; found {result.relu_map.count}")
    for name, (spec, network) in result.narrower.items():
        _finish_narrower(RunDirectory(out / name), spec, network, task, {**reduction, "of": name}, config)
    reached = {"method": method, "budget": relus, "finetuned_epochs": len(result.fitted.history)}
    written = run.finish(result.network, result.spec, task.data, result.fitted, **reached, report=result.report)
    if is_first():
        shutil.rmtree(out / "work", ignore_errors=True)
    return written


def _finish_narrower(
    run: RunDirectory,
    spec: NetworkSpec,
    network: Classifier,
    task: ReductionTask,
    reduction: Mapping[str, Any],
    config: TrainConfig,
) -> None:
    source = RunDirectory(Path(reduction["source"]))
    run.claim(source.data_config(), network=str(spec), train=config.recorded(), reduction=dict(reduction))
    score = evaluate(network, task.data.validation, task.data.preprocess)
    fitted = FitResult(validation=score, best_epoch=0, history=[])
    run.finish(network, spec, task.data, fitted, method=reduction["method"], of=reduction["of"])
