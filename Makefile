# make repro   the pipeline, from nothing to plots/report/report.html
# make test    the tests
# make golden  every array that the references computed (GOLDEN=folder)
# make bench   every speed comparison
# make deps    the code that each stage depends on, written into dvc.yaml
# make lint    ruff

SHELL := /bin/bash
PYTHON ?= python3
GOLDEN ?= ../shared/golden
VENV := .venv
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.PHONY: repro test golden bench deps lint

repro: $(VENV)/.runtime
	dvc repro
	@echo "Done. The report is plots/report/report.html"

test: $(VENV)/.development
	python -m pytest -n 2 --dist loadfile

golden: $(VENV)/.development
	GOLDEN=$(GOLDEN) python -m pytest -v -m golden

bench: $(VENV)/.development
	python -m benchmarks

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
