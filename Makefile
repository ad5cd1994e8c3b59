# Two commands on a fresh machine: `make demo` and `make test`. Each makes .venv by itself.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin

.PHONY: demo results test fast lint types wheel docs clean help

help:
	@echo "make demo    finetune, er and dlfl on digits-seq, two seeds, then the report, also results/report/report.html (4 minutes)"
	@echo "make results the reference tables in results/ again, all seeds (an hour and a half on 2 cores)"
	@echo "make test    the whole test suite"
	@echo "make fast    the tests that are not slow"
	@echo "make lint    ruff: check and format"
	@echo "make types   mypy, strict"
	@echo "make wheel   build the wheel, install it elsewhere, run it from another folder"
	@echo "make docs    the documentation as pages in build/docs, and the Dockerfile's lint"
	@echo "make clean   remove the environments and caches"

# The stamp says that what pyproject.toml asks for is installed.
$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

demo: $(VENV)/.installed
	$(BIN)/clbench sweep bench/demo.toml --launcher local
	$(BIN)/clbench report
	$(BIN)/clbench report --out results/report

results: $(VENV)/.installed
	$(BIN)/python bench/reference_tables.py --readme README.md

# One thread for each process: the tests' models are tiny, and every core has its own tests.
test: $(VENV)/.installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto

fast: $(VENV)/.installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto -m 'not slow'

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed
	$(BIN)/mypy

wheel: $(VENV)/.installed
	sh .ci/wheel $(BIN)/python

# Its own stamp: nobody needs these to run or to test.
$(VENV)/.docs: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	touch $@

docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict --config-file .mkdocs.yml
	if [ -x $(BIN)/hadolint ]; then $(BIN)/hadolint .docker/Dockerfile; fi

clean:
	rm -rf build $(VENV) .venv-wheel .venv-avalanche dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
