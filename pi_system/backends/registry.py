"""The backends by name, imported only when one is used: a client of one backend never loads another's libraries."""

from collections.abc import Iterable, Mapping
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Final, Protocol, cast

from pi_system.artifact.model import Artifact, PublicArtifact, PublicModel
from pi_system.backends.base import ClientRuntime, Deal, ServerRuntime
from pi_system.errors import ConfigError
from pi_system.extras import check_installed, is_installed, needs
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


class BackendLimits(Protocol):
    """The module ``limits`` of a backend's folder; a backend without it runs every model."""

    def why_not(self, backend: str, model: PublicModel) -> str:
        """Why it does not run ``model``, with a way round; empty if it does."""


Backends = Mapping[str, str]
"""Names of backends and the modules that implement them."""

BACKENDS: Final[Backends] = {
    "gmw": "pi_system.backends.two_party.backend",
    "gc": "pi_system.backends.two_party.backend",
    "table": "pi_system.backends.two_party.backend",
    "fss": "pi_system.backends.fss.backend",
    "crypten": "pi_system.backends.crypten.backend",
}
EXTRA_OF: Final[Mapping[str, str]] = {"crypten": "crypten"}
"""The extra (pi_system/extras.py) that a backend needs; the others need none."""
SERVED_BY_DEFAULT: Final = ("gmw", "gc", "table", "fss")
"""What a server offers unless told; a new backend must be put here. Not the baseline, whose truncation tells weights to
a client that sees logits."""


AUTO: Final = "auto"
"""In the place of a backend's name: the client chooses, of these, by the cost model (cost/choice.py)."""
AUTO_BACKENDS: Final = ("table", "gmw", "gc")
"""Without a third party, in the order that decides where nothing can be predicted: the first is faster online than the
second wherever both were measured (docs/how-to/which-backend.md)."""
AUTO_DEALT: Final = ("fss",)
"""With a dealer, before those, where the user names one. Never the baseline, whose truncation tells weights."""


def runnable(model: PublicModel, names: Iterable[str] = BACKENDS) -> tuple[str, ...]:
    """Of backends, those that run ``model``."""
    return tuple(name for name in names if not why_not(model, name))


def why_not(model: PublicModel, name: str) -> str:
    """Why a backend does not run ``model``; empty if it does, and for a name that is none of the registry's."""
    limits = module_of(name, "limits") if name in BACKENDS else None
    return cast(BackendLimits, limits).why_not(name, model) if limits else ""


def keeps_material(name: str) -> bool:
    """Material of this backend, or of any that ``auto`` is, outlives a session. Raises ConfigError: it is none."""
    return name == AUTO or find_backend(name).DURABLE


def check_runs(model: PublicModel, name: str) -> None:
    """Raises ConfigError, with a way round, where a backend does not run ``model``."""
    if reason := why_not(model, name):
        raise ConfigError(f"backend {name}: {reason}")


@cache
def module_of(name: str, part: str) -> ModuleType | None:
    """A module of a backend's folder that loads none of its libraries, ``cost`` or ``limits``; None if it has none."""
    module = f"{BACKENDS[name].rpartition('.')[0]}.{part}"
    return import_module(module) if find_spec(module) else None


def find_backend(name: str, backends: Backends = BACKENDS) -> Backend:
    """Import a backend.

    Raises:
        ConfigError: a name that is none, or a library that no extra brings is not installed.
        MissingExtraError: its extra is missing.
    """
    if name not in backends:
        raise ConfigError(f"backend: expected one of {', '.join(backends)}, found {name!r:.40}")
    if name in EXTRA_OF:
        with needs(EXTRA_OF[name], f"backend {name}"):
            return cast(Backend, import_module(backends[name]))
    try:
        return cast(Backend, import_module(backends[name]))
    except ModuleNotFoundError as error:
        raise ConfigError(f"backend {name}: expected module {error.name} installed, found none") from None


def installed() -> Backends:
    """Those whose libraries are here."""
    return {name: module for name, module in BACKENDS.items() if name not in EXTRA_OF or is_installed(EXTRA_OF[name])}


def check_installed_backend(name: str) -> None:
    """Look for what a backend needs, and import none of it. Raises MissingExtraError."""
    if name in EXTRA_OF:
        check_installed(f"backend {name}", EXTRA_OF[name])
