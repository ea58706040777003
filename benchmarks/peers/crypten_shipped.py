"""CrypTen as its authors ship it: both parties in one program that CrypTen launches, driven by lines of JSON.

    python -m peers.crypten_shipped --artifact FOLDER --pictures FILE --server-core 0 --client-core 1

    {"run": INDEX} -> {"seconds":, "total_bytes":, "rounds":, "output":, "peak_memory_bytes": {"server":, "client":}}

What is CrypTen's: the launch (``crypten.mpc.run_multiprocess``), the communicator (torch.distributed with gloo, on the
loopback interface), the provider (TrustedFirstParty: the server draws every triple and could read the picture), its
generators, its encoder, every protocol. The network is walked with CrypTen's tensors by the walk of backend
``crypten``, since CrypTen's ONNX converter does not work with the installed torch. Weights are shared once, before
the first run; a run shares the picture, computes, and opens the logits to the client. Bytes are CrypTen's own count:
the mean of what both parties log, since each logs what it sends and what it receives.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from measuring.memory import peak_memory_bytes

from pi_system.artifact.graph import Linear
from pi_system.artifact.model import Artifact
from pi_system.artifact.shapes import weight_shapes
from pi_system.artifact.store import load
from pi_system.backends.crypten.interpreter import CryptenInterpreter, active_indices
from pi_system.backends.crypten.library import crypten

SERVER, CLIENT = 0, 1
STOP = -1


def share_weights(artifact: Artifact, rank: int) -> dict[str, Any]:
    """MPCTensors of the server's weights, as CrypTen's encoder takes them; the client gives shapes only."""
    linear = {node.name for node in artifact.public.graph if isinstance(node, Linear)}
    shared = {}
    for name, shape in weight_shapes(artifact.public.graph).items():
        node, part = name.rsplit(".", 1)
        own = rank == SERVER
        value = torch.from_numpy(np.array(artifact.weights[name], np.float32)) if own else torch.zeros(shape)
        if node in linear:
            value = value.t().contiguous()
        elif part == "bias":
            value = value.reshape(-1, 1, 1)
        shared[name] = crypten.cryptensor(value, src=SERVER)
    return shared


def party(folder: Path, pictures: Path, cores: tuple[int, int], commands: int, answers: int) -> None:
    """One party, in the process that CrypTen launched; the client reads commands and answers them."""
    torch.set_num_threads(1)
    comm = crypten.communicator.get()
    rank = comm.get_rank()
    if cores[rank] >= 0:
        os.sched_setaffinity(0, {cores[rank]})
    crypten.cfg.communicator.verbose = True  # counts bytes and rounds
    artifact, images = load(folder), np.load(pictures, allow_pickle=False)
    with crypten.no_grad(), os.fdopen(commands) as lines, os.fdopen(answers, "w") as out:
        walk = CryptenInterpreter(share_weights(artifact, rank), active_indices(artifact.public.graph, artifact.masks))
        if rank == CLIENT:
            print(json.dumps({"ready": rank}), file=out, flush=True)
        while (index := _next(comm, rank, lines)) != STOP:
            found = _infer(comm, rank, artifact, walk, images[index : index + 1])
            if rank == CLIENT:
                print(json.dumps(found), file=out, flush=True)


def _next(comm: Any, rank: int, lines: Any) -> int:
    """The client's next command, told to the server outside of all measured time."""
    index = torch.tensor([STOP])
    if rank == CLIENT:
        line = lines.readline()
        index[0] = json.loads(line)["run"] if line else STOP
    return int(comm.broadcast(index, CLIENT).item())


def _infer(comm: Any, rank: int, artifact: Artifact, walk: CryptenInterpreter, image: Any) -> dict[str, Any]:
    graph = artifact.public.graph
    picture = torch.from_numpy(image) if rank == CLIENT else torch.zeros((1, *graph.input.shape))
    comm.barrier()
    comm.reset_communication_stats()
    start_s = time.perf_counter()
    logits = walk.run(graph, crypten.cryptensor(picture, src=CLIENT)).get_plain_text(dst=CLIENT)
    seconds = time.perf_counter() - start_s
    stats = comm.get_communication_stats()
    both = comm.all_gather(torch.tensor([int(stats["bytes"]), peak_memory_bytes()]))
    return {
        "seconds": seconds,
        "total_bytes": int(sum(int(part[0]) for part in both)) // 2,
        "rounds": int(stats["rounds"]),
        "output": logits.reshape(-1).tolist() if rank == CLIENT else None,
        "peak_memory_bytes": {"server": int(both[SERVER][1]), "client": int(both[CLIENT][1])},
    }


@click.command()
@click.option("--artifact", type=click.Path(path_type=Path), required=True, help="Folder of the model.")
@click.option("--pictures", type=click.Path(path_type=Path), required=True, help=".npy of float32 (N, C, H, W).")
@click.option("--server-core", default=-1, help="Core of the server; -1: any.")
@click.option("--client-core", default=-1, help="Core of the client; -1: any.")
def main(artifact: Path, pictures: Path, server_core: int, client_core: int) -> None:
    """Launch both parties and serve commands until stdin ends."""
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    # CrypTen's launcher forks; multiprocessing gives its children another stdin, so they get a copy of this one.
    commands, answers = os.dup(0), os.dup(1)
    os.dup2(2, 1)
    launched = crypten.mpc.run_multiprocess(world_size=2)(party)
    if launched(artifact, pictures, (server_core, client_core), commands, answers) is None:
        sys.exit("expected both parties to end well, found that one failed")


if __name__ == "__main__":
    main()
