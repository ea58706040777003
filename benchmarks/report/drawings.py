"""Pictures as data URIs: an SVG without what a page does not need, and the words in it for who does not see it."""

import base64
import html
import re
from dataclasses import dataclass
from typing import Final
from xml.etree import ElementTree

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
    """One plot: stem of its file, axes in words, a data URI, labels for who does not see it, and how wide it may be."""

    name: str
    caption: str
    uri: str
    labels: str
    least_px: int
    most_px: int


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
