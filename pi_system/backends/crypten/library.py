"""The one place that imports CrypTen, and what current torch needs for that.

CrypTen 0.4.1's ONNX converter imports ``torch.onnx.symbolic_registry`` and ``torch.onnx.OperatorExportTypes``, which
torch removed. Nothing here uses that converter, so an empty module and an empty class of those names are enough.
"""

import sys
import types

import torch.onnx

__all__ = ["crypten"]


def _restore_names() -> None:
    name = "torch.onnx.symbolic_registry"
    if name not in sys.modules:
        sys.modules[name] = types.ModuleType(name)
    if not hasattr(torch.onnx, "OperatorExportTypes"):
        setattr(torch.onnx, "OperatorExportTypes", type("OperatorExportTypes", (), {}))  # noqa: B010 (unknown to mypy)


_restore_names()

import crypten  # noqa: E402
