"""Makes tests/support importable by every test: ``from random_networks import random_network``."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "support"))
