"""The option that names a backend: those that cannot run here are not offered."""

from typing import Any

import click
from click.shell_completion import CompletionItem

from pi_system.backends.registry import BACKENDS, check_installed_backend, installed


class BackendChoice(click.Choice[str]):
    """A backend's name, or another word; who names one that is not installed is told what to type."""

    def __init__(self, *words: str):
        """``words``: allowed beside the backends."""
        super().__init__([*words, *BACKENDS])
        self._words = words

    def _offered(self) -> list[str]:
        return [*self._words, *installed()]

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """What help offers."""
        return f"[{'|'.join(self._offered())}]"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """What shells offer."""
        return [CompletionItem(name) for name in self._offered() if name.startswith(incomplete)]

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name. Raises MissingExtraError: it is not installed."""
        name = super().convert(value, param, ctx)
        check_installed_backend(name)
        return name
