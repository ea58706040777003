"""What do the networks of the accuracy study cost online? Real processes, one core a party, backends in turn.

    python benchmarks/study_costs.py STUDY_FOLDER --out COSTS.json

exports the network of one seed of every curve and budget (STUDY_FOLDER/artifacts keeps them) and measures online
milliseconds, bytes and rounds of every backend and link. One command: killed, it goes on behind the last measured
combination; COSTS.json is written anew after each. A network whose ring no backend without a dealer takes is recorded
as such. The last line of stdout is the JSON. `make report` reads it.
"""

import json
from pathlib import Path
from typing import Any

import click
from measuring.documents import PATH, backend_option, link_option, repeat_option, say
from measuring.latency import run_all
from measuring.machine import Measurement, measures
from measuring.networks import counts

from pi_system.artifact.store import load
from pi_system.backends.registry import BACKENDS
from pi_system.cli.errors import PiCommand
from pi_system.errors import ConfigError, InputError
from pi_system.export.job import export_run
from pi_system.protocols.linear_he.params import MAX_RING_BITS
from pi_system.train.files import write_atomic

_DEALERLESS = ("gmw", "gc")


class Costs:
    """The JSON: ``networks`` by run of the study, ``results`` a combination each, written after every change."""

    def __init__(self, run: Measurement, file: Path, settings: dict[str, Any]):
        """Read what is there. Raises ConfigError: it was measured with other settings."""
        self._measurement, self._file = run, file
        self.content: dict[str, Any] = {"schema": 1, **settings, "networks": {}, "results": []}
        if file.is_file():
            found = json.loads(file.read_text())
            different = sorted(key for key in ("schema", *settings) if found.get(key) != self.content[key])
            if different:
                raise ConfigError(f"{file}: holds costs of another {', '.join(different)}; name another file")
            self.content = found

    def missing(self, run: str, link: str, backends: tuple[str, ...]) -> list[str]:
        """Backends neither measured nor known not to be possible."""
        held = {entry["backend"] for entry in self.content["results"] if (entry["run"], entry["link"]) == (run, link)}
        return [backend for backend in backends if backend not in held]

    def add(self, run: str, link: str, backend: str, entry: dict[str, Any]) -> None:
        """Record a combination."""
        self.content["results"].append({"run": run, "link": link, "backend": backend, **entry})
        self.content["environment"] = self._measurement.environment().model_dump(mode="json")
        write_atomic(self._file, json.dumps(self.content, indent=1) + "\n")


def finished_runs(folder: Path, seed: int) -> list[str]:
    """Runs of one seed in all studies of ``folder``, each once. Raises InputError: none is finished."""
    found: dict[str, None] = {}
    for file in (folder / "study.json", folder / "claims.json"):
        if file.is_file():
            entries = json.loads(file.read_text())["runs"]
            found |= dict.fromkeys(e["run"] for e in entries if e["seed"] == seed and "error" not in e)
    if not found:
        raise InputError(f"{folder}: expected study.json with a finished run of seed {seed}; found none")
    return list(found)


def measure(
    folder: Path, run: str, costs: Costs, backends: tuple[str, ...], links: tuple[str, ...], repeat: int
) -> None:
    """Export one network if it is not, and measure what is missing."""
    path = folder / "artifacts" / run.replace("/", "-").replace("@", "-")
    if not path.exists():
        say(f"{run}: exporting")
        export_run(folder / run, path)
    artifact = load(path)
    bits = artifact.public.ring.ring_bits
    about = {**counts(artifact).model_dump(), "ring_bits": bits, "digest": artifact.public.digest}
    costs.content["networks"][run] = about
    for link in links:
        missing = costs.missing(run, link, backends)
        for backend in [b for b in missing if b in _DEALERLESS and bits > MAX_RING_BITS]:
            why = f"a ring of {bits} bits; homomorphic encryption takes at most {MAX_RING_BITS}"
            costs.add(run, link, backend, {"error": why})
            missing.remove(backend)
        for result in run_all([path], missing, (link,), repeat, 1) if missing else ():
            costs.add(run, link, result.backend, result.model_dump(exclude={"link", "backend"}))
            say(f"{run}: {link} {result.backend} {result.online_ms.median:.1f} ms")


@click.command(cls=PiCommand)
@measures
@click.argument("study", type=PATH)
@click.option("--out", type=PATH, required=True, help="JSON to write, or to go on with.")
@click.option("--seed", default=0, help="Whose networks.")
@backend_option(BACKENDS, ("fss", "gmw"))
@link_option("loopback", "lan")
@repeat_option(5)
@click.option("--only", multiple=True, help="Runs whose name contains this; repeatable.")
def main(
    measurement: Measurement,
    study: Path,
    out: Path,
    seed: int,
    backends: tuple[str, ...],
    links: tuple[str, ...],
    repeat: int,
    only: tuple[str, ...],
) -> None:
    """Measure the networks of STUDY, a folder of study_relu_budgets.py, or go on with it."""
    costs = Costs(measurement, out, {"seed": seed, "repeat": repeat})
    for run in finished_runs(study, seed):
        if not only or any(part in run for part in only):
            measure(study, run, costs, backends, links, repeat)
    click.echo(json.dumps(costs.content))


if __name__ == "__main__":
    main()
