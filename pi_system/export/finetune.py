"""A finished run, trained on with the random signs of few compared bits inside, so that it loses less by them.

The run is exported first: that says which signs are random in which window. Then the network learns with such signs
in the place of its ReLUs (train/random_sign.py), distilled from what it was. The run that comes out remembers its
bits, and ``pi-train export`` takes them; a number below what the ranges then allow is raised.
"""

import copy
from pathlib import Path
from typing import Any

from pi_system.errors import InputError
from pi_system.export.compare_bits import CompareOptions
from pi_system.export.job import export_loaded
from pi_system.train.config import TrainConfig
from pi_system.train.data import load_data
from pi_system.train.loop import fit
from pi_system.train.random_sign import insert_random_signs, remove_random_signs
from pi_system.train.run import RunDirectory


def finetune_run(
    source: Path, out: Path, compare: CompareOptions, config: TrainConfig, *, progress: bool = False
) -> dict[str, Any]:
    """Train the finished run ``source`` on, with few bits compared; the same call resumes what was stopped.

    Args:
        source: run directory of the network, which is also the teacher.
        out: run directory to write.
        compare: how many bits; of "auto" those that are found before the training.
        config: the recipe.
        progress: show a progress bar on stderr.

    Returns:
        What result.json holds: ``validation_accuracy`` with random signs, ``test_accuracy`` with exact ones,
        ``compare_bits`` and the ``windows`` that were trained with.

    Raises:
        ConfigError: ``out`` holds another run, or the network has mixed activations.
        InputError: the source run or its data cannot be read.
        UnsupportedLayerError: the network has a layer that export does not support.
        Interrupted: stopped; everything done is in the run directory.
    """
    origin, run = RunDirectory(source), RunDirectory(out)
    loaded, data = origin.load(), load_data(origin.data_config())
    if data.preprocess != loaded.preprocess:
        raise InputError(f"data: expected the pictures that {source} was trained on; found others")
    asked = {"source": str(source.resolve()), "bits": compare.bits, "loss": compare.loss, "pictures": compare.pictures}
    run.claim(origin.data_config(), network=str(loaded.spec), train=config.recorded(), finetuning=asked)
    if run.finished:
        return run.result()
    artifact, table = export_loaded(loaded, data, None, compare)
    ring, graph = artifact.public.ring, artifact.public.graph
    windows = {node.name: ring.window(node) for node in graph if node.name in ring.compare_bits}
    student = copy.deepcopy(loaded.network)
    signs = insert_random_signs(student, windows, config.seed)
    fitted = fit(
        student,
        data,
        config,
        teacher=loaded.network,
        checkpoint=run.checkpoint,
        label="finetune",
        on_epoch=run.record,
        progress=progress,
    )
    remove_random_signs(student, signs)
    found = {"compare_bits": ring.compare_bits, "windows": windows, "compare_table": table and table.as_json()}
    return run.finish(student, loaded.spec, data, fitted, **found)
