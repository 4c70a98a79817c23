PYTHON ?= python3
VENV := .venv
# Two processes; the tests of a file share what they set up.
PYTEST_ARGS ?= -n 2 --dist loadfile
.DEFAULT_GOAL := help

# An existing environment is kept unless PYTHON is given and is of another version.
BASE := $(if $(and $(filter file,$(origin PYTHON)),$(wildcard $(VENV)/bin/python)),$(VENV)/bin/python,$(PYTHON))
PRINT_VERSION := import sys; print("%d.%d" % sys.version_info[:2])
VERSION := $(shell $(BASE) -c '$(PRINT_VERSION)' 2>/dev/null)
STAMP := $(VENV)/.setup-$(VERSION)
BIN := $(VENV)/bin
# Wheels only: nothing here may need a compiler. NIX comes as source, which is Python alone.
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --only-binary :all: --no-binary nixio --constraint constraints.txt

.PHONY: help setup demo test docs matrix faults fuzz mutants clean

help:
	@echo "make setup   create $(VENV) with everything: Lava, Brian2, tests"
	@echo "make demo    climb the ladder on the digits data and write verify-report"
	@echo "make test    ruff, mypy, pytest (PYTEST_ARGS='-k theory' selects)"
	@echo "make faults  inject each fault 20 times at random moments and print what came of it (an hour)"
	@echo "make docs    build the documentation in build/docs, running its scripts, and test its code"
	@echo "make matrix  install and run on each of Python 3.10, 3.11 and 3.12 found here"
	@echo "make fuzz    fuzz the readers of files, with atheris (half an hour or more)"
	@echo "make mutants change the modules that all else is compared with, with mutmut, and count what tests notice (hours)"
	@echo "make clean   remove $(VENV), caches and reports"
	@echo "PYTHON=python3.11 make setup   chooses the interpreter (3.10, 3.11 or 3.12)"

setup: $(STAMP)

$(STAMP): setup.cfg pyproject.toml constraints.txt
	@case '$(VERSION)' in 3.10|3.11|3.12) ;; *) \
	    echo "softhebb-spiking needs Python 3.10, 3.11 or 3.12; $(BASE) is" \
	        "$(or $(VERSION),not a Python that runs): try PYTHON=python3.11 make $(or $(MAKECMDGOALS),setup)" >&2; \
	    exit 1 ;; esac
	@test "$$($(BIN)/python -c '$(PRINT_VERSION)' 2>/dev/null)" = '$(VERSION)' \
	    || { echo "creating $(VENV) with Python $(VERSION)"; $(BASE) -m venv --clear $(VENV); }
	@echo "installing into $(VENV) (a few minutes the first time)"
	@$(INSTALL) setuptools
	@$(INSTALL) --no-build-isolation --editable '.[all]'
# lava-nc declares 3.10 only; softhebb_spiking mends what keeps it from importing on 3.11 and 3.12.
	@test '$(VERSION)' = 3.10 || $(INSTALL) --no-deps --ignore-requires-python lava-nc
	@touch $@

demo: $(STAMP)
	@$(BIN)/softhebb-spiking verify --dataset digits --output verify-report

test: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest $(PYTEST_ARGS)

faults: $(STAMP)
	PYTHONPATH=tests $(BIN)/python -m faults --tries 20 --seed 0 --minutes 60 --output build/faults.json

docs: $(STAMP)
	$(BIN)/sphinx-build -W --keep-going -b html docs build/docs
	$(BIN)/python -m pytest README.md docs/*.md docs/start/*.md

matrix:
	@$(PYTHON) benchmarks/matrix.py

# Tools that are needed for nothing else go into an environment of their own, on top of the other.
TOOLS := build/tools
$(TOOLS)/bin/python: $(STAMP)
	@$(BIN)/python -m venv $(TOOLS)
	@$(BIN)/python -c 'import site; print(f"import site; site.addsitedir({site.getsitepackages()[0]!r})")' \
	    > $(TOOLS)/lib/python$(VERSION)/site-packages/project.pth
	@$(TOOLS)/bin/python -m pip install --quiet --disable-pip-version-check --only-binary :all: atheris==3.0.0 mutmut==3.8.1

fuzz: $(TOOLS)/bin/python
	@$(TOOLS)/bin/python tests/fuzz/run.py --reader all --executions 120000 --seconds 300 --seed 0

mutants: $(TOOLS)/bin/python
	@$(TOOLS)/bin/python benchmarks/mutants.py

clean:
	rm -rf $(VENV) build dist docs/auto_* docs/sg_* *.egg-info verify-report .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
