# Two commands: `make demo` runs the main job on a real workload, `make test` runs the tests.
VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.kfoot-ready

.PHONY: setup demo test bench lint clean

setup: $(STAMP)

$(STAMP): pyproject.toml setup.py
	python3 -m venv $(VENV)
	$(PY) -m pip install --quiet --upgrade pip
	$(PY) -m pip install --quiet -e '.[dev,sql]'
	touch $@

test: setup
	$(PY) -m pytest -q -n auto $(if $(FAST),-m "not slow") $(ARGS)

lint: setup
	$(VENV)/bin/ruff check src tests
	$(VENV)/bin/ruff format --check src tests
	$(VENV)/bin/mypy

clean:
	rm -rf $(VENV) build dist src/*.egg-info
