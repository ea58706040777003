"""Online latency against ReLU count, a panel a link, a line a backend: from JSON of benchmarks/latency.py only.

Example:
python benchmarks/plot_latency.py benchmarks/results/latency/*.json --out docs/img/latency.png
"""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import click
import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

_STYLE = {
    "crypten": ("#555555", "s"),
    "fss": ("#0b7a75", "o"),
    "gmw": ("#c8553d", "^"),
    "gc": ("#7768ae", "D"),
}
_LINK_NAMES = {
    "loopback": "loopback",
    "lan": "lan: 1 Gbit/s, 0.3 ms",
    "wan": "wan: 100 Mbit/s, 40 ms",
}


def read(files: tuple[Path, ...]) -> list[dict[str, Any]]:
    """All results of all files, each with its network's ReLU count."""
    results = []
    for file in files:
        report = json.loads(file.read_text())
        relus = {entry["network"]: entry["relus"] for entry in report["networks"]}
        results += [{**result, "relus": relus[result["network"]]} for result in report["results"]]
    return results


def draw(results: list[dict[str, Any]], out: Path) -> None:
    """Write the picture."""
    links = [link for link in _LINK_NAMES if any(result["link"] == link for result in results)]
    figure, panels = pyplot.subplots(1, len(links), figsize=(4.2 * len(links), 4.2), sharey=True, squeeze=False)
    for panel, link in zip(panels[0], links, strict=True):
        lines = defaultdict(list)
        for result in results:
            if result["link"] == link and result["backend"] in _STYLE:
                lines[result["backend"]].append((result["relus"], result["online_ms"]))
        for backend, (colour, marker) in _STYLE.items():
            points = sorted(lines[backend], key=lambda point: point[0])
            if not points:
                continue
            medians = [ms["median"] for _, ms in points]
            spread = [[ms["median"] - ms["q1"] for _, ms in points], [ms["q3"] - ms["median"] for _, ms in points]]
            counts = [relus for relus, _ in points]
            panel.errorbar(
                counts, medians, spread, color=colour, marker=marker, label=backend, capsize=2, linewidth=1.4
            )
        panel.set(xscale="log", yscale="log", xlabel="ReLUs", title=_LINK_NAMES[link])
        counts = sorted({result["relus"] for result in results})
        panel.set_xlim(counts[0] / 1.5, counts[-1] * 1.5)
        panel.set_xticks(counts, [f"{count:,}" for count in counts], rotation=40, ha="right")
        panel.minorticks_off()
        panel.grid(True, alpha=0.2)
    panels[0][0].set_ylabel("online milliseconds, median and quartiles")
    panels[0][0].legend(frameon=False)
    figure.tight_layout()
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=130)


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), default=Path("docs/img/latency.png"), show_default=True)
def main(files: tuple[Path, ...], out: Path) -> None:
    """Draw FILES, written by benchmarks/latency.py."""
    draw(read(files), out)
    click.echo(out)


if __name__ == "__main__":
    main()
