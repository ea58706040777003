"""Plots as data URIs: each question's own ``plot`` command draws them, from its JSON only.

SVG with its text as paths: legible on any device without any font, and small. The drawing library's identifiers and
dates are fixed, so that the same JSON gives the same page.
"""

import base64
import html
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

from pi_system.errors import InputError

__all__ = ["Drawing", "draw", "inline"]

_SETTINGS: Final = "svg.fonttype: path\nsvg.hashsalt: pi-system\n"
_TIMEOUT_S: Final = 300
_NARROW_POINTS: Final = 450
_LEAST: Final = 0.8
_LEAST_WIDE: Final = 1.0
_MOST: Final = 1.4
"""Width on the page, CSS pixels a point of the drawing. A drawing of 6 inches just fits a screen of 360 pixels, its
labels of 11 points then have 9 pixels; a wider one scrolls in its own box anyway, so its labels keep 11."""
_SVG: Final = "{http://www.w3.org/2000/svg}"
_LABELS_NAMED: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """One plot.

    Attributes:
        name: stem of its file.
        caption: its axes in words, or the stem.
        uri: ``data:image/svg+xml`` with everything inside.
        labels: axis labels, panel titles and legend, for readers who do not see it.
        least_px: width below which it scrolls instead of shrinking.
        most_px: width above which it does not grow.
    """

    name: str
    caption: str
    uri: str
    labels: str
    least_px: int
    most_px: int


def draw(script: Path, command: Sequence[str], files: Sequence[Path], out: str = "") -> tuple[Drawing, ...]:
    """Run ``script command --out FOLDER/out FILES`` and take every SVG below the folder, in the order they were drawn.

    Raises:
        InputError: the script failed.
    """
    with tempfile.TemporaryDirectory(prefix="pi-report-") as name:
        folder = Path(name)
        settings = folder / "matplotlibrc"
        settings.write_text(_SETTINGS)
        inputs = [str(file.resolve()) for file in files]
        done = subprocess.run(
            [sys.executable, str(script), *command, "--out", str(folder / out), *inputs],
            env=os.environ | {"MATPLOTLIBRC": str(settings), "SOURCE_DATE_EPOCH": "0"},
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
        )
        if done.returncode:
            raise InputError(f"{script.name}: no plot of {files[0].name}; {done.stderr.strip()[-2000:]}")
        drawn = sorted(folder.rglob("*.svg"), key=lambda path: (path.stat().st_mtime_ns, path.name))
        return tuple(inline(path.stem, path.read_text()) for path in drawn)


def inline(name: str, svg: str) -> Drawing:
    """``svg`` without what a picture does not need: declaration, document type, metadata, needless digits."""
    labels = [html.unescape(text) for text in re.findall(r"<!-- (.+?) -->", svg)]
    caption = _caption(svg) or re.sub(r"^q\d\d[-_]", "", name).replace("-", " ").replace("_", " ")
    for pattern in (r"<\?xml.*?\?>", r"<!DOCTYPE.*?>", r"<metadata>.*?</metadata>", r"<!--.*?-->"):
        svg = re.sub(pattern, "", svg, flags=re.DOTALL)
    svg = re.sub(r' d="[^"]*"', _short_path, svg)
    svg = re.sub(r">\s+<", "><", svg).strip()
    found = re.search(r'<svg[^>]*? width="([\d.]+)pt"', svg)
    width = float(found[1]) if found else _NARROW_POINTS
    return Drawing(
        name=name,
        caption=caption[:1].upper() + caption[1:],
        uri="data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode(),
        labels=_words(labels),
        least_px=round(width * (_LEAST if width <= _NARROW_POINTS else _LEAST_WIDE)),
        most_px=round(width * _MOST),
    )


def _caption(svg: str) -> str:
    """``y against x`` of the first panel, empty without labels.

    The drawing library writes every text as a comment before its outline, and an axis' label as a child of the axis'
    group, beside the groups of its ticks.
    """
    tree = ElementTree.fromstring(svg, ElementTree.XMLParser(target=ElementTree.TreeBuilder(insert_comments=True)))
    labels: dict[str, str] = {}
    for group in tree.iter(f"{_SVG}g"):
        axis = group.get("id", "")
        if axis in ("matplotlib.axis_1", "matplotlib.axis_2"):
            for text in group.findall(f"{_SVG}g"):
                if text.get("id", "").startswith("text"):
                    labels[axis] = "".join(part.text or "" for part in text if not isinstance(part.tag, str)).strip()
    x, y = labels.get("matplotlib.axis_1", ""), labels.get("matplotlib.axis_2", "")
    return f"{y} against {x}" if x and y else x or y


def _short_path(path: re.Match[str]) -> str:
    """Path data with two decimals, in one line: glyphs are drawn 64 units high, plots in points."""
    short = re.sub(r"-?\d+\.\d{3,}", lambda match: f"{float(match[0]):.2f}".rstrip("0").rstrip("."), path[0])
    return re.sub(r"\s+", " ", short)


def _words(labels: list[str]) -> str:
    """The labels that are not numbers, each once, in order."""
    named = [text for text in dict.fromkeys(labels) if re.search(r"[A-Za-z]{2}", text) and "mathdefault" not in text]
    more = "; and others" if len(named) > _LABELS_NAMED else ""
    return "; ".join(named[:_LABELS_NAMED]) + more
