"""ONNX files and torch.export programs to torch modules: one rule an operator, constants are computed."""

from pi_system.export.onnx.program import read_program
from pi_system.export.onnx.reader import read_onnx

__all__ = ["read_onnx", "read_program"]
