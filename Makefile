# Thin on purpose: each target sets up the environment and calls one command.
PY := .venv/bin/python
# They wait more than they compute: a core takes several. Tests of a file share processes, so each
# worker begins with whole files. What measures time has the machine to itself: tests/conftest.py.
QUICK := $(PY) -m pytest tests -q
SIDE_BY_SIDE := -m "not lab and not alone" -n $$((4 * $$(nproc))) --maxprocesses 16 --dist worksteal

# Many tests start programs of ours, and each start would compile all of them anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: certify certify-full prove test test-add-ons test-devices check static map lock clean

certify: .venv/.ready  ## Lab up, reference stack, verify, break, measure, report.
	$(PY) -m hotfire certify

certify-full: .venv/.ready  ## The same with every check and every fault: hours.
	$(PY) -m hotfire certify --scope full

prove: .venv/.ready  ## Each check on its broken twin, each fault by its sham, on the lab: hours.
	$(PY) -m hotfire prove

# The lab's parts first: with them come BIRD and nftables, without which some quick tests are skipped.
test: .venv/.ready | tests/__pycache__  ## The tests of the tool: the quick ones, then those that need the lab.
	$(PY) -m hotfire lab build
	$(QUICK) $(SIDE_BY_SIDE)
	$(QUICK) -m "alone and not lab"
	$(PY) -m pytest tests/lab -m "lab and not add_on" -v
	$(PY) -m pytest tests/topologies -m lab -v

test-add-ons: .venv/.ready  ## Those that need add-ons of the lab; the first build takes about half an hour more.
	$(PY) -m hotfire lab build --with scaling --with kueue --with llm-d-inference-sim --with llama-cpp --with kwok --with gvisor --with etcd-tools
	$(PY) -m pytest tests/lab -m add_on -v

test-devices: .venv/.ready  ## Those that fill a real NVIDIA GPU; it must be idle.
	$(PY) -m pytest tests/devices -m device -v

check: static | tests/__pycache__  ## Format, lint, types, layers, quick tests.
	$(QUICK) $(SIDE_BY_SIDE)
	$(QUICK) -m "alone and not lab"

# On a fresh checkout each worker would compile every test for itself.
tests/__pycache__: | .venv/.ready
	@$(PY) -m pytest tests -m "not lab" -q --collect-only > /dev/null

static: .venv/.ready  ## Format, lint, types, layers, and whether docs/map.md and docs/catalogue.md are fresh.
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	$(PY) docs/map.py --check
	$(PY) docs/catalogue.py --check

map: .venv/.ready  ## docs/map.md and docs/catalogue.md, written anew from the files themselves.
	$(PY) docs/map.py
	$(PY) docs/catalogue.py

# Versions and hashes only: an index address never gets into the repository.
lock: .venv/.ready
	.venv/bin/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-annotate \
		--python-version 3.11 --extra lab --group dev pyproject.toml -o requirements/dev.txt
	.venv/bin/uv pip compile -q --generate-hashes --no-emit-index-url --no-annotate \
		--python-version 3.11 --python-platform x86_64-manylinux_2_28 \
		--override requirements/engine-overrides.txt requirements/engine.in -o requirements/engine.txt

.venv/.ready: pyproject.toml src/hotfire/traffic/wire/_reader.c requirements/dev.txt requirements/bootstrap.txt
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
		|| { echo "hotfire needs Python 3.11 or newer as python3"; exit 254; }
	@echo "setting up .venv (about a minute)"
	@python3 -m venv .venv \
		|| { echo "python3 cannot make virtual environments; on Debian: apt-get install python3-venv"; exit 254; }
	@$(PY) -m pip install -q --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt
	@.venv/bin/uv pip install -q --python $(PY) --compile-bytecode --require-hashes -r requirements/dev.txt
	@.venv/bin/uv pip install -q --python $(PY) --no-deps --no-build-isolation -e .
	@touch $@

clean:
	rm -rf .venv runs build src/hotfire/traffic/wire/_reader.*.so
