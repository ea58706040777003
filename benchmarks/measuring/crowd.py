"""Many clients at once against few, at one server: each asks again as soon as it has its answer.

Few clients come before and after the many, so that a machine that gets slower meanwhile favours neither.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, Final

from measuring.documents import say
from measuring.load import Load, put_under
from measuring.processes import Site
from measuring.programs import start_server
from measuring.question import Sample
from measuring.sessions import Network
from measuring.steady import claim

_PICTURES: Final = 16
_NO_DEALER: Final = "127.0.0.1:1"
_TENTHS: Final = 10
FLAT: Final = 0.05
SHARE: Final = 0.9


def run_crowd(path: Path, folder: Path, loads: Sequence[Load], max_sessions: int) -> list[Sample]:
    """What became of each load in turn; those whose result is in ``folder`` are done. Raises PiError."""
    network, backends = Network(path, _PICTURES, folder), tuple({load.backend for load in loads})
    options: dict[str, Any] = {"backends": backends, "max_sessions": max_sessions, "site": Site(pinned=False)}
    samples = []
    with start_server(path, _NO_DEALER, folder, **options) as server:
        for number, load in enumerate(loads):
            kept = folder / f"crowd-{number}.json"
            if not kept.exists():
                kept.write_text(json.dumps(put_under(load, network, server, _NO_DEALER, folder)))
            found = json.loads(kept.read_text())
            samples.append(found | {"answers_per_s": throughput(found)})
            say(f"{load.clients} clients: {found['states']}, {throughput(found):.2f}/s, {found['latency_ms']}")
    return samples


def memory_change(sample: Sample) -> float:
    """How much more memory the server has in the last tenth of a load than in the second, as a share of that."""
    tenth_s = sample["duration_s"] / _TENTHS
    second, last = (
        fmean(nbytes for at_s, nbytes, _ in sample["memory"] if begin * tenth_s <= at_s < (begin + 1) * tenth_s)
        for begin in (1, _TENTHS - 1)
    )
    return float(last / second - 1)


def throughput(sample: Sample) -> float:
    """Answers a second while all clients asked: what was asked for and not answered by then is not counted."""
    duration_s = float(sample["duration_s"])
    ends = [found["end_s"] for found in sample["requests"] if found["state"] == "served"]
    return len([end_s for end_s in ends if end_s <= duration_s]) / duration_s


def claims(samples: Sequence[Sample]) -> list[Sample]:
    """What the numbers say of the load with the most clients beside the others."""
    many = max(samples, key=lambda sample: sample["clients"])
    few = [sample for sample in samples if sample is not many]
    states, change = many["states"], memory_change(many)
    failed = {state: count for state, count in states.items() if state not in ("served", "busy", "wrong")}
    share = throughput(many) / fmean(throughput(sample) for sample in few)
    wrong, served = sum(sample["states"].get("wrong", 0) for sample in samples), states.get("served", 0)
    limit = f"{many['timeout_s']:g} s"
    return [
        claim("no wrong answer", f"{wrong} beside {served} right ones", wrong == 0 < served),
        claim(
            f"no call failed within {limit} but by a typed busy", failed | {"busy": states.get("busy", 0)}, not failed
        ),
        claim("memory is flat: last tenth within 5 % of the second", f"{change:+.1%}", abs(change) <= FLAT),
        claim(f"at least {SHARE} of the throughput of {few[0]['clients']} clients", f"{share:.2f}", share >= SHARE),
    ]
