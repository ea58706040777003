import json
from pathlib import Path
from typing import Any

import pytest
from trace_reader import profile_of

from pi_system.channel.profile import Piece
from pi_system.errors import InputError
from pi_system.rpc.phase_profile import PhaseProfile
from pi_system.trace.chrome import trace_of, write_trace
from pi_system.trace.spans import layer_spans
from pi_system.trace.timeline import timeline


def piece(layer: Any, track: Any, start_us: Any, duration_us: Any, **counts: Any) -> Any:
    return Piece(
        layer=layer,
        kind=layer[:4],
        track=track,
        start_ns=5_000_000_123 + 1000 * start_us,
        duration_ns=1000 * duration_us + 7,
        **counts,
    )


PROFILES = (
    PhaseProfile(
        phase="offline", total_ms=1.0, client=(piece("setup", "compute", 0, 10),), server=None, clock_error_us=None
    ),
    PhaseProfile(
        phase="online",
        total_ms=1.0,
        client=(
            piece("relu1", "wait", 100, 30, received_bytes=5, rounds=1),
            piece("relu1", "compute", 130, 10),
            piece("relu1", "wait", 140, 20, received_bytes=6, rounds=1),
            piece("relu1", "transfer", 160, 3, sent_bytes=4),
        ),
        server=(piece("conv1", "compute", 90, 25), piece("relu1", "compute", 115, 5)),
        clock_error_us=3.0,
    ),
)


def test_spans_add_up_the_pieces_of_a_layer() -> None:
    spans = layer_spans(timeline(PROFILES))
    assert [(s.party, s.phase, s.layer, s.kind, s.start_us) for s in spans] == [
        ("client", "offline", "setup", "setu", 0.0),
        ("server", "online", "conv1", "conv", 90.0),
        ("client", "online", "relu1", "relu", 100.0),
        ("server", "online", "relu1", "relu", 115.0),
    ]
    relu = spans[2]
    assert (relu.compute_us, relu.wait_us, relu.transfer_us) == (10.007, 50.014, 3.007)
    assert (relu.sent_bytes, relu.received_bytes, relu.rounds) == (4, 11, 2)


def test_a_written_trace_gives_the_same_spans(tmp_path: Path) -> None:
    file = tmp_path / "out.json"
    write_trace(file, timeline(PROFILES), {"backend": "gmw"})
    assert profile_of(file) == layer_spans(timeline(PROFILES))
    assert json.loads(file.read_text())["otherData"] == {"backend": "gmw"}


def test_the_trace_is_what_viewers_read() -> None:
    trace = trace_of(timeline(PROFILES), {})
    events = trace["traceEvents"]
    names = {(e["pid"], e.get("tid")): e["args"]["name"] for e in events if e["name"].endswith("_name")}
    assert names[1, None] == "client"
    assert names[2, None] == "server"
    assert [names[pid, tid] for pid in (1, 2) for tid in (11, 12, 13)] == ["compute", "wait", "transfer"] * 2
    complete = [e for e in events if e["ph"] == "X"]
    assert len(complete) == 7
    for event in complete:
        assert set(event) == {"ph", "name", "cat", "pid", "tid", "ts", "dur", "args"}
        assert names[event["pid"], event["tid"]]
        assert set(event["args"]) == {"kind", "sent_bytes", "received_bytes", "rounds"}
    assert complete[0]["ts"] == 0.0
    waits = [e for e in complete if e["name"] == "relu1" and e["tid"] == 12]
    assert [(e["ts"], e["dur"]) for e in waits] == [(100.0, 30.007), (140.0, 20.007)]


def test_a_missing_folder_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written"):
        write_trace(tmp_path / "none" / "out.json", (), {})


def test_no_pieces_no_spans() -> None:
    assert layer_spans(timeline(())) == ()
