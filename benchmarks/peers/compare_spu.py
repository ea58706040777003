"""Our two-party backends beside SecretFlow SPU: one network, one machine, one run; offline and online together.

    benchmarks/peers/spu/setup.sh SPU_VENV
    python benchmarks/peers/compare_spu.py --spu-python SPU_VENV/bin/python --network resnet18:m=16 --repeat 3

The network is exported once and both sides read that artifact. Image private to the client, weights to the server, the
client learns the logits; batch 1. SPU runs on a 64-bit ring with its own settings; SEMI2K's material comes from its
first party, which knows it (not the same trust). Each party is pinned to a core of its own; systems take turns within
each repetition. The first run of each makes what is made once a session and is reported apart. SPU's link cannot be
shaped by us: beside it ours is measured over loopback, and over other links alone, unless both run over an emulated
link (--link-name, --server-prefix, --client-prefix, --server-host, --client-host as in benchmarks/channel.py).
The last line of stdout is one JSON object with every sample; ``times_faster`` is theirs / ours of medians.
"""

import json
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import click
import numpy as np
import safetensors.numpy
from measuring import documents
from measuring.line_process import ROLES
from measuring.machine import Measurement, measures
from measuring.networks import SEED, cached_artifact
from measuring.processes import Site, emulated, free_port, party_cores
from numpy.typing import NDArray
from peers.relu_party import expected
from peers.rows import FIRST, Row, network_rows, ratios, show_rows, take_turns
from peers.systems import System, compile_program, line_pair, open_spu, spu_versions

from pi_system.artifact.model import Artifact
from pi_system.artifact.store import load
from pi_system.channel.link import parse_link
from pi_system.cli.errors import PiCommand
from pi_system.protocols.gate import GateSpec
from pi_system.rpc.keys import write_keys
from pi_system.secure.schedule import Gate, plan

PROTOCOLS = ("CHEETAH", "SEMI2K")
BACKENDS = ("gmw", "gc")
Options = dict[str, Any]


def compare_relu(options: Options, site: Site, spec: GateSpec) -> list[Row]:
    """Rows of ReLU alone over one link; ours with the truncation that belongs to it, theirs without one."""
    runs = FIRST + options["repeat"]
    mine, theirs = np.random.default_rng(SEED).normal(0, 2, (2, runs, spec.count)).astype(np.float32)
    with tempfile.TemporaryDirectory(prefix="pi-spu-") as name, ExitStack() as stack:
        folder = Path(name)
        systems: list[System] = [
            stack.enter_context(line_pair(backend, relu_commands(backend, spec, site), site, folder))
            for backend in documents.unique(options["backends"], BACKENDS)
        ]
        if options["protocols"] and not site.imitated:
            compile_program(options["spu_python"], ["--relu", str(spec.count)], folder)
            inputs = (folder / "server.safetensors", folder / "client.safetensors")
            safetensors.numpy.save_file({"other": theirs[0]}, inputs[0])
            safetensors.numpy.save_file({"image": mine}, inputs[1])
            for protocol in documents.unique(options["protocols"]):
                systems.append(open_spu(stack, options["spu_python"], protocol, site, inputs, folder, True))

        def error(system: str, index: int, output: NDArray[np.float64]) -> float:
            plain = np.maximum(mine[index] + theirs[0], 0) if system.startswith("spu:") else expected(spec, index)
            return float(np.abs(output - plain).max())

        return take_turns(runs, site, f"relu:{spec.count}", systems, error)


def relu_commands(backend: str, spec: GateSpec, site: Site) -> list[list[str]]:
    """Command lines of our ReLU's server and client."""
    shared: Options = {"address": f"{site.hosts[0]}:{free_port()}", "backend": backend, "spec": asdict(spec)}
    shared |= {"link": site.link, "keys": site.keys and str(site.keys)}
    script = [sys.executable, "-u", "-m", "peers.relu_party"]
    return [[*script, json.dumps({"role": role, **shared})] for role in ROLES]


def hardest_relu(artifact: Artifact, count: int) -> GateSpec:
    """A gate of ``count`` elements as wide as the network's widest ReLU."""
    names = {node.name for node in artifact.public.graph.relus()}
    steps = plan(artifact.public.graph, artifact.public.ring, artifact.masks, "logits").steps
    relus = [step.spec for step in steps if isinstance(step, Gate) and step.name in names]
    return replace(max(relus, key=lambda spec: spec.comparison_bits), count=count)


def compare(run: Measurement, options: Options, sites: tuple[Site, ...]) -> Options:
    """Measure everything and return the JSON object."""
    versions = spu_versions(options["spu_python"]) if options["protocols"] else {}
    paths = [cached_artifact(name, options["cache"]) for name in documents.unique(options["networks"])]
    gates = [hardest_relu(load(paths[0]), int(count)) for count in documents.unique(options["relus"])]
    rows: list[Row] = []
    for site in sites:
        for gate in gates:
            rows += compare_relu(options, site, gate)
        for path in [] if options["relu_only"] else paths:
            theirs = (None if site.imitated else options["spu_python"], documents.unique(options["protocols"]))
            backends = documents.unique(options["backends"], BACKENDS)
            rows += network_rows(path, site, options["repeat"], backends, theirs)[1]
    show_rows(rows)
    cores = {} if options["unpinned"] else party_cores()
    return run.report(
        "peers_spu",
        relu_gates=[asdict(gate) for gate in gates],
        tls={site.name: site.keys is not None for site in sites},
        repeat=options["repeat"],
        first_runs_apart=FIRST,
        rows=rows,
        ratios=ratios(rows),
        spu=versions,
        parties={"pinned_cores": cores, "threads": 1 if cores else len(party_cores())},
    )


def sites_of(options: Options, keys: Path) -> tuple[Site, ...]:
    """The links to measure; ``keys``: an empty folder. Raises ConfigError for half an emulated link."""
    name, pinned = options["link_name"], not options["unpinned"]
    if options["tls"] or name:  # the runtime leaves a machine only with TLS
        write_keys(keys)
    if not name:
        for link in options["links"]:
            parse_link(link)
        own, links = keys if options["tls"] else None, documents.unique(options["links"])
        return tuple(Site(name=link, link=link, keys=own, pinned=pinned) for link in links)
    return (replace(emulated(name, keys, options), pinned=pinned),)


@click.command(cls=PiCommand)
@measures
@click.option("--spu-python", required=True, help="Interpreter of the environment that spu/setup.sh made.")
@click.option("--network", "networks", multiple=True, default=("resnet18:m=16",), help="Random weights. Repeatable.")
@click.option("--relu", "relus", multiple=True, type=click.IntRange(1), help="ReLU alone on N elements. Repeatable.")
@click.option("--relu-only", is_flag=True, help="No network; --network still says how wide a ReLU is.")
@click.option(
    "--protocol", "protocols", multiple=True, default=("CHEETAH",), help="CHEETAH, CHEETAH:EMP_Ferret, SEMI2K."
)
@documents.backend_option(BACKENDS)
@documents.link_option("loopback")
@click.option("--link-name", default="", help="Name of an emulated link; both run over it, unshaped.")
@documents.emulated_options
@click.option("--tls", is_flag=True, help="Our links use mutual TLS 1.3, too; SPU's never do. Always, if emulated.")
@click.option("--unpinned", is_flag=True, help="Every party may use every core.")
@documents.repeat_option(3)
@documents.publishes
@documents.cache_option
def main(run: Measurement, publish: documents.Publish, **options: Any) -> None:
    """Compare with SPU."""
    for protocol in options["protocols"]:
        if protocol.partition(":")[0] not in PROTOCOLS:
            raise click.UsageError(f"--protocol: expected one of {', '.join(PROTOCOLS)}, found {protocol}")
    with tempfile.TemporaryDirectory(prefix="pi-keys-") as keys:
        report = compare(run, options, sites_of(options, Path(keys)))
    publish(report, "peers_spu/{date}_{cores}-cores_{sha}")


if __name__ == "__main__":
    main()
