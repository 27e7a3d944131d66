# Thin: each target is one or two commands that can be typed by hand. `make help` lists them.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help demo test check lint bench images crds down

UV = $(shell lab/bootstrap.sh)
RUN = $(UV) run --frozen --all-packages

help:  ## this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST)

demo:  ## cluster, images, operator, one TradingEngine; an upgrade, a broken one and a way back under load; the table (KEEP=1 leaves the cluster up)
	$(RUN) rtx-demo run $(if $(KEEP),--keep)

test: lint  ## everything: lint, types, contracts, then unit, cluster and end-to-end tests in one pytest run
	$(RUN) pytest tests/unit tests/cluster tests/e2e

check: lint  ## the quick part: lint, types, import contracts, unit tests
	$(RUN) pytest tests/unit

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
