# One command from clone to green. Needs Python 3.11 or newer and make; everything else comes from requirements.lock.
# make test ARGS="tests/unit -k triage" and the like: ARGS goes to the program behind the target.

SHELL  := /bin/bash
PY     := .venv/bin/python
STAMP  := .venv/.installed
PEERS  := .venv/.bench
LINTER := .venv/.hadolint
CODE   := contracts services projections infra sdk
# the second queue of tests that need servers to themselves
SECOND := tests/chaos
# the unit tests that alone must cover the pure core, and what of the code that is
CORE   := tests/unit/contracts $(filter-out %/cli %/gateway %/__pycache__,$(wildcard tests/unit/services/*))
GATE   := contracts/*,contracts/**/*,services/*/domain.py,services/*/policies.py,services/*/handlers.py,services/*/handlers/*
ARGS   ?=
KEEP   ?=
export PIP_DISABLE_PIP_VERSION_CHECK = 1
export PIP_NO_INPUT = 1

.DEFAULT_GOAL := help
.PHONY: help setup tools demo test check format bench chaos screenshots schemas dashboards pictures lock clean

help:            ## this list
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 18

setup: $(STAMP)  ## .venv with the locked packages and the command .venv/bin/agentmesh

$(STAMP): requirements.lock pyproject.toml
	@$(PY) -c '' 2>/dev/null || { for p in python3.11 python3.12 python3.13 python3.14 python3; do \
	   "$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && break; p=; done; \
	 test -n "$$p" || { echo "make setup: no Python 3.11 or newer on the PATH; install one and try again" >&2; exit 1; }; \
	 echo "setup: .venv from $$("$$p" --version)"; rm -rf .venv; "$$p" -m venv .venv || \
	 { echo "make setup: $$p has no venv module; on Debian and Ubuntu it is the package python3-venv" >&2; exit 1; }; }
	@echo "setup: installing requirements.lock (hashes checked; the first time takes a minute or two)"
	@$(PY) -m pip install -q --require-hashes -r requirements.lock
	@$(PY) -m pip install -q --no-deps --no-build-isolation --config-settings editable_mode=compat -e .
	@touch $@

# Never fails: what cannot be installed is said, and the tests that need it are skipped aloud.
TOOLS := prometheus prometheus-alertmanager chromium
tools:           ## Debian packages for the tests of metrics, alerts and the console; only what is missing
	@missing=; for p in $(TOOLS); do command -v $$p >/dev/null || missing="$$missing $$p"; done; \
	 test -n "$$missing" || { echo "tools: $(TOOLS) are here"; exit 0; }; \
	 as=; test "$$(id -u)" = 0 || as="sudo -n"; install="apt-get install -y --no-install-recommends$$missing"; \
	 if command -v apt-get >/dev/null && $$as true 2>/dev/null; then echo "tools: $$install"; export DEBIAN_FRONTEND=noninteractive; \
	   $$as apt-get update -qq && $$as $$install -qq >/dev/null || echo "tools: did not succeed; the tests that need$$missing are skipped"; \
	 else echo "tools: missing:$$missing; with apt, as root: $$install"; fi

$(LINTER): infra/docker/requirements-lint.lock $(STAMP)
	@$(PY) -m pip install -q --require-hashes --only-binary :all: -r $< && touch $@ || echo "setup: no hadolint; the Dockerfile is not linted"

$(PEERS): requirements-bench.lock $(STAMP)
	@echo "setup: installing requirements-bench.lock, the peers of the benchmark"
	@$(PY) -m pip install -q --require-hashes -r requirements-bench.lock
	@touch $@

demo: setup      ## the whole fleet on local servers, with the main job shown; KEEP=1 leaves it running
	.venv/bin/agentmesh demo $(if $(filter-out 0,$(KEEP)),--keep) $(ARGS)

# First the unit tests of the pure core, which alone must cover it. Then the tests that wait for servers most of their time, several side by
# side, and the other unit tests. Those that measure time, kill servers or start whole fleets run afterwards, in two queues of about the
# same length: what kills servers (its own), and the rest. A selection (ARGS) runs one at a time.
# Coverage of everything, also of worker processes: .venv/bin/agentmesh dev test. It doubles what a test costs, so it is not measured here.
test: setup $(LINTER) check  ## every check and test this machine can run, and the coverage of the pure core; says what it skipped and why
	@rm -f .coverage .coverage.* .second.log
	@status=0; run() { $(PY) -m pytest "$$@" || status=$$?; }; \
	 $(if $(ARGS),run $(ARGS);,\
	   echo "unit tests of the pure core"; $(PY) -m coverage run -m pytest -n 2 --dist loadfile -m "not alone" $(CORE) || status=$$?; \
	   $(PY) -m coverage combine -q || status=1; echo "coverage gate: 98 % of contracts, domain, policies and handlers, by these alone"; \
	   $(PY) -m coverage report --include='$(GATE)' --fail-under=98 || status=1; \
	   echo "tests that run side by side"; run -m "not alone" -n 3 --dist loadfile --no-loadscope-reorder $(addprefix --ignore ,$(CORE)); \
	   echo "tests that need servers to themselves, in two queues; the second queue is shown at the end"; \
	   $(PY) -m pytest -m alone $(SECOND) >.second.log 2>&1 & second=$$!; trap "kill $$second 2>/dev/null" EXIT; \
	   run -m alone $(addprefix --ignore ,$(SECOND)); wait $$second || status=$$?; cat .second.log; rm -f .second.log;) exit $$status

check: setup     ## format, lint, types, security
	@$(PY) -m mypy & types=$$!; trap "kill $$types 2>/dev/null" EXIT; status=0; \
	 $(PY) -m ruff format --check $(CODE) tests || status=1; \
	 $(PY) -m ruff check $(CODE) tests || status=1; \
	 $(PY) -m bandit -q -c pyproject.toml -r $(CODE) || status=1; \
	 wait $$types || status=1; exit $$status

format: setup    ## format and mend what can be mended by itself
	$(PY) -m ruff check --fix-only $(CODE) tests
	$(PY) -m ruff format $(CODE) tests

bench: setup $(PEERS)  ## ratios against the raw pipeline, Celery and DBOS, in one run; ARGS="workflow" for one part
	$(PY) -m tests.benchmarks $(ARGS)

chaos: setup     ## kill, pause and cut real processes; ARGS="--rounds 20" and the like
	$(PY) -m pytest -m chaos -ra tests/chaos $(ARGS)

screenshots: setup  ## the console's pictures in docs/images, from the mesh of its browser test (needs Chromium)
	AGENTMESH_SCREENSHOTS=docs/images $(PY) -m pytest -q tests/integration/gateway/test_console_browser.py $(ARGS)

schemas: setup   ## write the JSON Schemas and the AsyncAPI document from the code
	$(PY) -m infra.asyncapi $(ARGS)

dashboards: setup  ## write the dashboards of Grafana from their code
	$(PY) -m infra.grafana

pictures: setup $(PEERS)  ## draw the dashboards as a fleet under some minutes of load fills them; needs Prometheus
	AGENTMESH_CHAOS=long AGENTMESH_PANEL_RESULTS=.panels.json $(PY) -m pytest -q tests/integration/dashboards
	$(PY) -m tests.panel_pictures .panels.json docs/images

LOCK := $(PY) -m uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-emit-find-links --python-version 3.11
lock: setup      ## the lock files from pyproject.toml; ARGS="--upgrade" takes newer versions
	UV_CUSTOM_COMPILE_COMMAND="make lock" $(LOCK) --extra local --extra dev pyproject.toml -o requirements.lock $(ARGS)
	UV_CUSTOM_COMPILE_COMMAND="make lock" $(LOCK) -c requirements.lock pyproject.toml -o requirements-runtime.lock
	UV_CUSTOM_COMPILE_COMMAND="make lock" $(LOCK) -c requirements.lock --extra local --extra dev --extra bench pyproject.toml -o requirements-bench.lock
	for part in build lint; do UV_CUSTOM_COMPILE_COMMAND="make lock" $(LOCK) -c requirements.lock infra/docker/requirements-$$part.in \
	  -o infra/docker/requirements-$$part.lock || exit 1; done

clean:           ## remove the virtual environment, caches and reports (not a running stack: agentmesh down)
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis htmlcov build *.egg-info .coverage .coverage.*
	find $(CODE) tests -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
