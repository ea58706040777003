import json

import pytest
from measuring.environment import environment
from measuring.schema import (
    LatencyReport,
    LatencyResult,
    NetworkCounts,
    OnlineBytes,
    PartyBytes,
    Timing,
    latency_ratios,
)
from pydantic import ValidationError

COUNTS = NetworkCounts(network="net", relus=1000, relu_layers=3, macs=5000, parameters=70)


def result(backend: str, link: str, online_ms: float) -> LatencyResult:
    return LatencyResult(
        network="net",
        backend=backend,
        link=link,
        batch=1,
        online_ms=Timing.of([online_ms]),
        online_rounds=4,
        online_bytes=OnlineBytes(client_to_server=700, server_to_client=300),
        frame_bytes=60,
        us_per_relu=online_ms,
        bytes_per_relu=1.0,
        offline_ms=2.0,
        offline_ms_samples=(2.0,),
        offline_bytes=5000,
        setup_bytes=40,
        storage_bytes=PartyBytes(server=900, client=800),
        stored_bytes_per_relu=0.9,
        peak_memory_bytes=PartyBytes(server=10**8, client=9 * 10**7),
        plaintext_ms=0.5,
        plaintext_conv_ms=0.4,
        max_abs_error=1e-3,
        max_ulp_error=None,
        within_ulp_bound=None,
        floor_ms=0.4,
        floor_distance=online_ms / 0.4,
    )


def report(*results: LatencyResult) -> LatencyReport:
    return LatencyReport(
        network=COUNTS.network,
        relus=COUNTS.relus,
        relu_layers=COUNTS.relu_layers,
        macs=COUNTS.macs,
        networks=(COUNTS,),
        repeat=1,
        warmup=1,
        results=results,
        ratios=latency_ratios(results),
        environment=environment(pinned_cores={"server": 0, "client": 1}, threads=1, load_before=(0.0, 0.0, 0.0)),
    )


def test_timing_has_the_inclusive_quartiles() -> None:
    timing = Timing.of([5.0, 1.0, 3.0, 2.0, 4.0])
    assert (timing.q1, timing.median, timing.q3) == (2.0, 3.0, 4.0)
    assert timing.samples == (5.0, 1.0, 3.0, 2.0, 4.0)


def test_timing_of_one_sample_is_that_sample() -> None:
    assert Timing.of([7.0]) == Timing(median=7.0, q1=7.0, q3=7.0, samples=(7.0,))


def test_ratios_compare_within_a_link_only() -> None:
    ratios = latency_ratios((result("crypten", "lan", 80.0), result("fss", "lan", 4.0), result("fss", "wan", 9.0)))
    assert [(r.link, r.backend) for r in ratios] == [("lan", "crypten"), ("lan", "fss")]
    assert ratios[1].times_faster == 20.0
    assert ratios[1].online_ratio == 0.05


def test_json_has_the_agreed_names() -> None:
    data = json.loads(report(result("fss", "lan", 4.0)).model_dump_json(by_alias=True))
    assert data["schema"] == 1
    assert {"network", "relus", "relu_layers", "macs", "results", "environment"} <= set(data)
    agreed = {"backend", "link", "online_ms", "online_rounds", "online_bytes", "us_per_relu", "bytes_per_relu"}
    agreed |= {"offline_ms", "offline_bytes", "max_abs_error", "plaintext_ms"}
    (found,) = data["results"]
    assert agreed <= set(found)
    assert {"median", "samples"} <= set(found["online_ms"])
    assert set(found["online_bytes"]) == {"client_to_server", "server_to_client"}


def test_json_is_read_back_as_written() -> None:
    written = report(result("crypten", "lan", 80.0), result("fss", "lan", 4.0))
    assert LatencyReport.model_validate_json(written.model_dump_json(by_alias=True)) == written


@pytest.mark.parametrize("change", [{"schema": 2}, {"unknown": 1}, {"results": [{}]}, {"networks": []}])
def test_another_schema_is_refused(change: dict[str, object]) -> None:
    data = json.loads(report(result("fss", "lan", 4.0)).model_dump_json(by_alias=True))
    with pytest.raises(ValidationError):
        LatencyReport.model_validate(data | change)
