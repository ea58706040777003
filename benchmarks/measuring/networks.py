"""Networks of random weights by name, exported once: cost does not depend on what the weights are.

A name is a network's specification (train/spec.py) and, each after a slash, what becomes of its ReLUs, from left to
right; every suffix works within the positions that are still active:

    /keep=STAGES[thin]      ReLUs of these stages (the stem is with stage 1) as DeepReDuce names them; thin: of each
                            block only the last ReLU layer
    /layers=I,J,...         whole ReLU layers, counted from 0 in order of execution
    /square                 the quadratic activation (train/square.py) in the place of every ReLU that is left, whole
                            layers only; nothing may follow it
    /relus=COUNT[:STAGES]   COUNT positions drawn at random over all layers, or over those of the stages
    /compare=N              comparisons see N bits, or more where the range asks for it; nothing may follow it

Examples: ``hrn-2x5x3x:m=16/keep=234``, ``resnet18:m=64/keep=23thin/compare=8``, ``resnet18:m=16/relus=8192:34``.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import torch
from measuring import ROOT
from measuring.documents import say
from measuring.schema import NetworkCounts

from pi_system.artifact.model import Artifact
from pi_system.artifact.store import save
from pi_system.errors import ConfigError
from pi_system.export.compare_bits import CompareOptions, choose_compare_bits
from pi_system.export.random import random_artifact, random_pictures
from pi_system.networks import BUILTIN_PREFIX, artifact_folder
from pi_system.program import mac_count, parameter_count, relu_count, relu_layers, square_count, square_layers
from pi_system.reduce.configurations import Configuration
from pi_system.train.networks import Classifier, build_network, use_squares
from pi_system.train.relu import named_relus
from pi_system.train.relu_map import ReluMap
from pi_system.train.spec import NetworkSpec

SEED: Final = 1
"""Of weights, of drawn positions and of pictures."""

_EXPORTED_BY: Final = ("artifact", "export", "program", "train")


def artifact_of(name: str, cache: Path) -> Path:
    """The folder of the built-in network that ``name`` names, or of random weights. Raises as ``cached_artifact``."""
    return artifact_folder(name) if name.startswith(BUILTIN_PREFIX) else cached_artifact(name, cache)


def cached_artifact(name: str, cache: Path) -> Path:
    """The folder of a random-weight artifact of ``name``, made on first use and again when the exporter changes.

    Raises ConfigError: the name cannot be read, or asks for more ReLUs than there are.
    """
    folder = cache / sources_digest() / re.sub("[:,/]", "-", name)
    if not folder.exists():
        say(f"{name}: exporting with random weights")
        named, _, bits = name.partition("/compare=")
        if bits and not (bits.isdecimal() and 2 <= int(bits) <= 63):
            raise ConfigError(f"network: expected /compare=N with 2 to 63 last, found /compare={bits[:40]}")
        network, spec = build_named(named)
        shape = (spec.channels, spec.size, spec.size)
        artifact = random_artifact(network, shape, SEED, name)
        if bits:
            artifact = few_bits(artifact, int(bits))
        save(artifact, folder)
    return folder


def few_bits(artifact: Artifact, bits: int) -> Artifact:
    """The same with so many compared bits, calibrated on random pictures."""
    shape = artifact.public.preprocess
    pictures = random_pictures((shape.channels, shape.height, shape.width), 16, SEED)
    return choose_compare_bits(artifact, pictures, CompareOptions(bits=bits))[0]


def build_named(name: str) -> tuple[Classifier, NetworkSpec]:
    """The network of ``name`` without /compare, its ReLU masks set. Raises ConfigError as ``cached_artifact``."""
    text, *suffixes = name.split("/")
    spec = NetworkSpec.parse(text)
    network = build_network(spec, seed=SEED)
    for suffix in suffixes:
        key = suffix.partition("=")[0]
        if key not in _SUFFIXES:
            raise ConfigError(f"network: expected /{', /'.join(_SUFFIXES)}; found /{suffix[:40]}")
        if not named_relus(network):
            raise ConfigError(f"network: expected /square last, found /{suffix[:40]} after it")
        pattern, form, change = _SUFFIXES[key]
        if (match := re.fullmatch(key + pattern, suffix)) is None:
            raise ConfigError(f"network: expected {form}, found /{suffix[:40]}")
        change(network, *match.groups())
    return network, spec


def counts(artifact: Artifact) -> NetworkCounts:
    """Counts of the exported graph."""
    graph = artifact.public.graph
    return NetworkCounts(
        network=artifact.public.name,
        relus=relu_count(graph),
        relu_layers=relu_layers(graph),
        macs=mac_count(graph),
        parameters=parameter_count(graph),
        squares=square_count(graph),
        square_layers=square_layers(graph),
    )


def sources_digest() -> str:
    """Of everything that what is cached here depends on."""
    sources = sorted(path for part in _EXPORTED_BY for path in (ROOT / "pi_system" / part).rglob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in [*sources, Path(__file__)])).hexdigest()[:16]


def _keep(network: Classifier, stages: str, thin: str | None) -> None:
    Configuration(tuple(map(int, stages)), thin is not None).relu_map(network).apply(network)


def _layers(network: Classifier, chosen: str) -> None:
    now, places = ReluMap.of(network).masks, {int(place) for place in chosen.split(",")}
    if max(places) >= len(now):
        raise ConfigError(f"network: expected /layers=I,J,... below {len(now)}, found /layers={chosen[:40]}")
    ReluMap({name: mask & (place in places) for place, (name, mask) in enumerate(now.items())}).apply(network)


def _relus(network: Classifier, count: str, stages: str | None) -> None:
    relus = named_relus(network)
    allowed = {name: relu.mask.cpu() & (str(relu.stage) in (stages or "12345")) for name, relu in relus.items()}
    ReluMap(_draw(allowed, int(count))).apply(network)


def _draw(allowed: Mapping[str, torch.Tensor], count: int) -> dict[str, torch.Tensor]:
    """``count`` of the allowed positions, each set of them as likely as any other."""
    flat = torch.cat([mask.flatten() for mask in allowed.values()])
    places = flat.nonzero().flatten()
    if count > len(places):
        raise ConfigError(f"network: expected at most {len(places)} ReLUs in these layers, found /relus={count}")
    order = torch.randperm(len(places), generator=torch.Generator().manual_seed(SEED))
    drawn = torch.zeros_like(flat)
    drawn[places[order[:count]]] = True
    parts = torch.split(drawn, [mask.numel() for mask in allowed.values()])
    return {name: part.view(mask.shape) for (name, mask), part in zip(allowed.items(), parts, strict=True)}


_SUFFIXES: Final[Mapping[str, tuple[str, str, Callable[..., None]]]] = {
    "keep": (r"=([1-5]+)(thin)?", "/keep=STAGES or /keep=STAGESthin", _keep),
    "layers": (r"=(\d+(?:,\d+)*)", "/layers=I,J,...", _layers),
    "relus": (r"=([1-9]\d*)(?::([1-5]+))?", "/relus=COUNT or /relus=COUNT:STAGES", _relus),
    "square": ("", "/square", use_squares),
}
