"""Training: networks with masked ReLUs, data sets, the training loop and the run directory."""

from pi_system.train.config import TrainConfig
from pi_system.train.counting import NetworkCount, count_network
from pi_system.train.data import DataConfig, DataSet, load_data
from pi_system.train.evaluate import Score, evaluate
from pi_system.train.job import train_run
from pi_system.train.loop import Companion, FitResult, Interrupted, fit
from pi_system.train.networks import Classifier, ResNet, build_network
from pi_system.train.relu import MaskedReLU, ReluTracer, named_relus
from pi_system.train.relu_map import ReluMap
from pi_system.train.run import LoadedRun, RunDirectory, load_run
from pi_system.train.spec import NetworkSpec

__all__ = [
    "Classifier",
    "Companion",
    "DataConfig",
    "DataSet",
    "FitResult",
    "Interrupted",
    "LoadedRun",
    "MaskedReLU",
    "NetworkCount",
    "NetworkSpec",
    "ReluMap",
    "ReluTracer",
    "ResNet",
    "RunDirectory",
    "Score",
    "TrainConfig",
    "build_network",
    "count_network",
    "evaluate",
    "fit",
    "load_data",
    "load_run",
    "named_relus",
    "train_run",
]
