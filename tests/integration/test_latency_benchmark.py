"""benchmarks/latency.py as its users run it: real processes, both backends, a small network."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import latency
import pytest
from click.testing import CliRunner
from measuring import samples
from measuring.processes import descendants
from measuring.samples import Group, measure_groups, predicted_counts
from measuring.schema import LatencyReport

import pi_system
from pi_system.cost import default_calibration, predict

pytestmark = pytest.mark.slow

SCRIPT = Path(pi_system.__file__).parents[1] / "benchmarks" / "latency.py"
NETWORK = "resnet18:m=2,classes=10,size=8"
PRICES = default_calibration()


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("artifacts")


def arguments(cache: Path, *options: str) -> list[str]:
    return ["--network", NETWORK, "--cache", str(cache), "--busy", *options]


def run(cache: Path, *options: str) -> str:
    """What is printed; the parties are processes of their own, the benchmark is this one: another imports torch."""
    done = CliRunner().invoke(latency.main, arguments(cache, *options))
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture(scope="module")
def report(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> LatencyReport:
    out = tmp_path_factory.mktemp("out") / "latency.json"
    options = ["--backend", "crypten", "--backend", "fss", "--link", "1000,2"]
    last = run(cache, *options, "--repeat", "2", "--json-out", str(out)).splitlines()[-1]
    assert json.loads(last) == json.loads(out.read_text())
    return LatencyReport.model_validate_json(last)


def test_every_combination_is_there(report: LatencyReport) -> None:
    assert [(r.link, r.backend) for r in report.results] == [("1000,2", "crypten"), ("1000,2", "fss")]
    assert all(len(r.online_ms.samples) == 2 for r in report.results)
    assert report.network == NETWORK
    assert [ratio.backend for ratio in report.ratios] == ["crypten", "fss"]


def test_logits_match_plaintext(report: LatencyReport) -> None:
    assert all(r.max_abs_error < 0.2 for r in report.results)
    assert [r.within_ulp_bound for r in report.results] == [None, True]


def test_figures_follow_from_each_other(report: LatencyReport) -> None:
    for r in report.results:
        assert r.us_per_relu == pytest.approx(1000 * r.online_ms.median / report.relus)
        online = r.online_bytes.client_to_server + r.online_bytes.server_to_client
        assert r.bytes_per_relu == pytest.approx(online / report.relus)
        assert r.floor_distance == pytest.approx(r.online_ms.median / r.floor_ms)
        assert r.peak_memory_bytes.server > 30e6
        assert r.peak_memory_bytes.client > 30e6


def test_fss_takes_one_round_trip_a_relu_layer_and_stores_its_keys(report: LatencyReport) -> None:
    fss = report.results[1]
    assert fss.online_rounds == report.relu_layers + 1
    assert fss.storage_bytes.server > 100 * report.relus
    assert fss.offline_bytes > fss.storage_bytes.server
    assert fss.setup_bytes > 2 * report.networks[0].parameters
    assert report.results[0].storage_bytes.server == 0


def test_no_run_beats_its_link(report: LatencyReport) -> None:
    crypten, fss = report.results
    assert min(fss.online_ms.samples) > fss.online_rounds * 2
    assert fss.floor_ms > fss.online_rounds * 2
    assert crypten.floor_ms > crypten.online_rounds  # exchanges wait half a round trip
    assert all(min(r.online_ms.samples) > r.floor_ms for r in report.results)


def test_the_label_costs_its_two_gates(cache: Path) -> None:
    options = ["--backend", "fss", "--reveal", "logits", "--reveal", "label", "--repeat", "1"]
    printed = run(cache, *options)
    logits, label = LatencyReport.model_validate_json(printed.splitlines()[-1]).results
    assert (logits.reveal, label.reveal) == ("logits", "label")
    assert label.online_rounds == logits.online_rounds + 2  # ten classes: all pairs, then who lost to nobody
    assert label.online_bytes.client_to_server > logits.online_bytes.client_to_server
    assert label.max_abs_error < 0.2
    assert "label" in printed


def test_a_wrong_option_ends_with_one_line(cache: Path) -> None:
    done = CliRunner().invoke(latency.main, arguments(cache, "--link", "tin can"))
    assert done.exit_code == 10
    assert "expected one of loopback" in done.stderr
    assert "Traceback" not in done.stderr
    assert not done.stdout


def test_a_stopped_run_leaves_no_process(cache: Path, report: LatencyReport) -> None:
    command = [sys.executable, str(SCRIPT), *arguments(cache, "--backend", "fss", "--repeat", "1000")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        started = _wait_for_family(process.pid, size=5)  # dealer, server, its fork server and worker, client
        time.sleep(1.0)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 130, errors
    assert [pid for pid in started if _is_running(pid)] == []


def _wait_for_family(pid: int, size: int) -> list[int]:
    deadline_s = time.monotonic() + 200
    while time.monotonic() < deadline_s:
        family = descendants(pid)
        if len(family) >= size:
            return family
        time.sleep(0.1)
    raise AssertionError(f"expected {size} processes, found {len(family)}")


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"


def test_calibration_visits_every_network_again_and_keeps_what_it_has(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups, part = [Group(NETWORK, "loopback", ("gmw", "fss"))], tmp_path / "part.json"
    found, artifacts = measure_groups(groups, 1, 2, cache, part)
    assert [sample.backend for sample in found] == ["gmw", "fss"]
    for sample in found:
        assert len(sample.online_ms) == len(sample.offline_ms) == 2
        assert predicted_counts(predict(artifacts[NETWORK], sample.backend, "loopback", PRICES)) == sample.counts()
    monkeypatch.setattr(samples, "run_all", None)  # nothing is measured any more
    assert measure_groups(groups, 1, 2, cache, part)[0] == found
    assert [len(sample.online_ms) for sample in measure_groups(groups, 1, 1, cache, part)[0]] == [1, 1]
