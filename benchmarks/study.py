"""The study that decides: runs what benchmarks/study/plan.toml says, and makes documents of what is finished.

    python benchmarks/study.py status --out DIR
    python benchmarks/study.py run --data cifar100:PATH --out DIR [--hours 2]
    python benchmarks/study.py report --out DIR
    python benchmarks/study.py costs --out DIR --into COSTS.json [--seed 0]

``run`` may be stopped or killed at any time and goes on when it is given again. It works at low priority, and pauses
while a benchmark of this checkout measures. It refuses a plan or code that is not committed; ``--exploratory`` runs it
nevertheless, in DIR/exploratory, and never counts. ``report`` writes benchmarks/results/plan/study.json and
docs/reference/claims.md. ``costs`` measures what the networks of one seed cost online (measuring/study_costs.py), and
goes on where it was. README.md of benchmarks/study says how to reproduce one row.
"""

import json
from pathlib import Path
from typing import Any

import click
import torch
from measuring import RESULTS
from measuring.documents import PATH, backend_option, link_option, repeat_option, say
from measuring.machine import Measurement, measures
from measuring.processes import orderly_stop
from measuring.study_claims import write_claims
from measuring.study_costs import measure_costs, networks_of
from measuring.study_plan import PLAN, load_plan
from measuring.study_record import Stamp, committed
from measuring.study_report import collect
from measuring.study_runner import data_path, hours_from_now, progress, run_plan

from pi_system.backends.registry import BACKENDS
from pi_system.cli.errors import PiGroup
from pi_system.train.files import write_atomic

_plan_option = click.option("--plan", "path", type=PATH, default=PLAN, help="Another plan.")
_out_option = click.option("--out", type=PATH, required=True, help="Folder of all runs.")


@click.group(cls=PiGroup, context_settings={"show_default": True})
def main() -> None:
    """Run a plan, in as many sittings as it takes."""


@main.command()
@_plan_option
@_out_option
def status(path: Path, out: Path) -> None:
    """Show what is done, what is next, and how many core-hours are left."""
    plan = load_plan(path)
    state = progress(plan, out, cuda=torch.cuda.is_available())
    say(f"done {len(state.done)} runs, {state.core_hours:.1f} core-hours")
    say(f"left {len(state.left)} runs, about {sum(state.left_core_hours.values()):.1f} core-hours")
    for block in plan.blocks:
        waiting = [run for run in (*state.left, *state.skipped) if run.block == block.name]
        needs = f" (needs {block.needs})" if block.needs else ""
        about = (
            f"about {state.left_core_hours[block.name]:.1f} core-hours" if block.name in state.left_core_hours else ""
        )
        say(f"block {block.name}{needs}: {len(waiting)} left {about}; {block.text}")
    for run in state.left[:5]:
        say(f"next {run.key}")
    counts = {"done": len(state.done), "left": len(state.left), "skipped": len(state.skipped)}
    left = {name: round(hours, 2) for name, hours in state.left_core_hours.items()}
    hours = {"core_hours": round(state.core_hours, 2), "left_core_hours": left}
    click.echo(json.dumps(counts | hours | {"next": [run.key for run in state.left[:5]]}))


@main.command()
@_plan_option
@_out_option
@click.option(
    "--data", required=True, help="As in the plan: digits, cifar10:PATH, cifar100:PATH, tinyimagenet:PATH, folder:PATH."
)
@click.option("--hours", type=float, help="Begin nothing more after so many.")
@click.option("--threads", default=2, help="Of the process at work.")
@click.option("--exploratory", is_flag=True, help="A plan that is not committed; it never counts.")
def run(path: Path, out: Path, data: str, hours: float | None, threads: int, exploratory: bool) -> None:
    """Go on with the plan."""
    plan = load_plan(path)
    place = out.resolve() / "exploratory" if exploratory else out.resolve()

    def stamp() -> Stamp:
        return Stamp(plan.digest, "exploratory") if exploratory else committed(path, plan)

    stamp()
    with orderly_stop():
        until, cuda = hours_from_now(hours), torch.cuda.is_available()
        run_plan(plan, place, data_path(data, plan), stamp, threads=threads, until=until, report=say, cuda=cuda)


@main.command()
@_plan_option
@_out_option
@click.option("--into", type=PATH, default=RESULTS / "plan" / "study.json", help="The JSON.")
def report(path: Path, out: Path, into: Path) -> None:
    """Write the JSON of what is finished and, for the plan that claims are of, docs/reference/claims.md."""
    plan = load_plan(path)
    found = collect(plan, path, out)
    for key, reason in found["not_counted"].items():
        say(f"not counted: {key}: {reason}")
    write_atomic(into, json.dumps(found, indent=1) + "\n")
    say(f"wrote {into}")
    if path == PLAN:
        write_claims(plan=plan, runs=into)


@main.command()
@measures
@_out_option
@click.option("--into", type=PATH, required=True, help="JSON to write, or to go on with.")
@click.option("--seed", default=0, help="Whose networks.")
@backend_option(BACKENDS, ("fss", "gmw"))
@link_option("loopback", "lan")
@repeat_option(5)
@click.option("--only", multiple=True, help="Runs whose name contains this; repeatable.")
def costs(measurement: Measurement, out: Path, into: Path, seed: int, only: tuple[str, ...], **how: Any) -> None:
    """Measure the networks of a study, or go on with it; the last line of stdout is the JSON."""
    wanted = [name for name in networks_of(out, seed) if not only or any(part in name for part in only)]
    click.echo(json.dumps(measure_costs(measurement, out, into, wanted, seed=seed, **how)))


if __name__ == "__main__":
    main()
