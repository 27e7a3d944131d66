# Thin: each target is one or two commands that can be typed by hand. `make help` lists them.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help demo test test-faults check lint bench images crds down

UV = $(shell lab/bootstrap.sh)
RUN = $(UV) run --frozen --all-packages

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST)

demo:  ## cluster, images, operator, one TradingEngine; an upgrade, a broken one and a way back under load; the table (KEEP=1 leaves the cluster up)
	$(RUN) rtx-demo run $(if $(KEEP),--keep)

test: lint  ## lint, types, contracts, unit and cluster tests, and one end-to-end test for each promise (about 20 minutes)
	@status=0; set -x; \
	$(RUN) pytest -n 3 --dist worksteal --durations=15 tests/cluster tests/unit || status=$$?; \
	$(RUN) pytest --durations=15 tests/e2e || status=$$?; \
	exit $$status

faults = tests/e2e/test_faults.py tests/e2e/test_kills.py tests/e2e/test_without_protection.py tests/faults

test-faults:  ## every fault, the whole kill table, five quiet minutes, the lab's crash tests (about 45 minutes); ends with a table
	$(RUN) pytest --durations=15 $(faults)

check: lint  ## the quick part: lint, types, import contracts, unit tests
	$(RUN) pytest -n 2 --dist worksteal tests/unit

lint:
	$(RUN) ruff format --check .
	$(RUN) ruff check .
	$(RUN) mypy
	$(RUN) lint-imports

bench:  ## the benchmarks behind the README's figures
	$(RUN) bench/lab
	$(RUN) bench/orders
	$(RUN) bench/upgrade

images:  ## build all images (nothing is built twice)
	$(RUN) lab build

crds:  ## write crds/ and docs/reference.md anew from the models
	$(RUN) rtx-operator crd --write crds
	$(RUN) rtx-operator reference > docs/reference.md

down:  ## take the local cluster down
	$(RUN) lab down
