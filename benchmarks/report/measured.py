"""Tables and sentences of docs/reference/results.md that single runs make; times as answers.py has them."""

from pathlib import Path
from typing import Final

from measuring import RESULTS
from measuring.documents import markdown, newest, number
from measuring.schema import LatencyReport, LatencyResult
from report.answers import BESIDE, UNIT

_HEAD: Final = (
    "| network | link | backend | reveals | online, {unit} | least and most of the middle half | `crypten` over this "
    "| rounds | bytes a ReLU | offline, {unit} | offline MB |\n|---|---|---|---|---|---|---|---|---|---|---|"
)


def latency(name: str) -> str:
    """One run of benchmarks/latency.py, a row a result, the newest of its name."""
    report = LatencyReport.model_validate_json(_newest("latency", name).read_text())
    quotable = report.environment.quotable
    base = {(r.network, r.link): r.online_ms.median for r in reversed(report.results) if r.backend == UNIT}
    faster = {(r.network, r.link, r.backend, r.reveal): r.times_faster for r in report.ratios}
    rows = [
        _row(r, 1.0 if quotable else base[r.network, r.link], faster.get((r.network, r.link, r.backend, r.reveal)))
        for r in report.results
    ]
    about = report.environment
    changed = " with changes" if about.git_dirty else ""
    note = "" if quotable else f" {BESIDE} `{UNIT}` with the same network and link."
    origin = (
        f"Medians of {report.repeat}, {about.cpu.strip()}, {about.date[:10]}, commit `{about.git_sha}`{changed}.{note}"
    )
    return "\n".join([_HEAD.format(unit="ms" if quotable else "x"), *rows, "", origin])


def _row(found: LatencyResult, unit: float, faster: float | None) -> str:
    ms = found.online_ms
    online, least, most, offline = (number(t / unit) for t in (ms.median, ms.q1, ms.q3, found.offline_ms))
    parts = [f"`{found.network}`", found.link, f"`{found.backend}`", found.reveal, online, f"{least} to {most}"]
    parts += [number(faster) if faster and found.backend != "crypten" else "", str(found.online_rounds)]
    parts += [f"{found.bytes_per_relu:.1f}", offline, number(found.offline_bytes / 1e6)]
    return f"| {' | '.join(parts)} |"


def spu() -> str:
    """SPU beside us: ratios of whole times and of bytes, errors."""
    report = newest(
        RESULTS / "peers_spu", lambda report: any(not row["what"].startswith("relu:") for row in report["ratios"])
    )
    lines = [
        "| network | SPU CHEETAH over `gmw`, time | bytes | MB of `gmw` | logit error: `gmw`, SPU |",
        "|---|---|---|---|---|",
    ]
    for ratio in report["ratios"]:
        rows = {row["system"]: row for row in report["rows"] if row["what"] == ratio["what"]}
        errors = ", ".join(f"{rows[ratio[side]]['max_abs_error']:.3f}" for side in ("ours", "theirs"))
        megabytes = number(rows[ratio["ours"]]["total_bytes"] / 1e6)
        times = number(ratio["times_faster"]), number(1 / ratio["bytes_ratio"])
        lines.append(f"| `{ratio['what']}` | {times[0]} | {times[1]} | {megabytes} | {errors} |")
    about = report["environment"]
    run = f"{about['cpu']}, {about['date'][:10]}, commit `{about['git_sha']}`"
    lines.append(f"\nMedians of {report['repeat']}, {run}; q07 is another run.")
    return "\n".join(lines)


def tls() -> str:
    """What TLS multiplies times by."""
    report = newest(RESULTS / "tls_cost")
    rows = [
        f"online `{row['backend']}` {row['online_ratio']:.2f}, offline {row['offline_ratio']:.2f}"
        for row in report["rows"]
    ]
    return (
        f"Mutual TLS 1.3 over plaintext on {report['link']}, {report['network']}, medians of {report['repeat']} paired "
        f"ratios: {'; '.join(rows)}. Perhaps beside other work: ratios alone."
    )


def line() -> str:
    """What a connection beside gRPC saves small online phases."""
    report = newest(RESULTS / "line")
    ratio = "online time, of gRPC alone={ratio.value:.2f} ({ratio.low:.2f} to {ratio.high:.2f})"
    run = f"{report['repeat']} calls of each in turn, mutual TLS, {report['environment']['cpu']}"
    table = markdown(report["rows"], f"network=`{{network}}`|backend=`{{backend}}`|link|{ratio}")
    return f"{table}\n\nMedians with 95 % intervals: {run}, {report['environment']['date'][:10]}."


def communicators() -> str:
    """CrypTen's communicator and our channel under it."""
    report = newest(RESULTS / "communicators")
    return (
        f"CrypTen's protocols took over our gRPC channel {report['ratio']:.2f} of their time over its own gloo "
        f"communicator, on {report['network']} (goal at most 1.3)."
    )


def _newest(folder: str, name: str) -> Path:
    return max((RESULTS / folder).glob(f"*_{name}.json"))
