"""What an inference costs: exact bytes, rounds and storage, and milliseconds from prices of one machine.

work.py         units of work, prices, moments on a critical path
layers.py       what the server computes between gates
replay.py       the online phase of the fast runtime on a clock, from the gates' own records
predict.py      one inference; rows.py gives its work to layers
calibration.py  prices of a machine as a file; the one that ships
choice.py       which backend auto stands for
activations.py  one activation layer by itself

What a backend costs it says itself (``backends/costs.py``): no backend is named here. Counted exactly: bytes each way,
rounds, storage, offline bytes. Predicted: milliseconds. Prices are fitted, and predictions compared with measurements,
in benchmarks/measuring.
"""

from pi_system.cost.activations import activation_ms
from pi_system.cost.calibration import Calibration, calibration_or_default, default_calibration, load_calibration
from pi_system.cost.choice import OBJECTIVES, Decision, Objective, choose, resolve
from pi_system.cost.predict import Prediction, predict

__all__ = [
    "OBJECTIVES",
    "Calibration",
    "Decision",
    "Objective",
    "Prediction",
    "activation_ms",
    "calibration_or_default",
    "choose",
    "default_calibration",
    "load_calibration",
    "predict",
    "resolve",
]
