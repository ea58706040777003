"""Reduction: methods that bring a trained network's ReLUs under a budget, all through one interface."""

from pi_system.reduce.deepreduce import DeepReduce
from pi_system.reduce.job import reduce_run
from pi_system.reduce.method import ReductionMethod, ReductionResult, ReductionTask
from pi_system.reduce.registry import METHODS, make_method

__all__ = [
    "METHODS",
    "DeepReduce",
    "ReductionMethod",
    "ReductionResult",
    "ReductionTask",
    "make_method",
    "reduce_run",
]
