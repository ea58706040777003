from pathlib import Path
from typing import Any

from click.testing import CliRunner

from pi_client.cli import main
from pi_client.profile import profile_lines
from pi_system.channel.profile import Piece
from pi_system.rpc.phase_profile import PhaseProfile
from pi_system.trace.spans import layer_spans
from pi_system.trace.timeline import timeline


def piece(layer: Any, track: Any, duration_ms: Any, **counts: Any) -> Any:
    return Piece(layer=layer, kind="relu", track=track, start_ns=0, duration_ns=round(1e6 * duration_ms), **counts)


CLIENT = (
    piece("relu1", "wait", 1.5, received_bytes=5000, rounds=1),
    piece("relu1", "compute", 0.25),
    piece("relu1", "transfer", 0.125, sent_bytes=40),
)
SERVER = (piece("conv1", "compute", 0.75), piece("relu1", "wait", 2.0))


def profile(**changes: Any) -> Any:
    fields: dict[str, Any] = {
        "phase": "online",
        "total_ms": 2.0,
        "client": CLIENT,
        "server": SERVER,
        "clock_error_us": 30.0,
    }
    return PhaseProfile(**(fields | changes))


def test_the_table_has_a_row_a_layer_with_both_parties() -> None:
    lines = profile_lines([profile()], layer_spans(timeline([profile()])))
    rows = {line.split()[0]: line.split()[2:] for line in lines[2:-1]}
    assert rows == {
        "relu1": ["0.25", "1.50", "0.12", "0.00", "2.00", "0.00", "40", "5,000", "1"],
        "conv1": ["0.75", "0.00", "0.00", "0", "0", "0"],
    }
    assert lines[-1] == "online: the rows explain 93.8 % of 2.0 ms; the server's clock is placed to 30 us"
    assert len({len(line) for line in lines[1:-1]}) == 1


def test_without_the_servers_half_a_line_says_so() -> None:
    alone = profile(server=None, clock_error_us=None)
    assert "the server does not give its half" in profile_lines([alone], layer_spans(timeline([alone])))[-1]


def test_a_profile_that_cannot_be_written_costs_nothing(tmp_path: Path) -> None:
    file = tmp_path / "missing" / "out.json"
    done = CliRunner().invoke(main, ["infer", "a.png", "--store", str(tmp_path / "store"), "--profile", str(file)])
    assert done.exit_code == 11
    assert "expected a file in a folder that exists" in done.output
