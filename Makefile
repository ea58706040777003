# Two commands on a fresh machine: `make demo` and `make test`. Needed beforehand: Python 3.11+, a C++ compiler,
# git and make. Everything else is installed into .venv.
PYTHON ?= python3
VENV   ?= .venv
# Any torch from 2.9 on works. Elsewhere than on a mirror that serves CPU builds, the plain name may bring a CUDA
# build of several GB: `make demo TORCH="torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu"` avoids it.
TORCH  ?= torch==2.13.0
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.PHONY: demo test check bench clean

demo: $(READY)
	$(BIN)/python scripts/demo.py

test: $(READY)
	$(BIN)/python -m pytest -q

check: $(READY)
	scripts/check $(BIN)

bench: $(READY)
	$(BIN)/python benchmarks/latency.py --network resnet18:m=16 --backend crypten --backend fss --repeat 5

# crypten's metadata asks for the dead package sklearn and for torchvision; what it really imports is declared in
# pyproject.toml, so it is installed without its own dependencies.
$(READY): pyproject.toml CMakeLists.txt $(wildcard pi_system/kernels/src/*)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --upgrade "pip>=25.1"
	$(BIN)/python -m pip install -q $(TORCH)
	$(BIN)/python -m pip install -q --no-deps crypten==0.4.1
	$(BIN)/python -m pip install -q --editable . --group dev
	touch $(READY)

clean:
	rm -rf $(VENV) build demo-out
