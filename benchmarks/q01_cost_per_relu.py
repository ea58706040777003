"""q01: what does one ReLU cost online, and what one multiply-accumulate?

Two series of networks of random weights. In the first the convolutions are the same and so are the layers that have
ReLUs (stage 1, so that rounds are few and do not change); only how many of their positions are active changes: the
slope of online time is the cost of a ReLU. In the second the ReLUs are the same in number and in layers, and the
width grows: the slope is the cost of a multiply-accumulate. Positions without ReLU send nothing with our backends
(``bytes_per_mac`` is 0); CrypTen opens the input of every convolution, and truncates after it, so its bytes grow
with the width.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from measuring.plots import dots, lines, link_name
from measuring.question import Answer, Mode, Question, QuestionReport, Sample, commands
from measuring.side_by_side import Series, by_pair, measuring, online_bytes
from measuring.statistics import Interval, quotient, ratio_interval, slope_interval

BASE = "fss"
BASELINE = "crypten"


def series(widths: Sequence[int], relus: Sequence[int]) -> dict[str, str]:
    """Networks: the first width with every count, then the other widths with the least count."""
    found = {f"{count} ReLUs": f"resnet18:m={widths[0]}/relus={count}:1" for count in relus}
    return found | {f"width {m}": f"resnet18:m={m}/relus={relus[0]}:1" for m in widths[1:]}


SERIES: Mapping[Mode, Sequence[Series]] = {
    "quick": (Series(networks=series((8, 24), (2048, 32768)), links=("loopback", "lan"), repeat=5),),
    "full": (
        Series(networks=series((8, 16, 24), (2048, 16384, 40960)), links=("loopback", "lan"), repeat=11),
        Series(networks=series((8, 24), (2048, 32768)), links=("wan",), repeat=3),
    ),
}


def relu_series(samples: Mapping[str, Sample]) -> list[Sample]:
    """Those with the least multiply-accumulates: only their ReLUs differ."""
    least = min(sample["macs"] for sample in samples.values())
    return sorted((s for s in samples.values() if s["macs"] == least), key=lambda s: int(s["relus"]))


def mac_series(samples: Mapping[str, Sample]) -> list[Sample]:
    """Those with the least ReLUs: only their widths differ."""
    least = min(sample["relus"] for sample in samples.values())
    return sorted((s for s in samples.values() if s["relus"] == least), key=lambda s: int(s["macs"]))


def time_slopes(samples: Mapping[str, Sample]) -> dict[str, Interval]:
    """us a ReLU and ns a multiply-accumulate."""
    relu, mac = relu_series(samples), mac_series(samples)
    per_relu = slope_interval([s["relus"] for s in relu], [s["online_ms"] for s in relu])
    per_mac = slope_interval([s["macs"] for s in mac], [s["online_ms"] for s in mac])
    return {"us_per_relu": per_relu.scaled(1e3), "ns_per_mac": per_mac.scaled(1e6)}


def byte_slopes(samples: Mapping[str, Sample]) -> tuple[float, float]:
    """Bytes a ReLU and bytes a multiply-accumulate, both directions.

    Comparisons are a bit wider in one network than in another: what that makes of bytes a multiply-accumulate is cut
    off by rounding.
    """
    relu, mac = relu_series(samples), mac_series(samples)
    per_relu = np.polyfit([s["relus"] for s in relu], [online_bytes(s) for s in relu], 1)[0]
    per_mac = np.polyfit([s["macs"] for s in mac], [online_bytes(s) for s in mac], 1)[0]
    return round(float(per_relu), 3), round(float(per_mac), 2) + 0.0


def answers(samples: Sequence[Sample]) -> tuple[Answer, ...]:
    """Slopes for every backend and link, and their ratios to one backend's."""
    table, found = by_pair(samples), list[Answer]()
    for (backend, link), networks in table.items():
        name, slopes, nbytes = f"{backend}/{link}", time_slopes(networks), byte_slopes(networks)
        found += [
            Answer.of(f"{name}/us_per_relu", slopes["us_per_relu"], "us/ReLU"),
            Answer.of(f"{name}/ns_per_mac", slopes["ns_per_mac"], "ns/MAC"),
            Answer.exact(f"{name}/bytes_per_relu", nbytes[0], "bytes/ReLU"),
            Answer.exact(f"{name}/bytes_per_mac", nbytes[1], "bytes/MAC"),
        ]
        base, baseline = table.get((BASE, link), networks), table.get((BASELINE, link), networks)
        ratio = None if base is networks else quotient(slopes["us_per_relu"], time_slopes(base)["us_per_relu"])
        if ratio is not None:
            found.append(Answer.times(f"{name}/us_per_relu_over_{BASE}", ratio))
        if baseline is not networks:
            ours, theirs = relu_series(networks)[-1], relu_series(baseline)[-1]
            faster = ratio_interval(theirs["online_ms"], ours["online_ms"])
            found.append(
                Answer.times(f"{name}/times_faster_than_{BASELINE}", faster, note=f"online, {ours['network']}")
            )
    return tuple(found)


def draw(report: QuestionReport, out: Path) -> list[Path]:
    """Cost a ReLU, cost a multiply-accumulate, and the measured points behind the first."""
    table, paths = by_pair(report.samples), list[Path]()
    backends, links = (list(dict.fromkeys(pair[place] for pair in table)) for place in (0, 1))
    for key, xlabel in (
        ("us_per_relu", "online microseconds a ReLU"),
        ("ns_per_mac", "online nanoseconds a multiply-accumulate"),
    ):
        shown = {b: {link_name(k): time_slopes(table[b, k])[key] for k in links if (b, k) in table} for b in backends}
        paths += dots(shown, xlabel, out, f"q01-{key.replace('_', '-')}")
    for link in links:
        points = {b: [(s["relus"], s) for s in relu_series(table[b, link])] for b in backends if (b, link) in table}
        paths += lines(points, f"active ReLUs\n{link_name(link)}", out, f"q01-online-{link}")
    return paths


QUESTION = Question(script=__file__, measure=measuring(SERIES), answers=answers, draw=draw)
main = commands(QUESTION)

if __name__ == "__main__":
    main()
