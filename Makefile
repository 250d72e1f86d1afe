# Entry points. Everything a target needs it installs itself; see README.md.
SHELL := /bin/bash
PY := .venv/bin/python
CLUSTER_TOOL := $(PY) -m hack.cluster

.PHONY: help venv check lint unit test faults campaign property-campaign demo demo-clean cluster-up cluster-down lock crds clean bench-controller bench-runtime bench-drift bench-rollback

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | expand -t 16

venv: .venv/.stamp
.venv/.stamp: requirements/dev.txt requirements/bootstrap.txt pyproject.toml
	@hack/venv.sh

check: venv lint unit  ## lint, types, unit and property tests, CRDs up to date

lint: venv
	@.venv/bin/ruff check --quiet . && .venv/bin/ruff format --check --quiet .
	@.venv/bin/mypy --no-error-summary && .venv/bin/mypy --no-error-summary hack operator/main.py
	@.venv/bin/lint-imports --no-logo 2>&1 | tail -n 1
	@$(PY) -m penstock.api.crdgen --check

unit: venv
	@.venv/bin/pytest -q -n 2 --no-loadscope-reorder tests/unit tests/property

test: venv  ## every test layer with a sample of the fault campaign, from nothing
	@hack/test.sh

faults: venv  ## faults of all kinds: sampled crashes, API faults, seeded bugs, replicas, clocks, restored etcd (some 15 minutes)
	@.venv/bin/pytest tests/faults

campaign: venv  ## every crash point of the fault campaign (some 10 minutes), zero violations or it fails
	@$(PY) -m tests.faults.campaign

property-campaign: venv  ## 100,000 random sequences against the state machine, then every planted slip (some 30 minutes)
	@$(PY) -m tests.property.lifecycle_walks
	@$(PY) -m tests.property.seeded_lifecycle

demo: venv  ## a real cluster, the operator, a model trained on real flights, predictions through Envoy
	@$(PY) -m hack.demo

demo-clean: venv  ## removes what the demo put into the cluster
	@$(PY) -m hack.demo --clean

cluster-up: venv  ## starts the local cluster (or checks the one named by CLUSTER=existing)
	@$(CLUSTER_TOOL) up

cluster-down: venv  ## stops it: no process, mount or network device is left
	@$(CLUSTER_TOOL) down

bench-controller: venv  ## the operator against a bare client on the same API server; ends with a line of JSON
	@$(PY) -m bench.controller

bench-runtime: venv  ## the model server beside MLServer and KServe's; ends with a line of JSON
	@$(PY) -m bench.runtime

bench-drift: venv  ## validation, profiles and drift beside raw Polars, scipy and evidently; ends with a line of JSON
	@$(PY) -m bench.drift

bench-rollback: venv  ## false rollbacks and time to a rollback, by simulation and on a cluster (QUICK=1: few runs; CLUSTER=off)
	@OMP_NUM_THREADS=1 $(PY) -m bench.rollback

crds: venv  ## writes crds/ and the chart's copies from the pydantic types
	@$(PY) -m penstock.api.crdgen

lock: venv  ## re-resolves the hash-pinned requirements
	@hack/lock.sh

clean:  ## removes the virtual environment (the tool cache stays in ~/.cache/penstock)
	@rm -rf .venv
