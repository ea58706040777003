"""Processes side by side: ours and others' systems, our ReLU alone, CrypTen's own launch, clients at once."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import q05_scaling as q05
from measuring.networks import cached_artifact
from measuring.processes import HERE, Site
from measuring.schema import PartyBytes
from measuring.sessions import Network, in_turn
from peers import compare_spu, relu_party, systems
from peers.rows import ratios, take_turns
from peers.systems import PeerRun, crypten_shipped, line_pair

from pi_system.errors import ConfigError, PeerUnavailableError
from pi_system.protocols.gate import GateSpec

ANYWHERE = Site(pinned=False)


class Scripted:
    """A system whose runs are given."""

    def __init__(self, name: str, runs: list[tuple[float, int]], log: list[str]) -> None:
        self.name, self._runs, self._log = name, runs, log

    def run(self, index: int) -> PeerRun:
        self._log.append(f"{self.name} {index}")
        ms, total = self._runs[index]
        return PeerRun(ms=ms, total_bytes=total, output=np.array([float(index)]))

    def peak(self) -> PartyBytes:
        return PartyBytes(server=1, client=2)


def test_systems_take_turns_and_the_first_runs_are_apart() -> None:
    log: list[str] = []
    ours = Scripted("gmw", [(50.0, 9), (10.0, 4), (30.0, 4), (20.0, 6)], log)
    theirs = Scripted("spu:CHEETAH", [(900.0, 99), (60.0, 8), (90.0, 8), (50.0, 8)], log)
    rows = take_turns(4, ANYWHERE, "net", [ours, theirs], lambda name, index, output: abs(float(output[0])))
    assert log[:4] == ["gmw 0", "spu:CHEETAH 0", "gmw 1", "spu:CHEETAH 1"]
    assert rows[0]["ms"]["samples"] == (10.0, 30.0, 20.0)
    assert rows[0]["first_run"] == {"ms": 50.0, "total_bytes": 9}
    assert [row["theirs"] for row in rows] == [False, True]
    assert rows[1]["max_abs_error"] == 3.0
    (ratio,) = ratios(rows)
    assert (ratio["ours"], ratio["theirs"]) == ("gmw", "spu:CHEETAH")
    assert ratio["times_faster"] == 3.0
    assert ratio["bytes_ratio"] == 0.5
    assert ratio["mean_times_faster"] == pytest.approx(200 / 60)


def test_rows_of_other_links_are_not_compared() -> None:
    log: list[str] = []
    lan = Site(name="lan", link="lan")
    rows = take_turns(2, ANYWHERE, "net", [Scripted("spu:SEMI2K", [(1.0, 1)] * 2, log)], lambda *_: 0.0)
    rows += take_turns(2, lan, "net", [Scripted("gmw", [(1.0, 1)] * 2, log)], lambda *_: 0.0)
    assert ratios(rows) == []


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return cached_artifact("resnet18:m=2,classes=10,size=8", tmp_path_factory.mktemp("cache"))


@pytest.fixture
def relu_pair(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Any]:
    spec = GateSpec(count=500, ring_bits=32, comparison_bits=24, shift=10)
    with line_pair("relu", compare_spu.relu_commands(request.param, spec, ANYWHERE), ANYWHERE, tmp_path) as pair:
        yield pair, spec


@pytest.mark.parametrize("relu_pair", ["gmw", "gc"], indirect=True)
def test_our_relu_alone_is_right_and_sets_up_once(relu_pair: Any) -> None:
    pair, spec = relu_pair
    first, second = pair.run(0), pair.run(1)
    for index, sample in enumerate((first, second)):
        assert np.abs(sample.output - relu_party.expected(spec, index)).max() <= 1
        assert 0 < sample.offline_ms < sample.ms
    assert second.total_bytes < first.total_bytes
    assert min(pair.peak().server, pair.peak().client) > 0


def test_a_party_that_ends_is_reported_with_its_log(tmp_path: Path) -> None:
    silent = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    failing = [sys.executable, "-c", "import sys; sys.exit('no such protocol')"]
    with (
        pytest.raises(PeerUnavailableError, match="no such protocol"),
        line_pair("x", [silent, failing], ANYWHERE, tmp_path),
    ):
        pass


def test_clients_at_once_all_get_their_answers(path: Path) -> None:
    with in_turn([path], [("fss", HERE, "logits")] * 2, 8, shared=True) as running:
        throughput, online_ms = q05.at_once(running, 2)
        assert len(online_ms) == 4
        assert 0 < throughput < 4 / (max(online_ms) / 1000)
        assert all(one.worst.absolute < 0.2 for one in running)
        running[1].close()
        with pytest.raises(PeerUnavailableError):
            q05.at_once(running, 1)


def test_crypten_launches_both_parties_itself_and_is_right(path: Path, tmp_path: Path) -> None:
    network = Network(path, 2, tmp_path)
    with crypten_shipped(path, network.file, ANYWHERE, tmp_path) as shipped:
        first, second = shipped.run(0), shipped.run(1)
        assert shipped.peak().server > 30e6
    for index, run in enumerate((first, second)):
        assert network.error("crypten-shipped", index, run.output) < 0.2
        assert run.offline_ms is None
    assert first.total_bytes == second.total_bytes > 2 * 232 * network.counts.relus


def test_an_interpreter_without_spu_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"setup\.sh"):
        systems.spu_versions(sys.executable)
    with pytest.raises(ConfigError, match="expected a program"):
        systems.spu_versions("/no/such/python")


def test_only_a_link_in_our_channel_is_closed_to_others() -> None:
    assert Site(name="lan", link="lan").imitated
    assert not Site(name="emulated lan", link="loopback").imitated
