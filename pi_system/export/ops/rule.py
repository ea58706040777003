"""What a rule is, and what it may ask of the tracer."""

from collections.abc import Callable
from typing import Any, Protocol

from pi_system.export.draft import Draft
from pi_system.export.straight import Asked

__all__ = ["Rule", "Tracing"]

Rule = Callable[..., Any]
"""(tracer, a name for a new node, the arguments of the operation, traced ones as ``Lazy``) to the result as a ``Lazy``,
or several for several results."""


class Tracing(Protocol):
    """The tracer, as rules see it."""

    draft: Draft
    asked: Asked | None
    """The call of the smooth function at work; None: nothing is approximated."""
    allowed: float
    """How far straight pieces may be from a smooth function."""
