"""Operators of ONNX as torch layers and functions: what exporters write for convolutional networks.

What a rule makes may still be refused by export, by the file's name of the node.
"""

from typing import Final

from pi_system.export.onnx.operators import elementwise, layers, pooling, resizing, shapes
from pi_system.export.onnx.operators.node import Node, Rule, Value

__all__ = ["OPERATORS", "Node", "Value"]

OPERATORS: Final[dict[str, Rule]] = {
    **layers.RULES,
    **elementwise.RULES,
    **pooling.RULES,
    **shapes.RULES,
    **resizing.RULES,
}
"""Rules by operator. A second output that is never read (masks, indices) is None."""
