"""The networks that the demo races: the built-in one, and variants that share its weights.

A variant comes as a public part (``scripts/demo_networks.py`` made them): ``half`` has half of the ReLUs, ``-10``
compares ten bits, which backend ``table`` asks for.
"""

import json
import shutil
from pathlib import Path
from typing import Any, Final, Literal, get_args

from pi_system.artifact.store import load_public
from pi_system.backends.registry import why_not
from pi_system.networks import artifact_folder

Relus = Literal["full", "half"]
RELUS: Final[tuple[Relus, ...]] = get_args(Relus)
VARIANTS: Final = Path(__file__).with_name("variants")
PUBLIC_FILES: Final = ("public.json", "masks.safetensors")
ACCURACY_FILE: Final = "accuracy.json"
"""Of ``half``: share of how many test pictures."""
BUILTIN: Final = "cifar10"


def name_of(relus: Relus, backend: str) -> str:
    """Which variant a backend runs; the built-in network as it is where it can."""
    refused = why_not(load_public(artifact_folder(BUILTIN)).public, backend)
    return f"{relus}-10" if refused else relus


def public_folder(name: str) -> Path:
    """Where the public part of a variant is."""
    return artifact_folder(BUILTIN) if name == "full" else VARIANTS / name


def artifact_of(name: str, folder: Path) -> Path:
    """A whole artifact: of a variant, put together as ``folder``."""
    builtin = artifact_folder(BUILTIN)
    if name == "full":
        return builtin
    if not folder.exists():
        shutil.copytree(builtin, folder)
        for file in PUBLIC_FILES:
            shutil.copyfile(public_folder(name) / file, folder / file)
    return folder


def half_accuracy() -> dict[str, Any]:
    """Of ``half``: ``test_accuracy`` on ``pictures``."""
    stated: dict[str, Any] = json.loads((VARIANTS / ACCURACY_FILE).read_text())
    return stated
