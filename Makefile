.DEFAULT_GOAL := help
.PHONY: help setup demo real test quick lint bench
PYTHON ?= python3
BIN := .venv/bin
# uv_build, the back end, looks for its own binary on PATH.
export PATH := $(CURDIR)/$(BIN):$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Packages are installed without bytecode (half the time); the first import writes it, unless told not to.
unexport PYTHONDONTWRITEBYTECODE
DATA := ../shared/data
REAL := $(BIN)/fadecast --home var/real

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 8

setup: .venv/ready ## make the virtual environment out of requirements.lock

.venv/ready: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Fadecast needs Python 3.11 or newer: set PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --no-compile --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	$(BIN)/python -m pipelines.warm
	touch $@

demo: setup ## simulate a fleet's logs, run a night on them, publish the pages (var/demo)
	$(BIN)/fadecast --home var/demo demo

real: setup ## a night on the real logs of ../shared/data (var/real)
	@test -d $(DATA) || { echo "make real needs the real data in $(DATA), beside the checkout; make demo needs none."; exit 2; }
	$(REAL) ingest $(DATA)/home/konstanz_house_2016_hourly.csv.gz --format konstanz_hourly
	$(REAL) ingest $(DATA)/home/nl_day_ahead_2015_2024.parquet --format day_ahead
	$(REAL) ingest $(DATA)/home/us_tmy_ambient_100_metros.parquet --format air_temperature
	$(REAL) fleet --propose $(DATA)/logs/norway_home_charging.csv --format norway_home_charging --out var/real/fleet_norway.csv
	$(REAL) fleet var/real/fleet_norway.csv
	$(REAL) fleet --propose $(DATA)/logs/bmw_i3_trips_1hz.parquet --format bmw_i3_1hz --out var/real/fleet_bmw_i3.csv
	$(REAL) fleet var/real/fleet_bmw_i3.csv
	$(REAL) ingest $(DATA)/logs/norway_home_charging.csv --format norway_home_charging
	$(REAL) ingest $(DATA)/logs/bmw_i3_trips_1hz.parquet --format bmw_i3_1hz
	$(REAL) nightly
	$(REAL) status

test: setup ## everything: lint, types, import rules, doctests, tests (slow and browser too)
	$(BIN)/python -m pytest -q -n 2 --dist loadfile

quick: setup ## the part of the tests that takes one to two minutes (types: make lint)
	$(BIN)/python -m pytest -q -n 2 --dist loadfile -m "not slow and not browser"

lint: setup ## style and types alone
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright

bench: setup ## measured ratios against peers and bare limits (QUICK=--quick for a short run)
	@for f in benchmarks/bench_*.py; do $(BIN)/python $$f $(QUICK) || exit 1; done
