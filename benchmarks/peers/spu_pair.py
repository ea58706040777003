"""SPU's two processes: its compiled program, the parties' command lines, its environment's versions."""

import json
import subprocess
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import safetensors.numpy
from measuring.processes import Place, free_port
from measuring.sessions import Network
from peers.systems import Lines, line_pair

from pi_system.errors import ConfigError

HERE = Path(__file__).resolve().parent / "spu"


def spu_pairs(stack: ExitStack, python: str, protocols: Iterable[str], network: Network, place: Place) -> list[Lines]:
    """SPU with each protocol on a network, until the end of ``stack``."""
    folder = network.file.parent
    inputs = (network.path / "weights.safetensors", folder / "client.safetensors")
    safetensors.numpy.save_file({"image": network.pictures[:, None]}, inputs[1])
    compile_program(python, [str(network.path)], folder)
    return [open_spu(stack, python, protocol, place, inputs, folder) for protocol in protocols]


def open_spu(
    stack: ExitStack,
    python: str,
    protocol: str,
    place: Place,
    inputs: tuple[Path, Path],
    folder: Path,
    share_output: bool = False,
) -> Lines:
    """SPU's server and client on the program in ``folder``, until the end of ``stack``; see spu/party.py."""
    kind, _, ot_kind = protocol.partition(":")
    task: dict[str, Any] = {"protocol": kind, "ot_kind": ot_kind, "share_output": share_output}
    task |= {"program": f"{folder}/program.bin", "addresses": [f"{host}:{free_port()}" for host in place.hosts]}
    commands = []
    for rank, path in enumerate(inputs):
        own = {**task, "rank": rank, "inputs": str(path), "log": f"{folder}/{protocol}-{rank}.log"}
        commands.append([python, "-u", str(HERE / "party.py"), json.dumps(own)])
    return stack.enter_context(line_pair(f"spu:{protocol}", commands, place, folder))


def compile_program(python: str, arguments: Sequence[str], folder: Path) -> None:
    """Make SPU's executable, outside all measured time. Raises ConfigError with the end of its output."""
    script = [python, str(HERE / "program.py"), *arguments, str(folder / "program.bin")]
    done = subprocess.run(script, capture_output=True, text=True)
    if done.returncode:
        raise ConfigError(f"SPU program: expected it to compile, found {done.stderr.strip()[-400:]}")


def spu_versions(python: str) -> dict[str, str]:
    """Versions in SPU's environment. Raises ConfigError if it is none."""
    script = "import json, sys, jax, numpy, spu; print(json.dumps({'python': sys.version.split()[0], "
    script += "'spu': spu.__version__, 'jax': jax.__version__, 'numpy': numpy.__version__}))"
    try:
        done = subprocess.run([python, "-c", script], capture_output=True, text=True)
    except OSError as error:
        raise ConfigError(f"--spu-python: expected a program, found {python}: {error.strerror}") from None
    if done.returncode:
        raise ConfigError(f"--spu-python: expected an environment made by setup.sh, found {done.stderr[-300:]}")
    versions: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return versions
