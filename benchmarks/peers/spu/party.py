"""One party of SPU, driven by lines of JSON: {"run": INDEX} -> seconds, bytes, peak memory and, at the client, logits.

    python party.py --rank 0 --address HOST:PORT --address HOST:PORT --protocol CHEETAH --program F --inputs F.npz

Rank 0 is the server, rank 1 the client. Each holds the inputs in its own file (.npz or .safetensors) as private
values; every other input of the program is the other party's. A run starts with the inputs, so that sharing them is
measured, and ends with the client's decoded output. The session stays open between runs: base OTs are made once.
Runs in SPU's own Python environment (setup.sh); SPU's log goes to --log, which also tells the bytes.
"""

import argparse
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
from spu import libspu

SERVER, CLIENT = 0, 1
TIMEOUT_MS = 3_600_000
TRAFFIC = re.compile(r"total send bytes (\d+), recv bytes (\d+), send actions (\d+)")


def runtime_config(protocol: str, ot_kind: str, colocated: bool = True) -> Any:
    """64-bit ring, SPU's default precision; private values stay with their owner."""
    config = spu.RuntimeConfig(spu.parse_protocol_kind(protocol), spu.FieldType.FM64)
    config.experimental_enable_colocated_optimization = colocated
    config.enable_pphlo_profile = True  # logs the bytes of a run
    if ot_kind:
        config.cheetah_2pc_config.ot_kind = spu.parse_cheetah_ot_kind(ot_kind)
    return config


def load(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    """This party's inputs; ``image`` has an axis of runs in front."""
    if path.suffix == ".safetensors":
        return dict(safetensors.numpy.load_file(path))
    with np.load(path, allow_pickle=False) as found:
        return dict(found)


def peak_memory_bytes() -> int:
    """Peak resident set of this process."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) * 1024 if found else 0


class Party:
    """An open session."""

    def __init__(self, options: argparse.Namespace):
        """Connect to the other party."""
        self.rank, self.log = options.rank, options.log
        self.inputs = load(options.inputs)
        desc = libspu.link.Desc()
        desc.recv_timeout_ms = desc.http_timeout_ms = TIMEOUT_MS
        for rank, address in enumerate(options.address):
            desc.add_party(f"party{rank}", address)
        self.link = libspu.link.create_brpc(desc, self.rank)
        config = runtime_config(options.protocol, options.ot_kind)
        self.runtime, self.io = spu.Runtime(self.link, config), spu.Io(2, config)
        self.program = spu.Executable()
        self.program.ParseFromString(options.program.read_bytes())

    def run(self, index: int) -> dict[str, Any]:
        """One inference."""
        self.link.barrier()
        log_bytes, start_s = self.log.stat().st_size, time.perf_counter()
        for name in self.program.input_names:
            self.runtime.set_var(name, self._share(name, index))
        self.runtime.run(self.program)
        output = self._reveal()
        seconds = time.perf_counter() - start_s
        traffic = TRAFFIC.findall(self.log.read_text()[log_bytes:])
        return {
            "seconds": seconds,
            "traffic": [int(number) for number in traffic[-1]] if traffic else None,
            "output": None if output is None else output.reshape(-1).tolist(),
            "peak_memory_bytes": peak_memory_bytes(),
        }

    def _share(self, name: str, index: int) -> Any:
        mine = name in self.inputs
        owner = self.rank if mine else 1 - self.rank
        value = self.inputs[name] if mine else np.zeros(self._shape(name), np.float32)
        if name == "image" and mine:
            value = value[index]
        return self.io.make_shares(value, spu.Visibility.VIS_SECRET, owner)[self.rank]

    def _reveal(self) -> np.ndarray[Any, Any] | None:
        share = self.runtime.get_var("out")
        if self.rank == SERVER:
            self.link.send(CLIENT, share.SerializeToString())
            return None
        return self.io.reconstruct([share, share])
