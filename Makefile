# Two commands: `make demo` runs the main job on a real workload, `make test` runs the tests.
# Both set up what they need in .venv, and as root install missing Debian packages.
VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.kfoot-ready
NATIVE := $(wildcard src/kfoot/native/*.[ch])

.PHONY: setup test-packages bench-packages demo test bench lint bpf clean

setup: $(STAMP)

$(STAMP): pyproject.toml setup.py $(NATIVE)
	sh scripts/packages.sh run
	python3 -m venv $(VENV) || { echo "python3 -m venv failed: apt-get install python3-venv" >&2; exit 1; }
	$(PY) -m pip install --quiet --disable-pip-version-check -e '.[dev,sql]'
	touch $@

test-packages:
	sh scripts/packages.sh test

bench-packages:
	sh scripts/packages.sh bench

demo: setup
	$(PY) examples/openaps/demo.py --out demo

test: test-packages setup
	$(PY) -m pytest -q -n auto --dist loadfile $(if $(FAST),-m "not slow") $(ARGS)

# What is timed must not compile itself: an installed kfoot has its bytecode.
bench: bench-packages setup
	$(PY) -m compileall -q src/kfoot
	$(PY) benchmarks/run.py

lint: setup
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

# The BPF objects shipped in the package; needs clang 14 or later and libbpf-dev.
bpf:
	python3 scripts/build_bpf.py

clean:
	rm -rf $(VENV) build dist demo .build src/*.egg-info
