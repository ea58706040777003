"""Online latency against ReLU count, a panel a link, a line a backend: from JSON of benchmarks/latency.py only.

python benchmarks/plot_latency.py benchmarks/results/latency/*.json --out docs/img
"""

import json
from collections.abc import Sequence
from pathlib import Path

import click
from measuring.documents import PATH, say
from measuring.plots import COLOURS, LINK_NAMES, figure, line, save, ticks_at
from measuring.statistics import Interval


def draw(files: Sequence[Path], out: Path) -> list[Path]:
    """Medians and quartiles of all results of all files."""
    results = []
    for file in files:
        report = json.loads(file.read_text())
        relus = {entry["network"]: entry["relus"] for entry in report["networks"]}
        results += [{**result, "relus": relus[result["network"]]} for result in report["results"]]
    links = [link for link in LINK_NAMES if any(result["link"] == link for result in results)]
    drawn, panels = figure(columns=len(links), size=(4.2, 4.2), sharex=True, sharey=True)
    for panel, link in zip(panels, links, strict=True):
        for backend in COLOURS:
            mine = [r for r in results if (r["link"], r["backend"]) == (link, backend)]
            mine.sort(key=lambda result: int(result["relus"]))
            timings = [result["online_ms"] for result in mine]
            found = [Interval(ms["median"], ms["q1"], ms["q3"]) for ms in timings]
            if found:
                line(panel, [result["relus"] for result in mine], found, backend)
        ticks_at(panel, sorted({result["relus"] for result in results}), "ReLUs")
        panel.tick_params(axis="x", rotation=40)
        panel.margins(x=0.1)
        panel.set(yscale="log", title=LINK_NAMES[link])
        panel.grid(True)
    panels[0].set_ylabel("online milliseconds, median and quartiles")
    panels[0].legend()
    return save(drawn, out, "latency")


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--out", type=PATH, default=Path("docs/img"), show_default=True, help="Folder.")
def main(files: tuple[Path, ...], out: Path) -> None:
    """Draw FILES, written by benchmarks/latency.py."""
    for path in draw(files, out):
        say(f"wrote {path}")


if __name__ == "__main__":
    main()
