# Everything runs in an environment of its own; Python >= 3.11 and make are all it takes.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python

.PHONY: demo test test-all lint gallery bench clean

demo: $(VENV)/installed
	$(RUN) -m symconv demo

test: $(VENV)/tests-installed
	$(RUN) -m pytest -n auto

test-all: $(VENV)/tests-installed
	SYMCONV_FULL=1 $(RUN) -m pytest -n auto

lint: $(VENV)/tests-installed
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

gallery: $(VENV)/installed
	$(RUN) -m symconv generate --config generated/symconv.toml

SUITE := $(shell sed -n 's/^\[\(.*\)\]/generated\/\1.py/p' benchmarks/suite.toml)

bench: $(VENV)/bench-installed
	$(RUN) -m symconv bench $(SUITE) -o benchmarks

clean:
	rm -rf $(VENV) symconv-demo

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: pyproject.toml | $(VENV)/bin/python
	$(RUN) -m pip install --quiet --editable .
	touch $@

$(VENV)/tests-installed: pyproject.toml | $(VENV)/bin/python
	$(RUN) -m pip install --quiet --editable '.[test]'
	touch $@ $(VENV)/installed

$(VENV)/bench-installed: pyproject.toml | $(VENV)/bin/python
	$(RUN) -m pip install --quiet --editable '.[bench]'
	touch $@ $(VENV)/installed
