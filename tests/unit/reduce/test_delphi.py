import pickle
import random
from dataclasses import replace
from typing import Any

import pytest
import torch

from pi_system.errors import ConfigError
from pi_system.export import export_network
from pi_system.export.exporter import lower
from pi_system.program import square_count
from pi_system.program.float_point import FloatInterpreter
from pi_system.reduce import make_method, trials
from pi_system.reduce.delphi import Delphi, candidate_plans, score
from pi_system.reduce.job import reduce_run
from pi_system.reduce.swap import clipped_gradients, settle, swap_and_finetune
from pi_system.reduce.trials import Trial, with_polynomials
from pi_system.train import DataConfig, NetworkSpec, TrainConfig, build_network, evaluate, load_run, named_relus
from pi_system.train.data.augment import Normalisation
from pi_system.train.job import train_run
from pi_system.train.mixed import mixed_activations


def test_score_is_accuracy_times_one_and_the_share_replaced() -> None:
    worth = {"a": 10.0, "b": 30.0, "c": 60.0}
    assert score(0.8, frozenset({"a", "b"}), worth) == pytest.approx(0.8 * 1.4)
    assert score(0.8, frozenset(), worth) == 0.8
    assert score(0.5, frozenset(worth), worth) == 1.0


def test_a_swapping_network_is_the_relu_network_at_first_and_the_exported_graph_at_last(make_task: Any) -> None:
    task = make_task(300)
    plan = frozenset(list(named_relus(task.network))[3:9])
    student = with_polynomials(task.network, plan).eval()
    assert set(mixed_activations(student)) == plan
    x = torch.randn(4, 1, 8, 8)
    with torch.no_grad():
        for layer in mixed_activations(student).values():
            layer.swap.fill_(1.0)
        torch.testing.assert_close(student(x), task.network.eval()(x))
        for layer in mixed_activations(student).values():
            layer.swap.fill_(0.0)
        draft = lower(student, (1, 8, 8))
        found = FloatInterpreter(draft.masks, draft.float_weights()).run(draft.graph(), x)
        torch.testing.assert_close(found, student(x), atol=1e-4, rtol=1e-3)
    assert square_count(draft.graph()) == sum(named_relus(task.network)[name].size for name in plan)


def test_published_counts_of_resnet32() -> None:
    """26 of the 31 layers quadratic: as many can be, with the ReLUs of first, last and three more small layers."""
    network = build_network(NetworkSpec.parse("resnet32:m=16,classes=10"), device="meta")
    relus = {name: relu.size for name, relu in named_relus(network).items()}
    assert (len(relus), sum(relus.values())) == (31, 303_104)
    first, *_, last = relus
    budget = relus[first] + relus[last] + 3 * 4096
    (plan,) = candidate_plans(relus, dict.fromkeys(relus, 1.0), {first, last}, budget, 1, seed=0)
    assert len(plan) == 26
    assert not {first, last} & plan


def test_plans_differ_and_all_are_within_the_budget() -> None:
    relus = {f"layer{index}": 10 * (index + 1) for index in range(8)}
    sensitivity = {name: 1.0 / cost for name, cost in relus.items()}
    plans = candidate_plans(relus, sensitivity, {"layer0"}, 150, 5, seed=3)
    assert len(plans) == len(set(plans)) == 5
    for plan in plans:
        assert sum(cost for name, cost in relus.items() if name not in plan) <= 150
        assert "layer0" not in plan
    assert candidate_plans(relus, sensitivity, set(relus), 360, 5, seed=3) == [frozenset()]


def test_the_ends_stay_unless_they_are_let_go(make_task: Any) -> None:
    names = list(named_relus(make_task(300).network))
    kept = Delphi(search="greedy").reduce(make_task(144, epochs=0))
    assert set(kept.report["replaced"]) == set(names[1:-1])
    assert kept.relu_map.count == 144
    all_gone = Delphi(search="greedy", ends=False).reduce(make_task(0, epochs=0))
    assert all_gone.relu_map.count == 0
    assert all_gone.report["squares"] == 1088


def test_chosen_layers_beat_random_ones(make_task: Any, digits: Any, trained: Any) -> None:
    task = replace(make_task(600, "resnet18:m=4", digits, epochs=2), network=trained)
    relus = {name: relu.size for name, relu in named_relus(trained).items()}
    first, *_, last = relus

    def loss(network: Any) -> Any:
        return -evaluate(network, digits.test, digits.preprocess).negated_loss

    chosen = Delphi(search="greedy").reduce(task)
    others = []
    for seed in range(3):
        kept, left = {first, last}, 600 - relus[first] - relus[last]
        for name in random.Random(seed).sample(list(relus), len(relus)):  # in random order, as long as they fit
            if name not in kept and relus[name] <= left:
                kept.add(name)
                left -= relus[name]
        student = with_polynomials(trained, frozenset(relus.keys() - kept))
        swap_and_finetune(task, student, task.finetune, 0.5)
        others.append(loss(student))
    assert loss(chosen.network) < sum(others) / len(others)


@pytest.mark.parametrize("search", ["halving", "population"])
def test_trials_pick_the_best_score_by_jobs_that_can_be_sent_away(
    make_task: Any, monkeypatch: Any, search: Any
) -> None:
    sent = []

    def elsewhere(run: Any, jobs: Any, workers: Any, cores: Any) -> Any:
        sent.append((workers, cores))
        yield from map(run, pickle.loads(pickle.dumps(list(jobs))))  # noqa: S301 - our own

    monkeypatch.setattr(trials, "run_on_ray", elsewhere)
    task = replace(make_task(300, epochs=1), on_epoch=lambda history: None)  # cannot be pickled, must not be sent
    options = {"search": search, "candidates": "4", "rounds": "2"}
    here = make_method("delphi", options).reduce(task)
    there = make_method("delphi", options | {"ray": "true"}).reduce(task)
    assert here.report == there.report
    rows = here.report["trials"]
    rounds = [[row for row in rows if row["round"] == number] for number in (0, 1)]
    assert [len(row) for row in rounds] == [4, 2 if search == "halving" else 4]
    assert sent == [(len(row), 1) for row in rounds]
    best = max(rounds[1], key=lambda row: row["score"])
    assert here.report["replaced"] == best["replaced"]
    if search == "population":
        assert len({row["learning_rate"] for row in rows}) > 2


def test_the_population_moves_from_worse_to_better(make_task: Any, monkeypatch: Any) -> None:
    accuracies = iter([0.1, 0.9, 0.5, 0.6, 0.2, 0.2, 0.2, 0.2])
    seen = []

    def run(job: Any) -> Any:
        seen.append(job)
        return {"weights": {"from": job.trial.plan}, "accuracy": next(accuracies)}

    monkeypatch.setattr(trials, "_run", run)
    plans = [frozenset({str(index)}) for index in range(4)]
    search = trials.Search(kind="population", rounds=2, epochs=1, value=lambda plan, accuracy: accuracy)
    search.best(make_task(300), plans)
    assert [job.trial.plan for job in seen[4:]] == [plans[1], plans[1], plans[2], plans[3]]
    assert [job.weights["from"] for job in seen[4:]] == [plans[1], plans[1], plans[2], plans[3]]
    assert seen[4].trial.learning_rate != seen[5].trial.learning_rate
    assert all(job.trial.momentum < 1 for job in seen)


def test_a_trial_that_diverges_scores_nothing(make_task: Any) -> None:
    task = make_task(300, epochs=1)
    trial = Trial(frozenset(list(named_relus(task.network))[1:-1]), 1e9, 0.9)
    config = replace(task.finetune, learning_rate=1e9)
    found = trials._run(trials._Job(task, trial, config, "trial", None))
    assert found == {"weights": None, "accuracy": 0.0}


def test_gradients_are_clipped_by_value() -> None:
    layer: Any = torch.nn.Linear(2, 1)
    with clipped_gradients(layer):
        (100 * layer(torch.tensor([[1.0, -1e-3]]))).sum().backward()
    assert layer.weight.grad.tolist() == [[2.0, pytest.approx(-0.1)]]
    layer.weight.grad = None
    (100 * layer(torch.tensor([[1.0, -1e-3]]))).sum().backward()
    assert layer.weight.grad[0, 0] == 100


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"search": "luck"}, "search: expected one of halving, population, greedy; found 'luck'"),
        ({"rounds": "0"}, r"rounds: expected int in \[1, 1000\]; found '0'"),
        ({"objective": "bytes"}, "objective: expected one of relus, milliseconds"),
        (
            {"objective": "milliseconds", "backend": "fss", "link": "10,1"},
            "expected a backend whose squares are faster; found fss on 10,1",
        ),
        ({"objective": "milliseconds", "backend": "crypten"}, "backend: expected one of gmw, gc, table, fss"),
    ],
)
def test_bad_options_are_refused(make_task: Any, options: Any, message: Any) -> None:
    with pytest.raises(ConfigError, match=message):
        make_method("delphi", options).reduce(make_task(300))


def test_gates_of_other_methods_refuse_polynomials(make_task: Any) -> None:
    task = make_task(300, epochs=0)
    reduced = Delphi(search="greedy").reduce(task)
    again = replace(task, network=reduced.network, budget=200)
    with pytest.raises(ConfigError, match="expected ReLUs and identities alone; found mixed activations"):
        make_method("snl", {}).reduce(again)
    with pytest.raises(ConfigError, match="expected ReLUs and identities alone; found mixed activations"):
        make_method("deepreduce", {"order": "3,2,4,1"}).reduce(again)


@pytest.fixture(scope="module")
def source(tmp_path_factory: Any) -> Any:
    """A finished run of the tiny network."""
    out = tmp_path_factory.mktemp("run")
    config = TrainConfig(epochs=1, batch_size=128, device="cpu")
    train_run(out, "resnet18:m=2", DataConfig(name="digits"), config)
    return out


@pytest.mark.parametrize(
    ("method", "options"),
    [("delphi", {"objective": "milliseconds", "candidates": "2", "rounds": "1"}), ("safenet", {})],
)
def test_a_run_directory_holds_the_mixed_network(
    source: Any, tmp_path: Any, few_digits: Any, method: Any, options: Any
) -> None:
    config = TrainConfig(epochs=2, batch_size=128, learning_rate=0.02, device="cpu")
    result = reduce_run(source, tmp_path / "out", method, options, config, budget=300)
    loaded = load_run(tmp_path / "out")
    squares = sum(layer.squares for layer in mixed_activations(loaded.network).values())
    assert 0 < loaded.relu_map.count == result["relus"] <= 300
    assert result["squares"] == result["report"]["squares"] == squares > 0
    pictures = torch.randn(16, 1, 8, 8).numpy()
    graph = export_network(loaded.network, loaded.preprocess, pictures, "run").public.graph
    assert square_count(graph) == squares
    test = replace(few_digits).test
    assert evaluate(loaded.network, test, loaded.preprocess).accuracy == result["test_accuracy"]


def test_settled_statistics_are_those_of_the_training_pictures(make_task: Any) -> None:
    task = make_task(300)
    network: Any = build_network(task.spec, seed=1)
    settle(task, network)
    normalise = Normalisation.of(task.data.preprocess, torch.device("cpu"))
    x = normalise(task.data.train.images)  # 128 pictures: one batch
    mean = network.stem_conv(x).mean((0, 2, 3))
    torch.testing.assert_close(network.stem_bn.running_mean, mean, atol=1e-5, rtol=1e-4)
    assert network.stem_bn.momentum == 0.1
    assert not network.training
