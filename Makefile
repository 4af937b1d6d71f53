# The environment is built in .venv from requirements-dev.lock, which has what requirements.lock has and the tools;
# nothing has to be installed before.

# The first Python on the PATH that runs and is new enough.
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
ENV := .venv/bin
ENV_READY := .venv/.ready

.DEFAULT_GOAL := help
.PHONY: help serve test bench bench-growth bench-micro bench-profile bench-soak mutants generate release check lint lock sbom clean

help: ## show this
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

serve: $(ENV_READY) ## start the whole product in development mode
	@exec $(ENV)/sale-service serve --dev $(ARGS)

test: $(ENV_READY) ## run the tests; ARGS="-m long" runs those that take minutes
	$(ENV)/python -m pytest --numprocesses auto --dist worksteal $(ARGS)

bench: $(ENV_READY) needs-wrk ## measure the server and its rivals side by side; ARGS="--rounds 1 --seconds 1" for a short look
	@$(ENV)/python -m tests.bench $(ARGS)

bench-growth: $(ENV_READY) needs-wrk ## measure with more and more sales stored; ARGS="--counts 1000 10000 --rounds 1" for a short look
	@$(ENV)/python -m tests.bench.growth $(ARGS)

bench-micro: $(ENV_READY) ## measure the parts of a request; ARGS=--postgresql for its store too
	@$(ENV)/python -m tests.bench.micro $(ARGS)

bench-profile: $(ENV_READY) needs-wrk ## draw flame graphs of a server under load into var/bench; ARGS='--only "two processes"' for another one
	@$(ENV)/python -m tests.bench.flames $(ARGS)

bench-soak: $(ENV_READY) needs-wrk ## measure memory, descriptors and log over a million requests, and a start; ARGS="--minutes 60 --share 0.7" for an hour at 70%
	@$(ENV)/python -m tests.bench.soak $(ARGS)

mutants: $(ENV_READY) ## change the code in a thousand places, and see that a test fails for each; ARGS="'service.signing*'" for one module
	@$(ENV)/mutmut run $(ARGS)
	@$(ENV)/mutmut results

# Programs that tests and benchmarks run, by the packages that bring them where those have other names.
PROGRAM_node := npm
PACKAGES_node := nodejs npm
PROGRAM_systemd := systemd-analyze
PACKAGES_chromium := chromium fonts-dejavu-core

needs-%:
	@command -v $(or $(PROGRAM_$*),$*) >/dev/null || { sudo=$$(command -v sudo || true) && echo "Installing $* ..." && \
		$$sudo apt-get -qq update && $$sudo apt-get -qq install -y --no-install-recommends $(or $(PACKAGES_$*),$*); }

# Taken out of its package, which would start a Prometheus.
needs-promtool:
	@command -v promtool >/dev/null || { sudo=$$(command -v sudo || true) && echo "Installing promtool ..." && \
		$$sudo apt-get -qq update && cd $$(mktemp -d) && apt-get -qq download prometheus && \
		dpkg-deb --extract prometheus_*.deb . && $$sudo install usr/bin/promtool /usr/local/bin/; }

generate: $(ENV_READY) ## rewrite generated/ from the proto
	$(ENV)/python proto/generate.py

lint: $(ENV_READY) ## format, lint, types, import rules, proto, whether it breaks clients of the last release, and whether generated/ is up to date
	$(ENV)/ruff format --check .
	$(ENV)/ruff check .
	$(ENV)/mypy
	$(ENV)/lint-imports
	$(ENV)/buf format --diff --exit-code proto
	image=$$(mktemp --suffix=.binpb) && trap 'rm -f '$$image EXIT \
		&& $(ENV)/python proto/generate.py --image $$image && $(ENV)/buf lint $$image --config buf.yaml \
		&& $(ENV)/buf breaking $$image --against proto/released.binpb --config buf.yaml
	$(ENV)/python proto/generate.py --check

release: $(ENV_READY) ## keep the proto as it is for what clients have: from here on `make lint` refuses what would break them
	image=$$(mktemp --suffix=.binpb) && trap 'rm -f '$$image EXIT && $(ENV)/python proto/generate.py --image $$image \
		&& $(ENV)/buf build $$image --exclude-source-info --output proto/released.binpb

check: lint test ## everything that has to be green

COMPILE := $(ENV)/uv pip compile --quiet --universal --generate-hashes --no-header --python-version 3.11 --upgrade pyproject.toml

lock: $(ENV_READY) ## resolve the dependencies anew: requirements.lock for a server, requirements-otel.lock with traces, requirements-dev.lock with the tools
	$(COMPILE) --output-file requirements.lock
	$(COMPILE) --extra otel --constraint requirements.lock --output-file requirements-otel.lock
	$(COMPILE) --group dev --extra otel --constraint requirements.lock --output-file requirements-dev.lock

sbom: $(ENV_READY) ## write the software bill of materials of a server, CycloneDX, from requirements.lock into var/sbom.json
	@mkdir -p var
	$(ENV)/cyclonedx-py requirements requirements.lock --pyproject pyproject.toml --mc-type application \
		--output-reproducible --output-format JSON --output-file var/sbom.json

clean: ## remove the environment, the development data and what was measured
	rm -rf .venv var/dev.db* var/bench var/sbom.json

# Debian and Ubuntu split venv off python3; where that part is missing, their package manager brings it.
$(ENV_READY): requirements-dev.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; set PYTHON=/path/to/python3" >&2; exit 1; }
	@echo "Building the environment in .venv, once: a minute or two ..." >&2
	@$(PYTHON) -m venv --clear .venv >/dev/null 2>&1 || { \
		version=$$($(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])') && sudo=$$(command -v sudo || true) && \
		echo "Installing python$$version-venv ..." && $$sudo apt-get -qq update && \
		$$sudo apt-get -qq install -y python$$version-venv && $(PYTHON) -m venv --clear .venv; }
	$(ENV)/pip install --quiet --disable-pip-version-check --require-hashes --no-deps --no-compile --requirement requirements-dev.lock
	$(ENV)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@
