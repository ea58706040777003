"""Use a clean environment in which a wheel was just installed: its size, what it lacks, one private inference.

    python scripts/smoke.py ENVIRONMENT

The extra ``server`` is installed on the way, by the very command that ``pi-server`` prints.
"""

import os
import shlex
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

MOST_MB = 250
"""Of an environment with the client alone, pip included."""
SMOKE = """
import subprocess, sys, pi_system as pi
with pi.Server("builtin:cifar10", insecure=True, store="server") as server:
    client = [sys.argv[1], "infer", "x.png", "--server", server.address, "--insecure", "--store", "client"]
    sys.exit(subprocess.run(client).returncode)
"""


def size_mb(folder: Path) -> float:
    """Of all files in it, on the disk."""
    return sum(path.lstat().st_blocks * 512 for path in folder.rglob("*")) / 1e6


def program(environment: Path, *words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a program of the environment, and nothing of the checkout."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PI_"))}
    path = f"{environment / 'bin'}:/usr/bin:/bin"
    return subprocess.run(
        [environment / "bin" / words[0], *words[1:]],
        cwd=folder,
        env=clean | {"PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


def expect(what: str, good: bool, found: object) -> None:
    """Print it; exit with 1 if it is not so."""
    print(f"{what}: {found}", flush=True)
    if not good:
        raise SystemExit(f"smoke: expected {what}")


def main(environment: Path, folder: Path) -> None:
    """See above; ``folder`` is for what is made meanwhile."""
    size = size_mb(environment)
    expect(f"at most {MOST_MB} MB", size <= MOST_MB, f"{size:.0f} MB")
    version = program(environment, "pi-client", "--version", folder=folder)
    expect("a client that starts", version.returncode == 0, version.stdout.strip())
    for name in ("pi-train", "pi-dealer", "pi-server"):
        refused = program(environment, name, "-h", folder=folder)
        line = refused.stderr.strip()
        expect("one line and exit code 10", refused.returncode == 10 and "\n" not in line, line)
    typed = shlex.split(line.partition("type: ")[2])
    added = program(environment, typed[0], *typed[1:], folder=folder)
    expect(
        "what is told to type to work", added.returncode == 0, " ".join(typed) if not added.returncode else added.stderr
    )
    Image.radial_gradient("L").save(folder / "x.png")
    client = str(environment / "bin" / "pi-client")
    done = program(environment, "python", "-c", SMOKE, client, folder=folder)
    expect("a private inference", done.returncode == 0, done.stdout + done.stderr)


if __name__ == "__main__":
    with TemporaryDirectory() as scratch:
        main(Path(sys.argv[1]).absolute(), Path(scratch))
