# Every target does its own set-up. On Linux, a CPU-only torch saves gigabytes:
#   make setup PIP_FLAGS="--extra-index-url https://download.pytorch.org/whl/cpu"
PYTHON ?= python3.11
PIP_FLAGS ?=
BIN := .venv/bin
STAMP := .venv/.installed

# The other environments, one for each interpreter: PYTHON=python3.12 make test-newest
OLDEST := .venv-oldest-$(notdir $(PYTHON))
NEWEST := .venv-newest-$(notdir $(PYTHON))
RELEASE := .venv-release
# torch of these two is the pinned one: on Linux the oldest comes with gigabytes of CUDA unless the index has CPU builds.
#   make test-oldest TORCH=2.4.0 PIP_FLAGS="--extra-index-url https://download.pytorch.org/whl/cpu"
TORCH ?= $(shell sed -n 's/^torch==//p' constraints.txt)
# Flower allows few versions of what it needs, so its extra is left to `make test`.
ANYWHERE := -q -n 2 --dist loadscope --ignore tests/flower

.PHONY: setup demo test test-slow test-oldest test-newest release-check bench screenshots docs clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_FLAGS) -e ".[dev]" -c constraints.txt
	touch $(STAMP)

demo: setup
	$(BIN)/collabdm demo --out runs/demo --force

test: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist loadscope

test-slow: setup
	$(BIN)/python -m pytest -q -m slow

# The quick tests and a small demonstration with the lowest versions that pyproject.toml allows.
test-oldest:
	@echo "torch here is $(TORCH); the lowest that pyproject.toml allows: $$(sed -n 's/^torch==//p' constraints-oldest.txt)"
	test -x $(OLDEST)/bin/python || $(PYTHON) -m venv $(OLDEST)
	sed 's/^torch==.*/torch==$(TORCH)/' constraints-oldest.txt > $(OLDEST)/constraints.txt
	$(OLDEST)/bin/python -m pip install --quiet --disable-pip-version-check $(PIP_FLAGS) \
		-e ".[privacy,series,slurm,test]" -c $(OLDEST)/constraints.txt
	OMP_NUM_THREADS=1 $(OLDEST)/bin/python -m pytest $(ANYWHERE) -o filterwarnings=default --disable-warnings
	$(OLDEST)/bin/collabdm demo --modality tables --out $(OLDEST)/demo --force

# The same with the newest that pip finds. aeon, which holds others back, is left out.
test-newest:
	test -x $(NEWEST)/bin/python || $(PYTHON) -m venv $(NEWEST)
	echo "torch==$(TORCH)" > $(NEWEST)/constraints.txt
	$(NEWEST)/bin/python -m pip install --quiet --disable-pip-version-check $(PIP_FLAGS) \
		--upgrade --upgrade-strategy eager -e ".[privacy,slurm,test]" -c $(NEWEST)/constraints.txt
	OMP_NUM_THREADS=1 $(NEWEST)/bin/python -m pytest $(ANYWHERE) -o filterwarnings=default
	$(NEWEST)/bin/collabdm demo --modality tables --out $(NEWEST)/demo --force

# Wheel and sdist into dist/, looked into; the wheel installed elsewhere and a round held from it.
release-check:
	test -x $(RELEASE)/bin/python || $(PYTHON) -m venv $(RELEASE)
	$(RELEASE)/bin/python -m pip install --quiet --disable-pip-version-check build twine
	$(RELEASE)/bin/python release/check.py --pip="$(PIP_FLAGS)"

bench: setup
	$(BIN)/python benchmarks/bench.py

# The pictures of reports in docs/screenshots/, by Chromium, which must be installed.
screenshots: setup
	$(BIN)/python release/screenshots.py

# The site, into site/; it needs no network to be read.
docs: setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_FLAGS) -e ".[docs]" -c constraints.txt
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean:
	rm -rf .venv .venv-* build dist runs site .pytest_cache .ruff_cache .hypothesis
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
