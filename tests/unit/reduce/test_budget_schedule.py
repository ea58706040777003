import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from reductions import MakeTask

from pi_system.reduce.budget_schedule import search_masks
from pi_system.train import Interrupted, ReluMap


def test_search_killed_after_every_epoch_finds_the_same(make_task: MakeTask, tmp_path: Path) -> None:
    def kill(history: Any) -> None:
        raise Interrupted("killed")

    task = make_task(200)
    config = replace(task.finetune, epochs=4)
    whole = copy.deepcopy(task.network)
    search_masks(task, whole, config, "pixel")
    killed = replace(task, workdir=tmp_path, on_epoch=kill)
    for left in reversed(range(5)):
        resumed = copy.deepcopy(task.network)
        try:
            report = search_masks(killed, resumed, config, "pixel")
        except Interrupted:
            assert left > 0
    assert report["search_epochs"] == 4
    assert ReluMap.of(resumed) == ReluMap.of(whole)
    assert ReluMap.of(whole).count == 200
    assert all(torch.equal(value, whole.state_dict()[name]) for name, value in resumed.state_dict().items())


def test_layer_budgets_are_met_and_inactive_positions_stay_so(make_task: MakeTask) -> None:
    task = make_task(200)
    start = ReluMap.of(task.network)
    student = copy.deepcopy(task.network)
    masks = {name: mask.clone() for name, mask in start}
    masks["stem_relu"][0] = False
    ReluMap(masks).apply(student)
    budgets = {name: min(10, int(mask.sum())) for name, mask in masks.items()}
    search_masks(task, student, replace(task.finetune, epochs=1), "pixel", budgets=budgets)
    assert ReluMap.of(student).counts == budgets
    assert not ReluMap.of(student).masks["stem_relu"][0].any()
