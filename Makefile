# Two commands: `make demo` and `make test`. Each makes its own environment first; `make help` lists the rest.
# Needs Python 3.10 to 3.13, a C++ compiler and make; no root.

PYTHON ?= python3
VENV ?= .venv
DEMO ?= jobs/studies/demo.yaml
RUN = $(VENV)/bin
LIMITS = (3,10) <= sys.version_info[:2] <= (3,13)
WRONG_PYTHON = error: $(PYTHON) is no Python 3.10 to 3.13 (TensorFlow 2.21 has packages for these). Name one: make PYTHON=/path/to/python3.11

.DEFAULT_GOAL := help
.PHONY: help setup demo lint test test-kills test-all oracles test-slurm test-nccl-build clean distclean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

setup:  ## environment, packages, bytecode and Horovod; nothing to do after the first time
	@$(PYTHON) -c 'import sys; sys.exit(not $(LIMITS))' 2>/dev/null || { echo "$(WRONG_PYTHON)" >&2; exit 1; }
	@$(PYTHON) -m horovod_lb.wheel.environment --venv $(VENV)

demo: setup  ## a real study over real Horovod ranks, ending with its accuracy table and report
	$(RUN)/hlb run $(DEMO)
	$(RUN)/hlb collect $(DEMO)
	$(RUN)/hlb report $(DEMO)

lint: setup  ## ruff, mypy, and the direction of imports
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/mypy
	$(RUN)/lint-imports

test: lint  ## the whole test suite but the minutes-long ones
	$(RUN)/python -m pytest -m "not slow and not nccl"

test-kills: setup  ## twenty runs stopped and killed at random steps end with the same bits (minutes)
	$(RUN)/python -m pytest -s -m slow tests/ranks/test_killed.py

test-all: lint  ## the slow tests too
	$(RUN)/python -m pytest -m "not nccl"

oracles:  ## record the answers of other libraries that tests compare with, in an environment of its own
	$(PYTHON) -m venv build/oracles-venv
	build/oracles-venv/bin/python -m pip install --quiet -r tests/oracles/requirements.txt
	for script in tests/oracles/record_*.py; do build/oracles-venv/bin/python $$script || exit 1; done

test-slurm: setup  ## the tests against a real Slurm alone; fails where it cannot run
	@$(RUN)/python tests/slurm/slurm_cluster.py check
	$(RUN)/python -m pytest tests/slurm

test-nccl-build: export HOROVOD_GPU_OPERATIONS = NCCL
test-nccl-build: export HOROVOD_BUILD_CUDA_CC_LIST ?= 80,90
test-nccl-build:  ## build, import and prove Horovod with NCCL, in an environment of its own (needs nvcc)
	@$(PYTHON) -m horovod_lb.wheel.environment --venv build/nccl-venv --extras build,test,train,nccl,mpi
	build/nccl-venv/bin/python -m pytest -m nccl tests/wheel

clean:  ## remove caches and build products of this folder
	rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find horovod_lb jobs tests -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean  ## remove the environment as well (the Horovod wheel stays in the user's cache)
	rm -rf $(VENV)
