# make run: from nothing to the table of OTReg against stock ESPnet.
# make run-transfer: the same for CTC models taught by a masked language model.
# make run-slm: the same for a speech language model, with small foundation models made first.
# make run-real: the same with real speech and real pretrained models, fetched first.
# make test: from nothing to all checks passed; make unit: without whole recipes.
# make docs: the pages of docs/ as a site, in site/; a warning is an error.
# make dist: the wheel and the sdist.
#
# PYTHON=python3.12, or a path, runs any of them with another Python, in an environment of its own
# (.venv-3.12). The newest ESPnet that a Python can have comes with it: 202511 with 3.11, 202611
# with 3.12 and 3.13 (pyproject.toml says which needs what).

DEFAULT := $(firstword $(foreach name,python3.11 python3.12 python3.13,$(if $(shell \
    $(name) -c 'print(1)' 2> /dev/null),$(name))) python3.11)
PYTHON ?= $(DEFAULT)
SAY_VERSION := -c 'import sys; print("%d.%d" % sys.version_info[:2])'
VERSION := $(shell $(PYTHON) $(SAY_VERSION))
$(if $(VERSION),,$(error expected a Python 3.11 to 3.13 that runs, got PYTHON=$(PYTHON)))
VENV := .venv$(if $(filter-out $(shell $(DEFAULT) $(SAY_VERSION)),$(VERSION)),-$(VERSION))
BIN := $(VENV)/bin
export OTREG_VENV := $(CURDIR)/$(VENV)
RECIPE ?= covost2_otreg
RESULTS ?= exp/slm
SYSTEM ?= Base+OTReg
TEST_JOBS ?= 2
TRANSFER := egs2/covost2_otreg/conf/transfer/mini

.PHONY: run run-transfer run-slm run-real test unit lint audit venv browser pictures bench docs dist clean

run: venv
	cd egs2/$(RECIPE) && ./run.sh $(ARGS)

run-transfer: venv
	cd egs2/$(RECIPE) && ./run_transfer.sh $(ARGS)

run-slm: venv
	cd egs2/$(RECIPE) && ./run_slm.sh $(ARGS)

run-real: venv
	$(BIN)/pip install -q -e '.[real]'
	cd egs2/$(RECIPE) && ./run_real.sh $(ARGS)

test: venv browser lint
	$(BIN)/python -m pytest -n $(TEST_JOBS) --dist loadscope

unit: venv
	$(BIN)/python -m pytest -n $(TEST_JOBS) --dist loadscope --ignore tests/recipes

lint: venv
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

# What is installed beside the project: licences, versions against what is asked for, advisories.
audit: venv
	$(BIN)/python tools/audit.py

# Reports are tested in a real browser; without one those tests are skipped.
browser:
	@for name in chromium chromium-browser google-chrome; do \
	    ! command -v $$name > /dev/null || exit 0; \
	done; \
	[ "$$(id -u)" = 0 ] && apt-get update -q > /dev/null && apt-get install -y -q chromium > /dev/null \
	    || echo "no Chromium: tests of the report in a browser will be skipped"

# The README's pictures, of the last run-slm; for run: RESULTS=exp SYSTEM=OTReg.
pictures: venv browser
	$(BIN)/python -m espnet_otreg.stages.screenshots egs2/$(RECIPE)/$(RESULTS)/report.html \
	    --gap egs2/$(RECIPE)/$(RESULTS)/gap --system $(SYSTEM) --output docs/pictures

bench: venv
	$(BIN)/pip install -q -e '.[bench]'
	$(BIN)/python benchmarks/ot_solver.py
	$(BIN)/python benchmarks/train_step.py
	$(BIN)/python benchmarks/train_step.py --config $(TRANSFER)/unbalanced.yaml
	$(BIN)/python benchmarks/train_step.py --config $(TRANSFER)/guided.yaml
	$(BIN)/python benchmarks/train_step.py --config $(TRANSFER)/graph_matching.yaml
	$(BIN)/python benchmarks/slm_step.py --batch_size 32 --frames 24 48 --tokens 16 32
	$(BIN)/python benchmarks/decode.py
	$(BIN)/python benchmarks/report.py
	$(BIN)/python benchmarks/scoring.py
	$(BIN)/python benchmarks/prepare.py
	$(BIN)/python benchmarks/table_reading.py

docs: venv
	$(BIN)/pip install -q -e '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

dist: venv
	rm -rf build dist
	$(BIN)/pip wheel -q --no-deps -w dist .
	$(BIN)/python -c 'from setuptools import build_meta; build_meta.build_sdist("dist")' > /dev/null

venv: $(VENV)/.installed

# pip 26.3 refuses ESPnet 202511, whose dependency ci_sdr declares a direct URL in an extra.
$(VENV)/.installed: pyproject.toml setup.py
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --upgrade 'pip$(if $(filter 3.11,$(VERSION)),<26.3)'
	$(BIN)/pip install -q -e '.[test]'
	touch $@

clean:
	rm -rf .venv .venv-3.* egs2/downloads egs2/*/data egs2/*/dump egs2/*/exp
