"""The whole way once: train on the bundled digits, drop half of the ReLUs, export, classify one picture privately.

    python scripts/demo.py [--out demo-out]        everything; a finished step is not repeated
    python scripts/demo.py --backend fss           with a dealer as third process
    python scripts/demo.py --train-only DIR        only the artifact and a picture, for the Docker image

Every step is a command that a user could type; it is printed before it runs. The server reveals logits, because the
demo ends by comparing them with the plaintext's; a server's default is the label alone.
"""

import argparse
import json
import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from pi_system.artifact.store import load
from pi_system.backends.registry import BACKENDS, find_backend
from pi_system.inputs.picture import load_pictures
from pi_system.program.float_point import float_logits

BIN = Path(sys.executable).parent
PICTURE_INDEX = 3
LOGIT_TOLERANCE = 0.05


def run(program: str, *arguments: str, quiet: bool = False) -> str:
    """Run one of the project's programs to its end and return what it printed."""
    if not quiet:
        print("$", program, *arguments, flush=True)
    # One thread: the network is so small that threads wait for each other longer than they work.
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [str(BIN / program), *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, env=environment)
    if done.returncode:
        raise SystemExit(f"demo: {program} ended with exit code {done.returncode}")
    return done.stdout


def start(stack: ExitStack, folder: Path, program: str, *arguments: str) -> str:
    """Start a service for as long as ``stack`` lives, its log in ``folder``; returns the address of its ready line."""
    log = folder / f"{program}.log"
    print("$", program, *arguments, "2>", log, "&", flush=True)
    command = [str(BIN / program), *arguments]
    with open(log, "w") as stderr:
        service = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True)
    stack.callback(service.wait)
    stack.callback(service.terminate)
    line = service.stdout.readline() if service.stdout else ""
    if "listening on " not in line:
        raise SystemExit(f"demo: {program} did not start, see {log}")
    return line.split("listening on ")[1].split()[0].rstrip(",")


def build(folder: Path) -> None:
    """Train, reduce and export into ``folder``; finished steps are kept."""
    full, reduced, artifact = folder / "full", folder / "reduced", folder / "artifact"
    run("pi-train", "train", "--network", "resnet18:m=16", "--data", "digits", "--preset", "small", "--out", str(full))
    print(run("pi-train", "reduce", str(full), "--fraction", "0.5", "--out", str(reduced)), end="")
    if not artifact.exists():
        print(run("pi-train", "export", str(reduced), str(artifact)), end="")
    run("pi-train", "sample", str(folder / "picture.png"), "--index", str(PICTURE_INDEX))


def classify(folder: Path, backend: str) -> dict[str, Any]:
    """Server and client as processes, and a dealer where the backend has one; the client's JSON."""
    keys, local = folder / "keys", ("--listen", "127.0.0.1:0")
    if not keys.exists():
        run("pi-server", "keys", str(keys))
    with ExitStack() as stack:
        parties: tuple[str, ...] = ()
        if find_backend(backend).DEALT:
            parties = ("--dealer", start(stack, folder, "pi-dealer", "serve", *local, "--keys", str(keys / "dealer")))
        serve = ("serve", "--artifact", str(folder / "artifact"), *local, "--keys", str(keys / "server"), *parties)
        server = start(
            stack, folder, "pi-server", *serve, "--reveal", "logits", "--store", str(folder / "store-server")
        )
        infer = ("infer", str(folder / "picture.png"), "--server", server, "--keys", str(keys / "client"), *parties)
        store = ("--backend", backend, "--store", str(folder / "store-client"))
        print(run("pi-client", *infer, *store), end="")
        return dict(json.loads(run("pi-client", *infer, *store, "--json", quiet=True)))


def check(folder: Path, answer: dict[str, Any]) -> None:
    """Compare the private prediction with the plaintext one; exit with 1 if they differ."""
    artifact = load(folder / "artifact")
    picture = load_pictures([folder / "picture.png"], artifact.public.preprocess)
    expected = np.asarray(float_logits(artifact, picture))[0]
    (prediction,) = answer["predictions"]
    error = float(np.abs(np.asarray(prediction["logits"]) - expected).max())
    plain = artifact.public.preprocess.classes[int(expected.argmax())]
    accuracy = json.loads((folder / "reduced" / "result.json").read_text())
    print(f"plaintext prediction {plain}, largest logit difference {error:.4f}")
    print(f"test accuracy of the served network: {accuracy['test_accuracy']:.1%}")
    if prediction["label"] != plain or error >= LOGIT_TOLERANCE:
        raise SystemExit("demo: the private prediction differs from the plaintext one")


def main() -> None:
    """Parse the options and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, default=Path("demo-out"))
    parser.add_argument("--train-only", type=Path, metavar="DIR")
    parser.add_argument("--backend", choices=list(BACKENDS), default="gmw")
    options = parser.parse_args()
    folder: Path = options.train_only or options.out
    folder.mkdir(parents=True, exist_ok=True)
    build(folder)
    if options.train_only is None:
        check(folder, classify(folder, options.backend))


if __name__ == "__main__":
    main()
