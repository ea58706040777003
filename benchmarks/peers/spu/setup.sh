#!/usr/bin/env bash
# Makes the Python environment of the SPU comparison. Usage: benchmarks/peers/spu/setup.sh FOLDER [PYTHON]
# SPU 0.9.5 has wheels for Python 3.10 and 3.11 and needs numpy < 2, so it cannot share this project's environment.
set -euo pipefail
FOLDER=${1:?usage: setup.sh FOLDER [PYTHON]}
PYTHON=${2:-python3.11}
"$PYTHON" -m venv "$FOLDER"
"$FOLDER/bin/python" -m pip install --quiet "spu==0.9.5" "jax==0.4.34" "jaxlib==0.4.34" "numpy==1.26.4" "safetensors>=0.5,<1"
"$FOLDER/bin/python" -c "import jax, safetensors.numpy, spu; print('spu', spu.__version__)"
