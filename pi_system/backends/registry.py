"""The backends by name, imported only when one is used: a client of one backend never loads another's libraries."""

from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import Final, Protocol, cast

from pi_system.artifact.graph import MaxPool2d, Relu
from pi_system.artifact.model import Artifact, PublicArtifact, PublicModel
from pi_system.backends.base import ClientRuntime, Deal, ServerRuntime
from pi_system.errors import ConfigError
from pi_system.protocols.linear_he.params import MAX_RING_BITS, MIN_RING_BITS
from pi_system.protocols.relu_gmw.cut import MAX_COMPARISON_BITS
from pi_system.protocols.relu_table.shape import MAX_COMPARED_BITS
from pi_system.secure.options import RuntimeOptions


class Backend(Protocol):
    """One backend: makes the two runtimes and deals. A module with these names is one.

    Attributes:
        deal: the dealer's side.
        DEALT: correlations come from a dealer; else ``deal`` refuses.
        DURABLE: unused material outlives the session, in ``store_dir``.
    """

    deal: Deal
    DEALT: bool
    DURABLE: bool

    def make_server(self, artifact: Artifact, options: RuntimeOptions) -> ServerRuntime:
        """The network owner's runtime. Raises ConfigError for options this backend does not offer."""

    def make_client(self, public: PublicArtifact, options: RuntimeOptions) -> ClientRuntime:
        """The picture owner's runtime. Raises ConfigError for options this backend does not offer."""


Backends = Mapping[str, str]
"""Names of backends and the modules that implement them."""

BACKENDS: Final[Backends] = {
    "gmw": "pi_system.backends.two_party.backend",
    "gc": "pi_system.backends.two_party.backend",
    "table": "pi_system.backends.two_party.backend",
    "fss": "pi_system.backends.fss.backend",
    "crypten": "pi_system.backends.crypten.backend",
}
_TWO_PARTY: Final = ("gmw", "gc", "table")
SERVED_BY_DEFAULT: Final = ("gmw", "gc", "table", "fss")
"""What a server offers unless told; a new backend must be put here. Not the baseline, whose truncation tells weights to
a client that sees logits."""


DEFAULT_BACKEND: Final = "gmw"


def runnable(model: PublicModel, names: Iterable[str] = BACKENDS) -> tuple[str, ...]:
    """Of backends, those that run ``model``."""
    return tuple(name for name in names if not why_not(model, name))


def why_not(model: PublicModel, name: str) -> str:
    """Why a backend does not run ``model``; empty if it does."""
    ring = model.ring
    if name in _TWO_PARTY and not MIN_RING_BITS <= ring.ring_bits <= MAX_RING_BITS:
        return f"expected a ring of {MIN_RING_BITS} to {MAX_RING_BITS} bits, found {ring.ring_bits}: take fss"
    bits = max((ring.compared_bits(node) for node in model.graph if isinstance(node, Relu | MaxPool2d)), default=0)
    widest = max(ring.comparison_bits.values(), default=0)
    if name == "gmw" and widest > MAX_COMPARISON_BITS:
        return (
            f"expected comparisons of at most {MAX_COMPARISON_BITS} bits, found {widest}: take another, or export again"
        )
    if name == "table" and bits > MAX_COMPARED_BITS:
        return (
            f"expected at most {MAX_COMPARED_BITS} compared bits, found {bits}: take another, or "
            f"pi-train export --compare-bits {MAX_COMPARED_BITS}"
        )
    return ""


def check_runs(model: PublicModel, name: str) -> None:
    """Raises ConfigError, with a way round, where a backend does not run ``model``."""
    if reason := why_not(model, name):
        raise ConfigError(f"backend {name}: {reason}")


def find_backend(name: str, backends: Backends = BACKENDS) -> Backend:
    """Import a backend. Raises ConfigError for a name that is none, and where a library that it needs is missing."""
    if name not in backends:
        raise ConfigError(f"backend: expected one of {', '.join(backends)}, found {name!r:.40}")
    try:
        return cast(Backend, import_module(backends[name]))
    except ModuleNotFoundError as error:
        raise ConfigError(f"backend {name}: expected module {error.name} installed, found none") from error
