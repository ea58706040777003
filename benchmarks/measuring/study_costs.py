"""What the networks of a study cost online: real processes, one core a party, backends in turn; a stopped call goes on.

The JSON: ``networks`` by run, ``results`` a combination of run, link and backend each, written after every change. A
network whose ring no backend without a dealer takes is recorded as such.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from measuring.documents import say
from measuring.latency import run_all
from measuring.machine import Measurement
from measuring.networks import counts
from measuring.study_record import read_records

from pi_system.artifact.store import load
from pi_system.errors import ConfigError, InputError
from pi_system.export.job import export_run
from pi_system.train.files import write_atomic


def networks_of(out: Path, seed: int) -> list[str]:
    """Finished trainings and reductions of one seed in a study's folder. Raises InputError: none."""
    records = read_records(out).items()
    found = [key for key, r in records if key.startswith(f"seed{seed}/") and "test_accuracy" in (r.result or {})]
    if not found:
        raise InputError(f"{out}: expected a finished run of seed {seed}; found none")
    return found


def measure_costs(
    run: Measurement,
    out: Path,
    file: Path,
    networks: Iterable[str],
    *,
    backends: tuple[str, ...],
    links: tuple[str, ...],
    **settings: int,
) -> dict[str, Any]:
    """Export networks of the study in ``out`` (its artifacts keep them) and measure what ``file`` lacks.

    ``settings``: ``seed`` and ``repeat``. Raises ConfigError: the file was measured with others.
    """
    content: dict[str, Any] = {"schema": 1, **settings, "networks": {}, "results": []}
    if file.is_file():
        content, wanted = json.loads(file.read_text()), content
        different = sorted(key for key in ("schema", *settings) if content.get(key) != wanted[key])
        if different:
            raise ConfigError(f"{file}: holds costs of another {', '.join(different)}; name another file")

    def add(name: str, link: str, backend: str, entry: dict[str, Any]) -> None:
        content["results"].append({"run": name, "link": link, "backend": backend, **entry})
        content["environment"] = run.environment().model_dump(mode="json")
        write_atomic(file, json.dumps(content, indent=1) + "\n")

    for name in networks:
        path = _exported(out, name)
        artifact = load(path)
        bits = artifact.public.ring.ring_bits
        about = {**counts(artifact).model_dump(), "ring_bits": bits, "digest": artifact.public.digest}
        content["networks"][name] = about
        for link in links:
            held = {entry["backend"] for entry in content["results"] if (entry["run"], entry["link"]) == (name, link)}
            missing = [backend for backend in backends if backend not in held]
            for result in run_all([path], missing, (link,), settings["repeat"], 1) if missing else ():
                add(name, link, result.backend, result.model_dump(exclude={"link", "backend"}))
                say(f"{name}: {link} {result.backend} {result.online_ms.median:.1f} ms")
    return content


def _exported(out: Path, name: str) -> Path:
    path = out / "artifacts" / name.replace("/", "-").replace("@", "-")
    if not path.exists():
        say(f"{name}: exporting")
        export_run(out / name, path)
    return path
