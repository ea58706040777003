"""Private neural-network inference between two parties, end to end: train, reduce, export, serve, measure.

The names in ``__all__`` are the public API, which keeps to semantic versioning; docs/reference/python-api.md explains
them. They are imported when they are asked for, so that ``import pi_system`` is quick and a client loads no
training code. DESIGN.md says what each folder is for and in which order they import each other.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from pi_system.extras import needs

if TYPE_CHECKING:
    from pi_system.api.client import Client as Client
    from pi_system.api.model import Model as Model
    from pi_system.api.model import compile as compile
    from pi_system.api.model import load as load
    from pi_system.api.model import profile as profile
    from pi_system.api.result import Answer as Answer
    from pi_system.api.result import Cost as Cost
    from pi_system.api.result import Result as Result
    from pi_system.api.server import Server as Server
    from pi_system.api.server import make_keys as make_keys
    from pi_system.artifact.preprocess import Preprocess as Preprocess
    from pi_system.cost import Prediction as Prediction
    from pi_system.errors import PiError as PiError
    from pi_system.export.quantise import QuantiseOptions as QuantiseOptions
    from pi_system.interrupts import interruptible as interruptible

__all__ = [
    "Answer",
    "Client",
    "Cost",
    "Model",
    "PiError",
    "Prediction",
    "Preprocess",
    "QuantiseOptions",
    "Result",
    "Server",
    "__version__",
    "compile",
    "interruptible",
    "load",
    "make_keys",
    "profile",
]

__version__ = "0.1.0"
"""Of the package; ``pi_system.version`` has that of what two processes exchange."""

_HOMES: Final = {
    "Answer": "pi_system.api.result",
    "Client": "pi_system.api.client",
    "Cost": "pi_system.api.result",
    "Model": "pi_system.api.model",
    "PiError": "pi_system.errors",
    "Prediction": "pi_system.cost",
    "Preprocess": "pi_system.artifact.preprocess",
    "QuantiseOptions": "pi_system.export.quantise",
    "Result": "pi_system.api.result",
    "Server": "pi_system.api.server",
    "compile": "pi_system.api.model",
    "interruptible": "pi_system.interrupts",
    "load": "pi_system.api.model",
    "make_keys": "pi_system.api.server",
    "profile": "pi_system.api.model",
}


def __getattr__(name: str) -> Any:
    """Import a public name at its first use (PEP 562). Raises MissingExtraError: what it needs is not installed."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with needs("train", f"pi_system.{name}"):
        return globals().setdefault(name, getattr(import_module(_HOMES[name]), name))


def __dir__() -> list[str]:
    """With the names that were not asked for yet."""
    return sorted({*globals(), *_HOMES})
