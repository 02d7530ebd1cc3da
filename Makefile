# make repro   the pipeline, from nothing to plots/report/report.html
# make test    the tests
# make golden  every array that the references computed (GOLDEN=folder)
# make bench   every speed comparison, into docs/performance.md; minutes, on a machine of its own
# make full-size  a data set of half a million records: time and memory of every step
# make deps    the code that each stage depends on, written into dvc.yaml
# make lint    ruff

SHELL := /bin/bash
PYTHON ?= python3
GOLDEN ?= ../shared/golden
VENV := .venv
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.PHONY: repro test golden bench full-size deps lint

repro: $(VENV)/.runtime
	dvc repro
	@echo "Done. The report is plots/report/report.html"

test: $(VENV)/.development
	python -m pytest -n 2 --dist loadfile

golden: $(VENV)/.development
	GOLDEN=$(GOLDEN) python -m pytest -v -m golden

bench: $(VENV)/.development
	python -m benchmarks --write docs/performance.md

full-size: $(VENV)/.development
	python -m benchmarks.full_size --write docs/performance.md

deps: $(VENV)/.development
	python -m tests.deps

lint: $(VENV)/.development
	ruff check .
	ruff format --check .

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: requirements.txt | $(VENV)/bin/python
	python -m pip install --disable-pip-version-check --quiet -r requirements.txt
	@touch $@

$(VENV)/.development: requirements-dev.txt requirements.txt | $(VENV)/bin/python
	python -m pip install --disable-pip-version-check --quiet -r requirements-dev.txt
	@touch $@ $(VENV)/.runtime
