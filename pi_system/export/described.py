"""Names of classes and preprocessing as people have them in files: plain lists, Hugging Face's and timm's JSON.

classes.txt                a name a line
classes.json               a list of names, or names by number
config.json                ``id2label`` (Hugging Face), ``label_names`` (timm)
preprocessor_config.json   ``image_mean``, ``image_std``, ``crop_size`` or ``size`` (Hugging Face)
config.json                ``pretrained_cfg`` with ``mean``, ``std``, ``input_size`` (timm)
preprocess.json            ``mean``, ``std``, ``size`` or ``input_size``
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pi_system.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """Preprocessing as a file states it; None: it does not.

    Attributes:
        mean: one value a channel, or one for all.
        std: likewise.
        size: height and width.
    """

    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    size: tuple[int, int] | None = None


def read_classes(path: Path) -> tuple[str, ...]:
    """Names in the order of the logits. Raises InputError."""
    if path.suffix.lower() != ".json":
        return tuple(line.strip() for line in _text(path).splitlines() if line.strip())
    content = _json(path)
    for key in ("id2label", "label_names", "classes"):
        if isinstance(content, Mapping) and content.get(key):
            content = content[key]
    if isinstance(content, Mapping):
        by_number = {str(key): value for key, value in content.items()}
        content = [by_number.get(str(index)) for index in range(len(by_number))]
    if not isinstance(content, list) or not content or not all(isinstance(name, str) for name in content):
        raise InputError(f"{path}: expected a list of names, names by number, or id2label or label_names of such")
    return tuple(content)


def read_preprocessing(path: Path) -> Described:
    """Mean, standard deviation and size, as far as the file has them. Raises InputError."""
    content = _json(path)
    if isinstance(content, Mapping) and isinstance(content.get("pretrained_cfg"), Mapping):
        content = content["pretrained_cfg"]
    if not isinstance(content, Mapping):
        raise InputError(f"{path}: expected an object with mean, std and size")
    first = next((content[key] for key in ("crop_size", "size", "input_size") if key in content), None)
    try:
        return Described(
            mean=_numbers(content.get("image_mean", content.get("mean"))),
            std=_numbers(content.get("image_std", content.get("std"))),
            size=_size(first),
        )
    except (TypeError, ValueError, KeyError, IndexError) as error:
        raise InputError(f"{path}: expected numbers as mean, std and size: {error}") from error


def _numbers(value: Any) -> tuple[float, ...] | None:
    if value is None:
        return None
    return tuple(float(one) for one in (value if isinstance(value, list) else [value]))


def _size(value: Any) -> tuple[int, int] | None:
    if value is None:
        return None
    if isinstance(value, Mapping):
        side = value.get("shortest_edge")
        return int(value.get("height", side)), int(value.get("width", side))
    if isinstance(value, list):
        return int(value[-2]), int(value[-1])
    return int(value), int(value)


def _json(path: Path) -> Any:
    try:
        return json.loads(_text(path))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: expected JSON: {error}") from error


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
