"""The questions and compare_runs: answers and plots from made samples, networks as they are meant."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import compare_runs
import numpy as np
import pytest
import q01_cost_per_relu as q01
import q02_placement as q02
import q03_architectures as q03
import q05_scaling as q05
import q06_quadratic as q06
import q07_peers as q07
import q08_compare_bits as q08
from click.testing import CliRunner
from measured import question_report
from measuring.networks import build_named, cached_artifact
from measuring.question import Answer, QuestionReport

from pi_system.artifact.store import load
from pi_system.errors import ConfigError
from pi_system.train.relu import named_relus

MS_PER_RELU = {"fss": 1e-4, "crypten": 8e-3}
"""Of the made samples; a layer takes 0.5 ms, a million multiply-accumulates 0.2 ms."""


def sample(label: str, relus: int, layers: int, macs: int, backend: str, **more: Any) -> dict[str, Any]:
    online_ms = 0.5 * layers + MS_PER_RELU[backend] * relus + 2e-7 * macs
    noise = 1 + 0.001 * np.random.default_rng(len(label) + relus).normal(size=5)
    return {
        "label": label,
        "network": label,
        "relus": relus,
        "relu_layers": layers,
        "macs": macs,
        "backend": backend,
        "link": "lan",
        "online_ms": list(online_ms * noise),
        "rounds": layers + 1,
        "sent_bytes": 6 * relus,
        "received_bytes": 4 * relus,
        "offline_bytes": 100 * relus,
        "max_abs_error": 0.01,
    } | more


def both(*networks: tuple[str, int, int, int]) -> list[dict[str, Any]]:
    return [sample(*network, backend) for network in networks for backend in MS_PER_RELU]


def value(answers: Sequence[Answer], name: str) -> float:
    return next(answer for answer in answers if answer.name == name).value


def relus_of(name: str) -> list[int]:
    return [relu.active for relu in named_relus(build_named(name)[0]).values()]


Q01 = both(("a", 1000, 5, 10**7), ("b", 30000, 5, 10**7), ("c", 1000, 5, 10**9))
Q02 = both(("1 layer", 4096, 1, 10**7), ("17 layers", 4096, 17, 10**7), (q02.WHOLE, 4096, 4, 10**7))
Q03 = both((q03.BASE, 4096, 17, 10**7), ("shallow ResNet", 4096, 5, 10**7))
Q06 = both(("n relu", 10000, 17, 10**7), ("n square", 100, 17, 10**7))


def accuracy(bits: Any, lost: float, **more: Any) -> dict[str, Any]:
    loss = {"value": lost, "low": lost - 0.002, "high": lost + 0.002}
    chosen = {"a": 8, "b": 7}
    about = {"pictures": 100, "draws": 2, "arithmetic": "float", "exact_accuracy": 0.9, "finetuned": False}
    bit = {"kind": "accuracy", "network": "net", "relus": 10, "bits": bits, "loss": loss, "compare_bits": chosen}
    return bit | about | {"all_bits": {"a": 14, "b": 13}} | more


def bytes_of(backend: str, bits: Any, size: int) -> dict[str, Any]:
    about = {"kind": "cost", "network": "net", "relus": 10, "backend": backend, "bits": bits}
    return about | dict.fromkeys(q08.UNITS, size)


def timed(backend: str, name: str, *online_ms: float) -> dict[str, Any]:
    about = {"kind": "ms", "network": "net", "backend": backend, "link": "lan"}
    return about | {"label": name, "online_ms": list(online_ms)}


Q08 = [
    *(accuracy(bits, 2.0**-bits) for bits in q08.BITS),
    accuracy("auto", 0.001),
    *(accuracy(bits, -0.001, finetuned=True) for bits in q08.FINETUNED),
    bytes_of("fss", "full", 400),
    *(bytes_of("fss", bits, 10 * bits) for bits in q08.BITS),
    *(bytes_of("table", bits, 20 * bits) for bits in q08.BITS),
    *(timed("fss", "full", 4.0, 4.4), timed("fss", "n=8", 2.0, 2.2)),
    *(timed("table", "n=8", 3.0, 3.3), timed("gmw", "n=8", 9.0, 9.9)),
]


def test_q01_finds_what_a_relu_and_a_mac_cost() -> None:
    found = q01.answers(Q01)
    assert value(found, "fss/lan/us_per_relu") == pytest.approx(0.1, rel=0.2)
    assert value(found, "crypten/lan/us_per_relu") == pytest.approx(8.0, rel=0.02)
    assert value(found, "fss/lan/ns_per_mac") == pytest.approx(0.2, rel=0.02)
    assert value(found, "fss/lan/bytes_per_relu") == 10.0
    assert value(found, "fss/lan/bytes_per_mac") == 0.0
    assert value(found, "fss/lan/times_faster_than_crypten") == pytest.approx(244.5 / 7.5, rel=0.02)
    assert value(found, "crypten/lan/us_per_relu_over_fss") == pytest.approx(80, rel=0.2)


def test_q01_changes_one_thing_at_a_time() -> None:
    networks = {label: name for series in q01.SERIES["quick"] for label, name in series.networks.items()}
    relus = {label: relus_of(name) for label, name in networks.items()}
    assert {sum(counts) for counts in relus.values()} == {2048, 32768}
    assert {sum(count > 0 for count in counts) for counts in relus.values()} == {5}
    assert sum(relus["width 24"]) == 2048


def test_q02_finds_what_a_layer_costs() -> None:
    found = q02.answers(Q02)
    assert value(found, "fss/lan/ms_per_layer") == pytest.approx(0.5, rel=0.05)
    assert value(found, "fss/lan/rounds_per_layer") == 1.0
    base = 0.5 + 0.4096 + 2
    assert value(found, "fss/lan/17_layers_over_1") == pytest.approx((base + 8) / base, rel=0.02)
    assert not any("stage_1" in answer.name for answer in found)  # it was not measured


def test_q02_places_the_same_budget() -> None:
    relus = {label: relus_of(name) for label, name in q02.placements(4).items()}
    assert {sum(counts) for counts in relus.values()} == {2048}
    layers = {label: sum(count > 0 for count in counts) for label, counts in relus.items()}
    assert [layers[label] for label in q02.SPREAD] == [1, 4, 8, 17]
    assert [layers[label] for label in q02.STAGES] == [4, 4, 4, 4]


def test_q03_compares_with_the_first_network() -> None:
    found = q03.answers(Q03)
    names = [answer.name for answer in found if answer.name.startswith("fss")]
    assert names == [f"fss/lan/shallow ResNet over {q03.BASE}"]
    assert value(found, names[0]) == pytest.approx((2.5 + 2.4096) / (8.5 + 2.4096), rel=0.02)
    assert "place 1 of 2" in found[0].note


def test_q03_takes_networks_of_equal_relus() -> None:
    found = {label: sum(relus_of(name)) for label, name in q03.EQUAL_RELUS.items()}
    assert all(count == pytest.approx(16384, rel=0.005) for count in found.values())


def test_q06_divides_relu_by_square() -> None:
    found = q06.answers(Q06)
    assert value(found, "fss/lan/relu_over_square_online") == pytest.approx(11.5 / 10.51, rel=0.01)
    assert value(found, "fss/lan/relu_over_square_bytes") == 100.0


def scaled(kind: str, **fields: Any) -> dict[str, Any]:
    memory = {"server": 10, "client": 5}
    return {"kind": kind, "backend": "fss", "relus": 1000, "peak_memory_bytes": memory, **fields}


def test_q05_answers_are_per_picture_and_beside_the_smallest() -> None:
    directions = {"client_to_server": 100, "server_to_client": 300}
    samples = [
        scaled("batch", batch=1, online_ms=[10.0, 12.0], online_bytes=directions),
        scaled("batch", batch=4, online_ms=[20.0, 24.0], online_bytes={name: 4 * n for name, n in directions.items()}),
        scaled("clients", clients=1, throughput_per_s=[5.0, 6.0], online_ms=[9.0]),
        scaled("clients", clients=8, throughput_per_s=[10.0, 12.0], online_ms=[9.0]),
        scaled("size", size=32, online_ms=[10.0], online_bytes=directions),
        {**scaled("size", size=32, online_ms=[30.0], online_bytes=directions), "backend": "gmw"},
    ]
    found = {answer.name: answer for answer in q05.answers(samples)}
    assert found["fss/batch=4/online_ms_per_picture"].value == 5.5
    assert found["fss/batch=4/online_bytes_per_picture"].value == 400
    assert found["fss/batch=4/ms_per_picture_over_batch_1"].value == 0.5
    assert found["fss/clients=8/throughput_over_1"].value == 2.0
    assert found["fss/size=32/us_per_relu"].value == 10.0
    assert found["gmw/size=32/online_ms_over_fss"].value == 3.0
    assert {name for name in found if found[name].ratio} == {
        "fss/batch=4/ms_per_picture_over_batch_1",
        "fss/clients=8/throughput_over_1",
        "gmw/size=32/online_ms_over_fss",
    }


def peer(backend: str, total_ms: list[float], total_bytes: int = 200, **fields: Any) -> dict[str, Any]:
    memory = {"server": 2, "client": 1}
    about = {"kind": "peer", "network": "net", "backend": backend, "ours": "online_ms" in fields, "max_abs_error": 0.5}
    return (
        about | {"total_ms": total_ms, "total_bytes_samples": [total_bytes] * 2, "peak_memory_bytes": memory} | fields
    )


def test_q07_compares_with_our_total_and_with_our_online_time() -> None:
    ours = peer("fss", [100.0, 80.0], online_ms=[10.0, 8.0], online_bytes_samples=[50, 50])
    found = q07.answers([ours, peer("spu:SEMI2K", [400.0, 320.0], 600)])
    assert value(found, "net/spu:SEMI2K_over_fss/total") == 4.0
    assert value(found, "net/spu:SEMI2K_over_fss/total_to_online") == 40.0
    assert value(found, "net/spu:SEMI2K_over_fss/bytes") == 3.0
    assert value(found, "net/fss/online_bytes") == 50
    assert value(found, "net/spu:SEMI2K/max_abs_error") == 0.5
    assert value(found, "spu/measured") == 1


def test_q07_without_spu_says_so() -> None:
    missing = {"kind": "not_measured", "backend": "spu", "why": "there is no SPU"}
    *_, found = q07.answers([peer("crypten-shipped", [1.0, 1.0]), missing])
    assert (found.name, found.value, found.note) == ("spu/measured", 0, "there is no SPU")


def test_q08_says_what_bits_lose_and_save() -> None:
    found = q08.answers(Q08)
    assert value(found, "net/n=5/points_lost") == 3.125
    lost = next(answer for answer in found if answer.name == "net/n=5/points_lost")
    assert (lost.low, lost.high) == pytest.approx((2.925, 3.325))
    assert lost.note == "90.00 % exact, 100 pictures, 2 draws, float point"
    assert value(found, "net/n=4/finetuned_points_lost") == pytest.approx(-0.1)
    assert value(found, "net/auto/mean_bits") == 7.5
    assert value(found, "table/n=8/offline_bytes_per_relu") == 16.0
    assert value(found, "fss/n=8/stored_full_over_this") == 5.0
    assert value(found, "fss/lan/n=8/online_full_over_this") == pytest.approx(2.0)
    assert value(found, "table/lan/n=8/online_gmw_over_this") == pytest.approx(3.0)


def test_q08_measures_networks_whose_comparisons_see_that_many_bits(tmp_path: Path) -> None:
    by_n, beside = q08.ladder("resnet18:m=1,size=8", ("lan",), 1)
    assert by_n.networks.keys() - beside.networks.keys() == {"full"}
    ring = load(cached_artifact(by_n.networks["n=8"], tmp_path)).public.ring
    assert set(ring.compare_bits.values()) == {8}
    with pytest.raises(ConfigError, match="/compare=N with 2 to 63"):
        cached_artifact("resnet18:m=1,size=8/compare=x", tmp_path)


@pytest.mark.parametrize(
    ("module", "question", "samples", "plots"),
    [(q01, "q01", Q01, 3), (q02, "q02", Q02, 1), (q03, "q03", Q03, 1), (q06, "q06", Q06, 1), (q08, "q08", Q08, 2)],
)
def test_plots_come_from_the_json_alone(
    module: Any, question: str, samples: list[dict[str, Any]], plots: int, tmp_path: Path
) -> None:
    file = tmp_path / f"{question}.json"
    question_report(question=question, samples=tuple(samples)).write(file)
    drawn = module.QUESTION.draw(QuestionReport.read(file), tmp_path / "img")
    names = sorted(path.name for path in (tmp_path / "img").iterdir())
    assert names == sorted(path.name for path in drawn)
    assert len([name for name in names if name.endswith(".svg")]) == plots == len(names)
    assert all(name.startswith(question) for name in names)


# ---- compare_runs


def ratio(name: str, low: float, high: float) -> Answer:
    return Answer(name=name, value=(low + high) / 2, unit="x", low=low, high=high, ratio=True)


def compare(tmp_path: Path, first: tuple[Answer, ...], second: tuple[Answer, ...]) -> tuple[int, str]:
    for folder, answers in (("a", first), ("b", second)):
        question_report(answers=answers).write(tmp_path / folder / "q01.json")
    done = CliRunner().invoke(compare_runs.main, [str(tmp_path / "a"), str(tmp_path / "b")])
    return done.exit_code, done.output


def test_runs_whose_intervals_meet_agree(tmp_path: Path) -> None:
    time = Answer(name="ms", value=1.0, unit="ms", low=1.0, high=1.0)
    slower = time.model_copy(update={"value": 9.0, "low": 9.0, "high": 9.0})
    code, output = compare(tmp_path, (ratio("r", 2.0, 3.0), time), (ratio("r", 2.9, 4.0), slower))
    assert (code, output) == (0, "q01: 1 of 1 ratios agree\n")


def test_runs_whose_intervals_do_not_meet_differ(tmp_path: Path) -> None:
    code, output = compare(tmp_path, (ratio("r", 2.0, 3.0), ratio("s", 1, 2)), (ratio("r", 3.1, 4.0), ratio("s", 1, 2)))
    assert code == 1
    assert "q01 differs: r: 2.5 (2 to 3) and 3.55 (3.1 to 4)" in output
    assert "q01: 1 of 2 ratios agree" in output


def test_a_ratio_of_one_run_alone_is_counted(tmp_path: Path) -> None:
    code, output = compare(tmp_path, (ratio("r", 2.0, 3.0),), ())
    assert (code, output) == (0, "q01: 0 of 0 ratios agree, 1 in one only\n")


def test_folders_without_a_common_question_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    done = CliRunner().invoke(compare_runs.main, [str(tmp_path / "a"), str(tmp_path / "a")])
    assert done.exit_code == 11, done.output
