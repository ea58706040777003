"""Makes tests/support importable by every test: ``from random_networks import random_network``."""

import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent / "support"))

# The networks of the tests are tiny: handing them to a second thread costs more than it brings.
torch.set_num_threads(1)
