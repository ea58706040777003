"""Our two-party backends beside SecretFlow SPU: one network, one machine, one run; offline and online together.

    benchmarks/peers/spu/setup.sh SPU_VENV
    python benchmarks/peers/compare_spu.py --spu-python SPU_VENV/bin/python --network resnet18:m=16 --repeat 3

The network is exported once and both sides read that artifact. Image private to the client, weights to the server, the
client learns the logits; batch 1. SPU runs on a 64-bit ring with its own settings; SEMI2K's material comes from its
first party, which knows it (not the same trust). Each party is pinned to a core of its own; systems take turns within
each repetition. The first run of each makes what is made once a session and is reported apart. SPU's link cannot be
shaped by us: beside it ours is measured over loopback, and over other links alone, unless both run over an emulated
link (--link-name, --server-prefix, --client-prefix, --server-host, --client-host as in benchmarks/link_check.py).
The last line of stdout is one JSON object with every sample; ``times_faster`` is theirs / ours of medians.
"""

import json
import shlex
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import click
import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from platformdirs import user_cache_path
from relu_party import expected
from rows import FIRST, Row, ratios, show, take_turns
from spu_pair import compile_program, spu_commands, spu_versions
from systems import Place, System, free_port, line_pair, our_pair

from pi_system.artifact.model import Artifact
from pi_system.artifact.store import load
from pi_system.channel.shaped import parse_link
from pi_system.cli.errors import PiCommand
from pi_system.export.random import random_pictures
from pi_system.measure import environment, party_cores
from pi_system.measure.environment import load_average
from pi_system.measure.random_artifacts import SEED, cached_artifact
from pi_system.measure.reference import Reference
from pi_system.measure.runs import orderly_stop
from pi_system.protocols.gate import GateSpec
from pi_system.rpc.keys import write_keys
from pi_system.secure.schedule import Gate, plan

HERE = Path(__file__).resolve().parent
RESULTS = HERE.parent / "results" / "peers_spu"
PROTOCOLS = ("CHEETAH", "SEMI2K")
BACKENDS = ("gmw", "gc")


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What to compare.

    Attributes:
        spu_python: interpreter of SPU's environment.
        protocols: of SPU, CHEETAH or SEMI2K, with ``:OT_KIND`` behind it if wanted.
        backends: ours.
        networks: random weights.
        relus: counts of ReLU alone, as wide as the first network's widest.
        relu_only: leave the networks out.
        places: links.
        repeat: runs counted.
    """

    spu_python: str
    protocols: tuple[str, ...]
    backends: tuple[str, ...]
    networks: tuple[str, ...]
    relus: tuple[int, ...]
    relu_only: bool
    places: tuple[Place, ...]
    repeat: int

    @property
    def runs(self) -> int:
        """All runs of one system on one link."""
        return FIRST + self.repeat


# ---- what is compared


def compare_network(choice: Choice, place: Place, artifact: Artifact, path: Path) -> list[Row]:
    """Rows of one network over one link."""
    preprocess = artifact.public.preprocess
    pictures = random_pictures((preprocess.channels, preprocess.height, preprocess.width), choice.runs, SEED)
    reference = Reference(artifact, pictures)
    with tempfile.TemporaryDirectory(prefix="pi-spu-") as name, ExitStack() as stack:
        folder = Path(name)
        np.save(folder / "pictures.npy", pictures)
        safetensors.numpy.save_file({"image": pictures[:, None]}, folder / "client.safetensors")
        systems: list[System] = [
            stack.enter_context(our_pair(backend, path, artifact.public.digest, folder / "pictures.npy", place, folder))
            for backend in choice.backends
        ]
        if choice.protocols and not place.imitated:
            compile_program(choice.spu_python, [str(path)], folder)
            inputs = (path / "weights.safetensors", folder / "client.safetensors")
            for protocol in choice.protocols:
                commands = spu_commands(choice.spu_python, protocol, place, inputs, folder)
                systems.append(stack.enter_context(line_pair(f"spu:{protocol}", commands, place, folder)))

        def error(system: str, index: int, logits: NDArray[np.float64]) -> float:
            return reference.error(index, logits.reshape(1, -1)).absolute

        return take_turns(choice.runs, place, artifact.public.name, systems, error)


def compare_relu(choice: Choice, place: Place, spec: GateSpec) -> list[Row]:
    """Rows of ReLU alone over one link; ours with the truncation that belongs to it, theirs without one."""
    mine, theirs = np.random.default_rng(SEED).normal(0, 2, (2, choice.runs, spec.count)).astype(np.float32)
    with tempfile.TemporaryDirectory(prefix="pi-spu-") as name, ExitStack() as stack:
        folder = Path(name)
        systems: list[System] = [
            stack.enter_context(line_pair(backend, relu_commands(backend, spec, place), place, folder))
            for backend in choice.backends
        ]
        if choice.protocols and not place.imitated:
            compile_program(choice.spu_python, ["--relu", str(spec.count)], folder)
            inputs = (folder / "server.safetensors", folder / "client.safetensors")
            safetensors.numpy.save_file({"other": theirs[0]}, inputs[0])
            safetensors.numpy.save_file({"image": mine}, inputs[1])
            for protocol in choice.protocols:
                commands = spu_commands(choice.spu_python, protocol, place, inputs, folder, "--share-output")
                systems.append(stack.enter_context(line_pair(f"spu:{protocol}", commands, place, folder)))

        def error(system: str, index: int, output: NDArray[np.float64]) -> float:
            if system.startswith("spu:"):
                return float(np.abs(output - np.maximum(mine[index] + theirs[0], 0)).max())
            return float(np.abs(output - expected(spec, index)).max())

        return take_turns(choice.runs, place, f"relu:{spec.count}", systems, error)


def relu_commands(backend: str, spec: GateSpec, place: Place) -> list[list[str]]:
    """Command lines of our ReLU's server and client."""
    address = f"{place.hosts[0]}:{free_port()}"
    gate = f"{spec.count},{spec.ring_bits},{spec.comparison_bits},{spec.shift}"
    options = ["--address", address, "--backend", backend, "--spec", gate, "--link", place.link]
    options += ["--keys", str(place.keys)] if place.keys else []
    script = [sys.executable, "-u", str(HERE / "relu_party.py")]
    return [[*script, "--role", role, *options] for role in ("server", "client")]


def hardest_relu(artifact: Artifact, count: int) -> GateSpec:
    """A gate of ``count`` elements as wide as the network's widest ReLU."""
    names = {node.name for node in artifact.public.graph.relus()}
    steps = plan(artifact.public.graph, artifact.public.ring, artifact.masks, "logits").steps
    relus = [step.spec for step in steps if isinstance(step, Gate) and step.name in names]
    return replace(max(relus, key=lambda spec: spec.comparison_bits), count=count)


# ---- report


def compare(choice: Choice, cache: Path) -> dict[str, Any]:
    """Measure everything and return the JSON object."""
    before, versions = load_average(), spu_versions(choice.spu_python) if choice.protocols else {}
    paths = [cached_artifact(name, cache) for name in choice.networks]
    artifacts = [load(path) for path in paths]
    gates = [hardest_relu(artifacts[0], count) for count in choice.relus]
    rows: list[Row] = []
    for place in choice.places:
        for gate in gates:
            rows += compare_relu(choice, place, gate)
        for path, artifact in zip(paths, artifacts, strict=True):
            rows += [] if choice.relu_only else compare_network(choice, place, artifact, path)
    show(rows, ratios(rows))
    pinned = all(place.pinned for place in choice.places)
    about = environment(
        pinned_cores=party_cores() if pinned else {}, threads=1 if pinned else len(party_cores()), load_before=before
    )
    return {
        "schema": 1,
        "question": "peers_spu",
        "relu_gates": [asdict(gate) for gate in gates],
        "tls": {place.name: place.keys is not None for place in choice.places},
        "repeat": choice.repeat,
        "first_runs_apart": FIRST,
        "rows": rows,
        "ratios": ratios(rows),
        "spu": versions,
        "environment": about.model_dump(),
    }


def places(options: dict[str, Any], keys: Path) -> tuple[Place, ...]:
    """The links to measure; ``keys``: an empty folder. Raises UsageError for half an emulated link."""
    emulated, pinned = options["link_name"], not options["unpinned"]
    if options["tls"] or emulated:  # the runtime leaves a machine only with TLS
        write_keys(keys)
    if not emulated:
        for link in options["links"]:
            parse_link(link)
        own = keys if options["tls"] else None
        return tuple(Place(name=link, link=link, keys=own, pinned=pinned) for link in dict.fromkeys(options["links"]))
    if not options["server_prefix"] or not options["client_prefix"]:
        raise click.UsageError("expected --server-prefix and --client-prefix: the two ends of the emulated link")
    prefixes = (tuple(shlex.split(options["server_prefix"])), tuple(shlex.split(options["client_prefix"])))
    hosts = (options["server_host"], options["client_host"])
    return (Place(name=emulated, link="loopback", hosts=hosts, prefixes=prefixes, keys=keys, pinned=pinned),)


def _choice(options: dict[str, Any], keys: Path) -> Choice:
    return Choice(
        spu_python=options["spu_python"],
        protocols=tuple(dict.fromkeys(options["protocols"])),
        backends=tuple(dict.fromkeys(options["backends"] or BACKENDS)),
        networks=tuple(dict.fromkeys(options["networks"])),
        relus=tuple(dict.fromkeys(options["relus"])),
        relu_only=options["relu_only"],
        places=places(options, keys),
        repeat=options["repeat"],
    )


@click.command(cls=PiCommand)
@click.option("--spu-python", required=True, help="Interpreter of the environment that spu/setup.sh made.")
@click.option("--network", "networks", multiple=True, default=("resnet18:m=16",), help="Random weights. Repeatable.")
@click.option("--relu", "relus", multiple=True, type=click.IntRange(1), help="ReLU alone on N elements. Repeatable.")
@click.option("--relu-only", is_flag=True, help="No network; --network still says how wide a ReLU is.")
@click.option(
    "--protocol", "protocols", multiple=True, default=("CHEETAH",), help="CHEETAH, CHEETAH:EMP_Ferret, SEMI2K."
)
@click.option("--backend", "backends", multiple=True, type=click.Choice(BACKENDS), help="Ours; none: both.")
@click.option("--link", "links", multiple=True, default=("loopback",), help="loopback, lan, wan or MBIT_S,RTT_MS.")
@click.option("--link-name", default="", help="Name of an emulated link; both run over it, unshaped.")
@click.option("--server-host", default="127.0.0.1", help="The server's address on the emulated link.")
@click.option("--client-host", default="127.0.0.1", help="The client's.")
@click.option("--server-prefix", default="", help="Command in front of the server's.")
@click.option("--client-prefix", default="", help="Command in front of the client's.")
@click.option("--tls", is_flag=True, help="Our links use mutual TLS 1.3, too; SPU's never do. Always, if emulated.")
@click.option("--unpinned", is_flag=True, help="Every party may use every core.")
@click.option("--repeat", default=3, show_default=True, type=click.IntRange(1, 1000), help="Runs counted.")
@click.option("--json-out", type=click.Path(path_type=Path), help="Write the JSON object to this file, too.")
@click.option("--keep", is_flag=True, help="Write it to benchmarks/results/peers_spu, too.")
@click.option("--cache", type=click.Path(path_type=Path), help="Folder of random-weight artifacts.")
def main(**options: Any) -> None:
    """Compare with SPU."""
    for protocol in options["protocols"]:
        if protocol.partition(":")[0] not in PROTOCOLS:
            raise click.UsageError(f"--protocol: expected one of {', '.join(PROTOCOLS)}, found {protocol}")
    cache = options["cache"] or user_cache_path("pi-system") / "artifacts"
    with orderly_stop(), tempfile.TemporaryDirectory(prefix="pi-keys-") as keys:
        report = compare(_choice(options, Path(keys)), cache)
    about = report["environment"]
    stem = f"{about['date'][:10]}_{about['cores']}-cores_{about['git_sha']}"
    kept = RESULTS / f"{stem}.json" if options["keep"] else None
    for path in filter(None, (options["json_out"], kept)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report))


if __name__ == "__main__":
    main()
