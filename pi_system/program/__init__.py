"""Interpreters of the exported graph: float, fixed point, error bound, counts.

``float_point``, ``fixed_point`` and ``error_bound`` need torch and are imported by name; what a client needs to
start fast is here.
"""

from pi_system.program.counts import (
    count_nodes,
    mac_count,
    parameter_count,
    relu_count,
    relu_layers,
    square_count,
    square_layers,
)
from pi_system.program.encoding import encode_input, quantise_weights

__all__ = [
    "count_nodes",
    "encode_input",
    "mac_count",
    "parameter_count",
    "quantise_weights",
    "relu_count",
    "relu_layers",
    "square_count",
    "square_layers",
]
