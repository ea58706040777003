"""One training job from names to a finished run directory."""

from pathlib import Path
from typing import Any

from pi_system.train.config import TrainConfig
from pi_system.train.data import DataConfig, load_data
from pi_system.train.loop import fit
from pi_system.train.networks import build_network
from pi_system.train.run import RunDirectory
from pi_system.train.spec import NetworkSpec


def train_run(
    out: Path, network: str, data_config: DataConfig, config: TrainConfig, *, progress: bool = False
) -> dict[str, Any]:
    """Train a network with all its ReLUs; the same call resumes a run that was stopped.

    Args:
        out: run directory.
        network: its name; classes, size and channels may be left to the data set.
        data_config: which data.
        config: the recipe; its seed also draws the initial weights.
        progress: show a progress bar on stderr.

    Returns:
        What result.json holds.

    Raises:
        ConfigError: the network does not fit the data, or ``out`` holds another run.
        InputError: the data set cannot be read.
        Interrupted: stopped; everything done is in the checkpoint.
    """
    data = load_data(data_config)
    spec = NetworkSpec.parse(network, **data.context)
    run = RunDirectory(out)
    run.claim(data_config, network=str(spec), train=config.recorded())
    if run.finished:
        return run.result()
    model = build_network(spec, seed=config.seed)
    fitted = fit(model, data, config, checkpoint=run.checkpoint, on_epoch=run.record, progress=progress)
    return run.finish(model, spec, data, fitted)
