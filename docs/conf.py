"""The site of the documents: ``make docs`` builds it into build/docs, offline; its pages ask nothing of elsewhere."""

import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "server"), str(ROOT / "client")]

from sphinx.application import Sphinx  # noqa: E402

from pi_system import __version__  # noqa: E402

project = "pi-system"
author = "the pi-system contributors"
copyright = author
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_click", "sphinx_copybutton"]
exclude_patterns = ["conf.py"]
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "description"
copybutton_prompt_text = "$ "
copybutton_line_continuation_character = "\\"

html_theme = "furo"
html_title = f"pi-system {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sphinx = False
linkcheck_timeout = 20
linkcheck_retries = 2


def _plain(app: object, context: object, lines: list[str]) -> None:
    """Help is plain text: a star in it is a star."""
    lines[:] = [line if line.lstrip().startswith("..") else line.replace("*", r"\*") for line in lines]


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    for part in ("description", "options", "arguments"):
        app.connect(f"sphinx-click-process-{part}", _plain)
