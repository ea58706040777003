"""The backend without a third party and with one round trip a layer beside the others, from results/table."""

from typing import Final

from measuring import RESULTS
from measuring.schema import LatencyReport, LatencyResult

_HEAD: Final = """| link | backend | online ms (quartiles) | `gmw` over this | rounds | bytes a ReLU | offline ms, MB |
|---|---|---|---|---|---|---|"""


def table() -> str:
    """One row a link and backend of every file, in the order of the runs."""
    rows = []
    for path in sorted((RESULTS / "table").glob("*.json")):
        report = LatencyReport.model_validate_json(path.read_text())
        medians = {(found.link, found.backend): found.online_ms.median for found in report.results}
        rows += [_row(found, medians[found.link, "gmw"]) for found in report.results]
    return "\n".join([_HEAD, *rows])


def _row(found: LatencyResult, gmw_ms: float) -> str:
    ms = found.online_ms
    faster = "" if found.backend == "gmw" else f"{gmw_ms / ms.median:.1f}"
    offline = f"{found.offline_ms:,.0f}, {found.offline_bytes / 1e6:.1f}"
    return (
        f"| {found.link} | `{found.backend}` | {ms.median:,.1f} ({ms.q1:,.1f}-{ms.q3:,.1f}) | {faster} | "
        f"{found.online_rounds} | {found.bytes_per_relu:.1f} | {offline} |"
    )
