# Each target is one or two commands that can be typed by hand. `make help` lists them.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help demo test test-faults check lint bench images crds down

UV = $(shell lab/bootstrap.sh)
RUN = $(UV) run --frozen --all-packages

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST)

demo:  ## start a local cluster and measure an upgrade, a rollback and a return under load; print a table (KEEP=1 leaves the cluster running)
	$(RUN) rtx-demo run $(if $(KEEP),--keep)

test: lint  ## run lint, type checks, import contracts, unit and cluster tests, and one end-to-end test per promise (about 25 minutes)
	@status=0; set -x; \
	$(RUN) pytest -n 3 --dist worksteal -m "not slow" --durations=15 tests/cluster tests/unit || status=$$?; \
	$(RUN) pytest -m "not slow" --durations=15 tests/e2e || status=$$?; \
	exit $$status

faults = tests/e2e/test_deletion.py tests/e2e/test_faults.py tests/e2e/test_kills.py tests/e2e/test_without_protection.py tests/faults

test-faults:  ## run every fault, the whole kill table, five idle minutes and the lab's crash tests (an hour or more); print a table
	@status=0; set -x; \
	$(RUN) pytest -m slow tests/cluster || status=$$?; \
	$(RUN) pytest --durations=15 $(faults) || status=$$?; \
	exit $$status

check: lint  ## run the quick part: lint, type checks, import contracts, unit tests
	$(RUN) pytest -n 2 --dist worksteal tests/unit

lint:
	$(RUN) ruff format --check .
	$(RUN) ruff check .
	$(RUN) mypy
	$(RUN) lint-imports
	$(RUN) squawk engine/rtx_engine/store/migrations/*.sql

bench:  ## run the benchmarks behind the README's figures
	$(RUN) bench/lab
	$(RUN) bench/orders
	$(RUN) bench/upgrade

images:  ## build all images; unchanged ones are skipped
	$(RUN) lab build

crds:  ## generate crds/ and docs/reference.md from the models
	$(RUN) rtx-operator crd --write crds
	$(RUN) rtx-operator reference > docs/reference.md

down:  ## stop the local cluster
	$(RUN) lab down
