"""A network named at the command line: ``module:factory``, or a file of torch.export."""

import importlib
import logging
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from pi_system.errors import InputError
from pi_system.export.intake import one_line


def open_source(source: str, arguments: Mapping[str, Any] | None = None) -> object:
    """What ``source`` names, its code run: only your own.

    Args:
        source: ``package.module:factory`` (a function or class that is called, or a network), found as Python does, and
            in the working folder; or the path of a ``.pt2`` file.
        arguments: of the factory.

    Raises:
        InputError: there is no such thing, or it fails.
    """
    if source.endswith(".pt2"):
        return open_program(Path(source))
    module, separator, name = source.partition(":")
    if not separator or not module or not name:
        instead = (
            "pi-train export-onnx" if source.endswith(".onnx") else "module:factory, or a .pt2 file of torch.export"
        )
        raise InputError(f"network: expected {instead}, found {source!r:.80}")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
        return found if isinstance(found, torch.nn.Module) else found(**(arguments or {}))
    except Exception as error:  # whatever the code that is named raises
        raise InputError(f"network {source}: expected a network: {one_line(error)}") from error


def open_program(path: Path) -> torch.export.ExportedProgram:
    """The program in a file. Raises InputError: there is none."""
    if not path.is_file():
        raise InputError(f"{path}: expected a file of torch.export.save, found none")
    log = logging.getLogger("torch.export")
    log.addFilter(_quiet)  # it would log a traceback beside the error
    try:
        return torch.export.load(path)
    except Exception as error:  # of the reader, whatever is in the file
        raise InputError(f"{path}: expected a file of torch.export.save: {one_line(error)}") from error
    finally:
        log.removeFilter(_quiet)


def _quiet(record: logging.LogRecord) -> bool:
    return False
