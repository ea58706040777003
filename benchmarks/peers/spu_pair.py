"""SPU's two processes: its compiled program, the parties' command lines, its environment's versions."""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

from systems import Place, free_port

from pi_system.errors import ConfigError

__all__ = ["compile_program", "spu_commands", "spu_versions"]

HERE = Path(__file__).resolve().parent / "spu"


def spu_commands(
    python: str, protocol: str, place: Place, inputs: tuple[Path, Path], folder: Path, *more: str
) -> list[list[str]]:
    """Command lines of SPU's server and client; the program is in ``folder``.

    Args:
        python: interpreter of SPU's environment.
        protocol: CHEETAH or SEMI2K, with ``:OT_KIND`` behind it if wanted.
        place: where the parties run.
        inputs: of server and client, safetensors.
        folder: private.
        more: further arguments of both.
    """
    kind, _, ot_kind = protocol.partition(":")
    addresses = [f"{host}:{free_port()}" for host in place.hosts]
    shared = ["--address", addresses[0], "--address", addresses[1], "--protocol", kind, "--ot-kind", ot_kind]
    commands = []
    for rank, path in enumerate(inputs):
        own = ["--rank", str(rank), "--inputs", str(path), "--log", str(folder / f"{protocol}-{rank}.log")]
        program = ["--program", str(folder / "program.bin")]
        commands.append([python, "-u", str(HERE / "party.py"), *own, *shared, *program, *more])
    return commands


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
