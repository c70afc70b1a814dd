# make demo | make test | make docs: each sets everything up from nothing in .venv; a second call installs nothing.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed

.PHONY: demo test docs gallery timm-tests lint tables gpu clean

demo: $(STAMP)
	$(PY) examples/demo.py

test: lint docs
	$(PY) -m pytest -n 2

docs: $(STAMP)
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --quiet --strict --site-dir build/site

timm-tests: $(STAMP)
	$(PY) tests/contracts/timm_suite.py $(ARGS)

lint: $(STAMP)
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy --strict daas

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "daas needs Python 3.11 or newer; found " + sys.version.split()[0] + ". Name another one: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --upgrade pip
	$(PY) -m pip install --constraint constraints.txt --editable '.[dev]'
	touch $(STAMP)

gallery: $(STAMP)
	$(PY) -m examples.gallery

tables: $(STAMP)
	$(PY) -m benchmarks.tables.make --page docs/results.md

gpu: $(STAMP)
	$(PY) -m benchmarks.gpu $(ARGS)

clean:
	rm -rf $(VENV) build dist *.egg-info
