"""Reduction: methods that bring a trained network's ReLUs under a budget, all through one interface."""

from pi_system.reduce.controls import Narrower, RandomMask, Whole
from pi_system.reduce.criticality import StageCriticality, measure_criticality
from pi_system.reduce.cryptonas import CryptoNas
from pi_system.reduce.deepreduce import DeepReduce
from pi_system.reduce.deepreshape import DeepReShape
from pi_system.reduce.equalization import equalized_multipliers
from pi_system.reduce.gradual import Gradual
from pi_system.reduce.job import reduce_run
from pi_system.reduce.l1 import L1Filters
from pi_system.reduce.lfpc import Lfpc
from pi_system.reduce.method import ReductionMethod, ReductionResult, ReductionTask
from pi_system.reduce.pareto import pareto_run
from pi_system.reduce.registry import METHODS, make_method
from pi_system.reduce.senet import SeNet
from pi_system.reduce.shallow import Shallow
from pi_system.reduce.snip import Snip
from pi_system.reduce.snl import Snl
from pi_system.reduce.sphynx import Sphynx
from pi_system.reduce.unstructured import Unstructured

__all__ = [
    "METHODS",
    "CryptoNas",
    "DeepReShape",
    "DeepReduce",
    "Gradual",
    "L1Filters",
    "Lfpc",
    "Narrower",
    "RandomMask",
    "ReductionMethod",
    "ReductionResult",
    "ReductionTask",
    "SeNet",
    "Shallow",
    "Snip",
    "Snl",
    "Sphynx",
    "StageCriticality",
    "Unstructured",
    "Whole",
    "equalized_multipliers",
    "make_method",
    "measure_criticality",
    "pareto_run",
    "reduce_run",
]
