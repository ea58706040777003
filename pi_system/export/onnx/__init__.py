"""ONNX files to torch modules: one rule an operator, constants are computed."""

from pi_system.export.onnx.reader import read_onnx

__all__ = ["read_onnx"]
