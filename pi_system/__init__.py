"""Private neural-network inference between two parties, end to end: train, reduce, export, serve, measure.

DESIGN.md says what each folder is for and in which order they import each other.
"""

__all__ = ["__version__"]

__version__ = "0.1.0"
"""Of the package; ``pi_system.version`` has that of what two processes exchange."""
