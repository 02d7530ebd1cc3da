# make repro   the pipeline, from nothing to plots/report/report.html
# make test    the tests
# make test-numpy2  the tests with numpy 2, in .venv-numpy2; without mxnet, which does not know it
# make golden  every array that the references computed (GOLDEN=folder; without one, those kept here)
# make golden-matrix  make golden under 18 choices of vectors and threads; half an hour or more
# make bench   every speed comparison, into docs/performance.md; minutes, on a machine of its own
# make full-size  a data set of half a million records: time and memory of every step
# make faults  damaged input, kills, full disks and NaN, from five seeds; an hour on two cores
# make hosts   two hosts train one trunk, lose each other and go on; Linux, as root
# make lint    ruff

SHELL := /bin/bash
PYTHON ?= python3
GOLDEN ?= $(if $(wildcard ../shared/golden),../shared/golden,tests/golden)
VENV := .venv
VENV2 := .venv-numpy2
NUMPY2 := 2.4.6
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.PHONY: repro test golden golden-matrix bench full-size faults hosts test-numpy2 lint

repro: $(VENV)/.runtime
	@python -m stages.check.mend
	dvc repro
	@echo "Done. The report is plots/report/report.html"

test: $(VENV)/.development
	python -m pytest -n 2 --dist loadfile

test-numpy2: $(VENV2)/.development
	PATH=$(CURDIR)/$(VENV2)/bin:$$PATH python -m pytest -n 2 --dist loadfile

golden: $(VENV)/.development
	GOLDEN=$(GOLDEN) python -m pytest -vv -m golden

golden-matrix: $(VENV)/.development
	GOLDEN=$(GOLDEN) python -m tests.golden_matrix

bench: $(VENV)/.development
	python -m benchmarks --write docs/performance.md

full-size: $(VENV)/.development
	python -m benchmarks.full_size --write docs/performance.md

hosts: $(VENV)/.development
	python -m tests.hosts

faults: $(VENV)/.development
	python -m faults --seeds 0-4 -j 2 --write docs/faults.md

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

# The same pins, but for numpy, and without mxnet.
$(VENV2)/.development: requirements-dev.txt requirements.txt
	$(PYTHON) -m venv $(VENV2)
	sed -e '/^-r/d' -e '/^mxnet==/d' -e 's/^numpy==.*/numpy==$(NUMPY2)/' \
		requirements.txt requirements-dev.txt > $(VENV2)/requirements.txt
	$(VENV2)/bin/python -m pip install --disable-pip-version-check --quiet \
		-r $(VENV2)/requirements.txt
	@touch $@
