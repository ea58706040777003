"""What a measurement was made on: machine, versions, source, instruction paths. No host name, no user, no paths."""

import os
import platform
import re
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

import psutil
from measuring import ROOT
from measuring.processes import party_cores
from pydantic import BaseModel, ConfigDict

from pi_system.kernels.paths import chosen_paths

_PACKAGES: Final = ("torch", "numpy", "grpcio", "protobuf", "crypten", "pi-system")

Load = tuple[float, float, float]
"""Load averages of 1, 5 and 15 minutes."""
Others = dict[str, float]
"""Other processes by name, each with the share of a core that it used."""


class Environment(BaseModel):
    """Where, when (UTC, ISO 8601) and with what; ``threads`` are those of each party.

    ``git_sha`` is ``unknown`` outside a checkout; ``kernels`` has the instruction path in use; load averages are those
    when the run began (a busy machine shows here) and when it ended (its own load is part of it). Others are what
    machine.py saw in the seconds before the run and during it, None in files that are older than this record.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    date: str
    git_sha: str
    git_dirty: bool
    python: str
    packages: dict[str, str | None]
    system: str
    machine: str
    cpu: str
    cores: int
    usable_cores: int
    memory_bytes: int
    pinned_cores: dict[str, int]
    threads: int
    kernels: dict[str, str]
    load_before: Load
    load_after: Load
    others_before: Others | None = None
    others_during: Others | None = None

    @property
    def quotable(self) -> bool:
        """Times may be quoted as they are: a clean commit, and nothing else ran. Else ratios may."""
        known = self.git_sha not in ("", "unknown") and not self.git_dirty
        return known and self.others_before == {} and self.others_during == {}


def environment(
    *,
    load_before: Load,
    pinned_cores: dict[str, int] | None = None,
    threads: int = 1,
    others_before: Others | None = None,
    others_during: Others | None = None,
) -> Environment:
    """Describe this machine now; ``load_before``: when the run began; without ``pinned_cores`` each is on its own."""
    sha = (git(ROOT, "rev-parse", "--short=10", "HEAD") or "").strip()
    return Environment(
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        git_sha=sha or "unknown",
        git_dirty=bool(sha and changed(ROOT)),
        python=platform.python_version(),
        packages={name: _version(name) for name in _PACKAGES},
        system=f"{platform.system()} {platform.release()}",
        machine=platform.machine(),
        cpu=_cpu_model(),
        cores=psutil.cpu_count() or 1,
        usable_cores=len(os.sched_getaffinity(0)),
        memory_bytes=psutil.virtual_memory().total,
        pinned_cores=party_cores() if pinned_cores is None else pinned_cores,
        threads=threads,
        kernels=chosen_paths(),
        load_before=load_before,
        load_after=os.getloadavg(),
        others_before=others_before,
        others_during=others_during,
    )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    text = info.read_text() if info.exists() else ""
    found = re.search(r"^(?:model name|CPU part)\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1].strip() if found else platform.processor() or platform.machine()


def changed(root: Path) -> bool:
    """Whether a checkout has changes of its commit; results that earlier runs kept there change nothing that runs."""
    return bool(git(root, "status", "--porcelain", "--", ".", ":(exclude)benchmarks/results"))


def git(folder: Path, *arguments: str) -> str | None:
    """What git says in a folder of a checkout, None if it fails or is not there."""
    try:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode() if done.returncode == 0 else None
