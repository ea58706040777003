"""What ``pi-client infer --profile`` writes and prints: a trace, and a table of it for people."""

import platform
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from pi_client.result import InferResult
from pi_system.errors import InputError
from pi_system.rpc.phase_profile import Phase, PhaseProfile
from pi_system.trace.chrome import write_trace
from pi_system.trace.spans import LayerSpan, layer_spans
from pi_system.trace.timeline import timeline

_PACKAGES: Final = ("pi-system", "numpy", "grpcio", "protobuf")
_PHASES: Final[tuple[Phase, ...]] = ("offline", "online")
_COLUMNS: Final = ("compute", "wait", "transfer")


def check_profile_path(path: Path) -> None:
    """Fail before anything is spent on a profile that could not be written. Raises InputError."""
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise InputError(f"profile {path}: expected a file in a folder that exists")


def save_profile(path: Path, result: InferResult, profiles: Iterable[PhaseProfile]) -> list[str]:
    """Write the trace and return the lines for people. Raises InputError if it cannot be written."""
    found = sorted(profiles, key=lambda profile: _PHASES.index(profile.phase))
    pieces = timeline(found)
    write_trace(path, pieces, _metadata(result, found))
    return [*profile_lines(found, layer_spans(pieces)), f"profile  {path}"]


def _metadata(result: InferResult, profiles: list[PhaseProfile]) -> dict[str, Any]:
    """What the trace was taken of; nothing that tells sessions, material or pictures apart."""
    config, online = result.config, result.online
    return {
        "schema": 1,
        "backend": config.backend,
        "reveal": config.revealed,
        "network": result.model.name,
        "pictures": len(result.names),
        "relus": result.relus,
        "online_ms": online.online_ms,
        "online_rounds": online.rounds,
        "phases": {
            profile.phase: {
                "total_ms": profile.total_ms,
                "client_coverage": profile.coverage(),
                "server_half": profile.server is not None,
                "clock_error_us": profile.clock_error_us,
            }
            for profile in profiles
        },
        "clock": "the client's; the server's times are placed by each phase's request and reply",
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in _PACKAGES},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def profile_lines(profiles: Iterable[PhaseProfile], spans: Iterable[LayerSpan]) -> list[str]:
    """A row a layer: both parties' ms, and the client's bytes and rounds; a phase's coverage below."""
    rows: dict[Phase, dict[tuple[str, str], dict[str, LayerSpan]]] = {phase: {} for phase in _PHASES}
    for span in spans:
        rows[span.phase].setdefault((span.layer, span.kind), {})[span.party] = span
    lines = []
    for profile in profiles:
        found = sorted(rows[profile.phase].items(), key=lambda row: _order(row[1]))
        width = max((len(layer) for (layer, _), _ in found), default=0) + 2
        names = "".join(f"{name:>9} " for name in _COLUMNS)
        counts = f"{'up bytes':>13}{'down bytes':>13}{'rounds':>7}"
        lines.append(f"{'':{width + 10}}{'client ms':^30}{'server ms':^30}")
        lines.append(f"{profile.phase:<{width}}{'kind':<10}{names}{names}{counts}")
        lines += [f"{layer:<{width}}{_row(kind, parties)}" for (layer, kind), parties in found]
        lines.append(
            f"{profile.phase}: the rows explain {100 * profile.coverage():.1f} % of {profile.total_ms:.1f} ms; "
            + _server_half(profile)
        )
    return lines


def _server_half(profile: PhaseProfile) -> str:
    if profile.server is None:
        return "the server does not give its half (pi-server serve --allow-profile)"
    return f"the server's clock is placed to {profile.clock_error_us:.0f} us"


def _order(parties: dict[str, LayerSpan]) -> float:
    """By the server's walk, which has every node of the graph, where it is known."""
    return parties.get("server", next(iter(parties.values()))).start_us


def _row(kind: str, parties: dict[str, LayerSpan]) -> str:
    client = parties.get("client")
    cells = "".join(_times(parties.get(party)) for party in ("client", "server"))
    counts = (client.sent_bytes, client.received_bytes, client.rounds) if client else (0, 0, 0)
    return f"{kind[:9]:<10}{cells}{counts[0]:>13,}{counts[1]:>13,}{counts[2]:>7}"


def _times(span: LayerSpan | None) -> str:
    if span is None:
        return " " * 30
    return "".join(f"{value / 1e3:>9.2f} " for value in (span.compute_us, span.wait_us, span.transfer_us))
