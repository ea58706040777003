"""What does asking again tell? How precisely a client knows a logit after so many answers to one picture.

    python benchmarks/repetition.py --artifact builtin:cifar10 --backend fss --backend gmw --pictures 4 --repeat 256

Real processes; the server reveals logits. What it would have revealed as scores is their rounding, which the protocol
computes exactly (tests/conformance/test_reveal.py), so one run answers for both. For every picture the mean of all its
answers stands for the logit; the error after n answers is the root mean square, over pictures and classes, of the
distance of the mean of n answers from it. A score errs by up to half a step, however often it is asked for, unless the
logit's noise carries it over the point where rounding turns: the share of such logits is given, too.

--keep writes the JSON object to benchmarks/results/repetition and `make report` the newest's sentences into
docs/explanation/threat-model.md. On stdout a table, then, last line, the JSON object; progress on stderr.
"""

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import click
import numpy as np
from measuring import RESULTS
from measuring.documents import Publish, backend_option, newest, publishes, say, show
from measuring.machine import Measurement, measures
from measuring.processes import Site
from measuring.programs import start_dealer, start_server
from measuring.sessions import Network, Session
from numpy.typing import NDArray

from pi_system.artifact.store import load
from pi_system.backends.registry import BACKENDS
from pi_system.cli.artifact_path import ArtifactPath
from pi_system.cli.errors import PiCommand

KEPT: Final = RESULTS / "repetition"
BATCH: Final = 32


def precision(logits: NDArray[np.float64], step: float) -> list[dict[str, float]]:
    """The error of n averaged answers, n = 1, 4, 16, ... up to a quarter of ``logits`` (pictures, answers, classes)."""
    scores = step * np.floor(logits / step + 0.5)
    truth, rows, repeats = logits.mean(axis=1, keepdims=True), [], 1
    while 4 * repeats <= logits.shape[1]:
        blocks = scores[:, :repeats]
        rows.append(
            {
                "repeats": repeats,
                "logits_error": _error(logits, truth, repeats),
                "scores_error": _error(scores, truth, repeats),
                "scores_moved": float((blocks.max(axis=1) != blocks.min(axis=1)).mean()),
            }
        )
        repeats *= 4
    return rows


def _error(answers: NDArray[np.float64], truth: NDArray[np.float64], repeats: int) -> float:
    """Root mean square over pictures, disjoint blocks of ``repeats`` answers, and classes."""
    pictures, total, classes = answers.shape
    blocks = total // repeats
    means = answers[:, : blocks * repeats].reshape(pictures, blocks, repeats, classes).mean(axis=2)
    return float(np.sqrt(np.square(means - truth).mean()))


def statement() -> str:
    """What the threat model says of the newest run that was kept, a line a backend."""
    report = newest(KEPT)
    step = report["score_step"]
    lines = [f"Measured on {report['network']} ({report['pictures']} pictures; scores in steps of {step:g}):"]
    for row in report["rows"]:
        first, last = row["precision"][0], row["precision"][-1]
        repeats = last["repeats"]
        lines.append(
            f"- `{row['backend']}`: under `logits` one answer tells a logit to within {first['logits_error']:.2g}, "
            f"{repeats} answers to within {last['logits_error']:.2g} (root mean square); under `scores` to within "
            f"{first['scores_error']:.2g} and {last['scores_error']:.2g}; {100 * last['scores_moved']:.1f} % of the "
            f"logits lie where their noise gave them two scores in {repeats} answers."
        )
    return "\n".join(lines)


def answers(artifact: Path, backend: str, pictures: int, repeat: int, folder: Path) -> NDArray[np.float64]:
    """Logits (pictures, repeat, classes) of real processes."""
    network, site, found = Network(artifact, pictures, folder, repeat), Site(pinned=False), []
    with ExitStack() as stack:
        dealer = stack.enter_context(start_dealer(folder)).address
        server = stack.enter_context(start_server(artifact, dealer, folder, backends=(backend,), site=site))
        client = stack.enter_context(Session(network, backend, server, dealer, site=site))
        for first in range(0, pictures * repeat, BATCH):
            count = min(BATCH, pictures * repeat - first)
            found.append(client.call(first, count).logits)
            say(f"{backend}: {first + count} of {pictures * repeat}")
    return np.concatenate(found).reshape(pictures, repeat, -1)


@click.command(cls=PiCommand)
@measures
@click.option("--artifact", type=ArtifactPath(), default="builtin:cifar10", show_default=True)
@backend_option(BACKENDS, ("fss", "gmw"))
@click.option("--pictures", default=4, show_default=True, type=click.IntRange(1, 1000), help="Random ones.")
@click.option("--repeat", default=256, show_default=True, type=click.IntRange(4, 65536), help="Answers a picture.")
@publishes
def main(
    run: Measurement, artifact: Path, backends: tuple[str, ...], pictures: int, repeat: int, publish: Publish
) -> None:
    """Measure what repeated answers tell of a logit."""
    public, rows = load(artifact).public, list[dict[str, Any]]()
    step = 2.0 ** public.ring.score_step(public.graph.output)
    for backend in backends:
        with tempfile.TemporaryDirectory(prefix="pi-repetition-") as folder:
            logits = answers(artifact, backend, pictures, repeat, Path(folder))
        rows.append({"backend": backend, "precision": precision(logits, step)})
    about: dict[str, Any] = {"network": public.name, "score_step": step, "pictures": pictures, "repeat": repeat}
    report = run.report("repetition", **about, rows=rows, parties={"pinned_cores": {}})
    shown = [{"backend": row["backend"], **found} for row in rows for found in row["precision"]]
    columns = "backend|answers=repeats:d|logits=logits_error:.2e|scores=scores_error:.2e|two scores=scores_moved:.1%"
    show(f"{report['network']}, scores in steps of {report['score_step']:g}: error of a logit", shown, columns)
    publish(report, "repetition/{date}_{sha}")


if __name__ == "__main__":
    main()
