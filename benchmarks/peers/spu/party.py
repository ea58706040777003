"""One party of SPU, driven by lines of JSON: {"run": INDEX} -> seconds, bytes, peak memory and, at the client, logits.

Started with a JSON object: ``rank``, 0 for the server, 1 for the client; ``addresses``, HOST:PORT of both; ``protocol``
CHEETAH or SEMI2K, and ``ot_kind``, empty for SPU's default; ``program``, made by program.py; ``inputs``, safetensors,
the client's with a run axis; ``share_output``: opening the output is not measured; ``log``.
 Each holds the inputs in its own file as private values; every other input of
the program is the other party's. A run starts with the inputs, so that whatever sharing them costs is measured, and
ends with the client's decoded output. The session stays open between runs: base OTs are made once.
Runs in SPU's own Python environment (setup.sh); SPU's log goes to ``log``, which also tells the bytes.
"""

import json
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
import spu
from measuring.memory import peak_memory_bytes
from spu import libspu

SERVER, CLIENT = 0, 1
OUTPUT = "output"
TIMEOUT_MS = 3_600_000
TRAFFIC = re.compile(r"total send bytes (\d+), recv bytes (\d+)")


def runtime_config(protocol: str, ot_kind: str) -> Any:
    """64-bit ring, SPU's default precision; private values stay with their owner."""
    settings: dict[str, Any] = {"protocol": protocol, "field": "FM64"}
    if ot_kind:  # the enumeration is not among SPU's Python names
        settings["cheetah_2pc_config"] = {"ot_kind": ot_kind}
    config = spu.RuntimeConfig()
    if not config.ParseFromJsonString(json.dumps(settings)):
        raise ValueError(f"expected settings that SPU knows, found {settings}")
    config.experimental_enable_colocated_optimization = True
    config.max_concurrency = len(os.sched_getaffinity(0))  # by default it counts cores it may not use
    config.enable_pphlo_profile = True  # logs the bytes of a run
    return config


class SpuParty:
    """An open session."""

    def __init__(self, task: dict[str, Any]):
        """Connect to the other party."""
        self.rank, self.log, self.shares_output = task["rank"], Path(task["log"]), task["share_output"]
        self.inputs = safetensors.numpy.load_file(task["inputs"])
        desc = libspu.link.Desc()
        desc.recv_timeout_ms = desc.http_timeout_ms = TIMEOUT_MS
        for rank, address in enumerate(task["addresses"]):
            desc.add_party(f"party{rank}", address)
        self.link = libspu.link.create_brpc(desc, self.rank)
        config = runtime_config(task["protocol"], task["ot_kind"])
        self.runtime, self.io = spu.Runtime(self.link, config), spu.Io(2, config)
        self.program = spu.Executable()
        self.program.ParseFromString(Path(task["program"]).read_bytes())
        self.shapes = json.loads(Path(task["program"]).with_suffix(".json").read_text())

    def run(self, index: int) -> dict[str, Any]:
        """One inference; bytes are those of SPU's own count, and the output's share."""
        self.link.barrier()
        log_bytes, start_s = self.log.stat().st_size, time.perf_counter()
        for name in self.program.input_names:
            self.runtime.set_var(name, self._share(name, index))
        self.runtime.run(self.program)
        computed_s = time.perf_counter()
        output, share_bytes = self._reveal()
        end_s = time.perf_counter()
        if self.shares_output:
            end_s, share_bytes = computed_s, 0
        sent, received = map(int, TRAFFIC.findall(self.log.read_bytes()[log_bytes:].decode())[-1])
        own_share = self.rank == SERVER
        return {
            "seconds": end_s - start_s,
            "traffic": [sent + share_bytes * own_share, received + share_bytes * (not own_share)],
            "output": None if output is None else output.reshape(-1).tolist(),
            "peak_memory_bytes": peak_memory_bytes(),
        }

    def _share(self, name: str, index: int) -> Any:
        """This party's part of an input: the value for its owner, its shape for the other."""
        mine = name in self.inputs
        value = self.inputs[name] if mine else np.zeros(self.shapes[name], np.float32)
        if mine and self.rank == CLIENT:
            value = value[index]
        owner = self.rank if mine else 1 - self.rank
        return self.io.make_shares(value, spu.Visibility.VIS_SECRET, owner)[self.rank]

    def _reveal(self) -> tuple[np.ndarray[Any, Any] | None, int]:
        """The output, to the client only, and the bytes of the server's share of it."""
        mine = self.runtime.get_var(OUTPUT)
        if self.rank == SERVER:
            parts = (mine.meta, *mine.share_chunks)
            for part in parts:
                self.link.send(CLIENT, part)
            return None, sum(map(len, parts))
        theirs = libspu.Share()
        theirs.meta = self.link.recv(SERVER)
        theirs.share_chunks = chunks = [self.link.recv(SERVER) for _ in mine.share_chunks]
        output = np.asarray(self.io.reconstruct([theirs, mine]))
        return output, len(theirs.meta) + sum(map(len, chunks))


def main() -> None:
    """Answer the commands on stdin until it ends; SPU's log, which it writes to stdout, goes to a file."""
    task = json.loads(sys.argv[1])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(task["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), 1)
    party = SpuParty(task)
    print(json.dumps({"ready": party.rank}), file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(party.run(json.loads(line)["run"])), file=answers, flush=True)


if __name__ == "__main__":
    main()
