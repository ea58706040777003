# Two commands on a fresh machine: `make demo` and `make test`. Needed beforehand: Python 3.11+, a C++ compiler,
# git and make. Everything else is installed into .venv.
PYTHON ?= python3
VENV   ?= .venv
# Any torch from 2.9 on works. The further index makes it the CPU build, as PyPI's own brings several GB of CUDA; where
# it cannot be reached, pip warns and takes what there is. It is asked for torch alone: what that needs comes with the
# package. With CUDA: `make demo TORCH=torch==2.13.0`.
TORCH  ?= torch==2.13.0 --extra-index-url https://download.pytorch.org/whl/cpu
# What tests need of the package's extras; ray has tests of its own without Ray.
EXTRAS := server,train,crypten,dicom,web
# Processes that run tests; each starts parties of its own, and waits for them a third of its time.
JOBS   ?= 3
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

# In order; each has a file benchmarks/NAME.py with the command run.
QUESTIONS := q01_cost_per_relu q02_placement q03_architectures q04_offline q05_scaling q06_quadratic q07_peers \
	q08_compare_bits

.PHONY: demo test docs linkcheck check golden mutants sanitize bench bench-full report wheels clean

demo: $(READY)
	$(BIN)/python scripts/demo.py

test: $(READY)
	$(BIN)/python -m pytest -q -n $(JOBS) --dist loadfile

# The site of the documents, build/docs/index.html; a warning is an error. Needs no network, nor do its pages.
docs: $(READY)
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs build/docs

# Links to elsewhere, by asking.
linkcheck: $(READY)
	$(BIN)/python -m sphinx -q -b linkcheck docs build/linkcheck

check: $(READY)
	scripts/check $(BIN)

# After a change that means to change bytes sent or stored, see tests/golden/test_transcripts.py.
golden: $(READY)
	$(BIN)/python tests/support/transcripts.py

# Small changes that must make a test fail: `make mutants ONLY='ot-* store-*'`, RESUME=1 leaves out what was killed.
mutants: $(READY)
	$(BIN)/python scripts/mutants.py $(if $(RESUME),--resume) $(ONLY)

# Needs clang 16 or newer and its compiler-rt (Debian: apt-get install clang-19 libclang-rt-19-dev valgrind); under ten minutes.
FUZZ_SECONDS ?= 240
sanitize: $(READY)
	$(BIN)/python -m pip install -q --group fuzz
	scripts/sanitize $(BIN) $(FUZZ_SECONDS)

# Every question on its own: one that fails does not stop the others, and fails the whole. The first run exports its
# networks (cached), which takes minutes of its own. On a machine that has other work: `make bench OPTIONS=--busy`.
run_questions = @failed=; for question in $(QUESTIONS); do \
	$(BIN)/python benchmarks/$$question.py run $(1) $(OPTIONS) || { test $$? -ne 130 || exit 130; failed="$$failed $$question"; }; \
	done; test -z "$$failed" || { echo "failed:$$failed" >&2; exit 1; }

bench: $(READY)
	$(call run_questions,)

bench-full: $(READY)
	$(call run_questions,--full)

# From committed JSON only: the page, docs/explanation/findings.md, all pictures of docs/img, and the parts of other documents.
report: $(READY)
	$(BIN)/python benchmarks/report/build.py

# For PyPI: see scripts/wheels.
wheels: $(READY)
	scripts/wheels $(BIN)

# crypten's metadata asks for the dead package sklearn and for torchvision; what it really imports is the extra
# `crypten`, so it is installed without its own dependencies.
$(READY): pyproject.toml CMakeLists.txt $(wildcard pi_system/kernels/src/*)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --upgrade "pip>=25.1"
	$(BIN)/python -m pip install -q --no-deps $(TORCH)
	$(BIN)/python -m pip install -q --no-deps crypten==0.4.1
	$(BIN)/python -m pip install -q --editable ".[$(EXTRAS)]" --group dev
	touch $(READY)

clean:
	rm -rf $(VENV) build dist demo-out
