# Everything runs in an environment of its own; Python >= 3.11 and make are all it takes.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python

.PHONY: demo test test-all search lint gallery bench coverage docs clean

demo: $(VENV)/installed
	$(RUN) -m symconv demo

test: $(VENV)/tests-installed
	$(RUN) -m pytest -n auto

test-all: $(VENV)/tests-installed
	SYMCONV_FULL=1 $(RUN) -m pytest -n auto

search: $(VENV)/tests-installed
	SYMCONV_SEARCH=1 $(RUN) -m pytest -n auto

lint: $(VENV)/tests-installed
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

gallery: $(VENV)/installed
	$(RUN) -m symconv generate --config generated/symconv.toml
	$(RUN) -m symconv generate --config generated/c/symconv.toml

SUITE := $(shell sed -n 's/^\[\(.*\)\]/generated\/\1.py/p' benchmarks/suite.toml)

bench: $(VENV)/bench-installed
	$(RUN) -m symconv bench $(SUITE) -o benchmarks

coverage: $(VENV)/onnx-installed
	$(RUN) -W ignore -m tests.onnx.coverage docs/onnx.md

PAGE := $(RUN) -m symconv explain

docs: $(VENV)/docs-installed
	$(PAGE) conv --input-shape 1x1x3x3 --out-channels 1 --kernel-size 2 --no-bias -o docs/gallery/article.html
	$(PAGE) conv --input-shape 1x4x9x9 --out-channels 4 --kernel-size 3 --stride 2 --padding 1:0x0:1 --groups 2 \
		-o docs/gallery/strided.html
	$(PAGE) conv --input-shape 1x1x8 --out-channels 1 --kernel-size 3 --dilation 2 -o docs/gallery/dilated.html
	$(PAGE) conv-transpose --input-shape 1x1x3x3 --out-channels 1 --kernel-size 3 --stride 2 --padding 1 \
		--output-padding 1 -o docs/gallery/transposed.html
	$(PAGE) conv --input-shape 1x1x5x5 --out-channels 1 --kernel-size 3 --padding 1 --padding-mode reflect --flip \
		-o docs/gallery/reflect.html
	$(PAGE) max-pool --input-shape 1x1x5x5 --kernel-size 3 --stride 2 -o docs/gallery/max-pool.html
	$(PAGE) activation --input-shape 2x3 --function gelu -o docs/gallery/gelu.html
	$(PAGE) batch-norm --input-shape 4x3x2x2 -o docs/gallery/batch-norm.html
	$(RUN) -m mkdocs build --strict --quiet

clean:
	rm -rf $(VENV) symconv-demo site docs/gallery

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: pyproject.toml | $(VENV)/bin/python
	$(RUN) -m pip install --quiet --editable .
	touch $@

$(VENV)/tests-installed: pyproject.toml | $(VENV)/bin/python
	$(RUN) -m pip install --quiet --editable '.[test]'
	touch $@ $(VENV)/installed

$(VENV)/docs-installed: pyproject.toml | $(VENV)/bin/python
	$(RUN) -m pip install --quiet --editable '.[docs]'
	touch $@ $(VENV)/installed

$(VENV)/onnx-installed: pyproject.toml | $(VENV)/bin/python
	$(RUN) -m pip install --quiet --editable '.[test,onnx]'
	touch $@ $(VENV)/installed

$(VENV)/bench-installed: pyproject.toml | $(VENV)/bin/python
	$(RUN) -m pip install --quiet --editable '.[bench]'
	touch $@ $(VENV)/installed
