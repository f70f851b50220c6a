# All set-up from nothing, with GNU make, Python 3.10 or newer and a network to PyPI. `make` lists what can be made.
#
#   make PYTHON=python3.12              another interpreter for new environments
#   make test PYTEST_ARGS="-k store"    some of the tests (VENV= and VENV3= move the environments)

PYTHON ?= python3
VENV ?= .venv
VENV3 ?= .venv-tl3
PYTEST_ARGS ?=
# EDITABLE= installs a copy of the package, as users get it, instead of this folder itself.
EDITABLE ?= --editable

PIP_INSTALL = bin/python -m pip install --disable-pip-version-check
CACHES = build dist site *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help demo test check docs bench fuzz clean distclean

help:
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

demo: $(VENV)/.installed ## the main job in small sizes on the default model; its report goes to out/demo
	$(VENV)/bin/harmcircuits dissociate --quick --out out/demo

test: $(VENV)/.installed-dev $(VENV3)/.installed-dev ## the tests on TransformerLens 4, the model-facing ones also on 3.9
	@sh tests/both_lines.sh $(VENV) $(VENV3) $(PYTEST_ARGS)

check: $(VENV)/.installed-dev ## style, types and the order of imports
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

docs: $(VENV)/.installed-docs ## the documentation, into site/
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict

bench: $(VENV)/.installed-dev ## every script in benchmarks/
	@set -e; for script in benchmarks/*.py; do printf '\n== %s\n' "$$script"; $(VENV)/bin/python "$$script"; done

fuzz: $(VENV)/.installed-dev ## a hundred thousand broken files for every reader and page
	$(VENV)/bin/python tools/fuzz.py --blind --inputs 100000

clean: ## removes what tools built and cached here; results (out/) and environments stay
	rm -rf $(CACHES)
	find . -name __pycache__ -type d -not -path './.venv*' -prune -exec rm -rf {} +

distclean: clean ## removes the environments too
	rm -rf $(VENV) $(VENV3)

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml
	$(VENV)/$(PIP_INSTALL) $(EDITABLE) .
	@touch $@

$(VENV)/.installed-%: $(VENV)/bin/python pyproject.toml
	$(VENV)/$(PIP_INSTALL) $(EDITABLE) '.[$*]'
	@touch $@

$(VENV3)/.installed-dev: $(VENV3)/bin/python pyproject.toml
	$(VENV3)/$(PIP_INSTALL) $(EDITABLE) '.[dev]' 'transformer-lens>=3.9,<4'
	@touch $@

$(VENV)/bin/python $(VENV3)/bin/python:
	@"$(PYTHON)" -c '' || { \
	  echo "$(PYTHON) cannot be run. Install Python 3.10 or newer, or name one: make PYTHON=/path/to/python3" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
	  echo "$(PYTHON) is older than 3.10 ($$("$(PYTHON)" --version 2>&1)). Name another: make PYTHON=/path/to/python3" >&2; exit 1; }
	@"$(PYTHON)" -c 'import venv, ensurepip' || { \
	  echo "$(PYTHON) has no venv module. Install it (Debian and Ubuntu: apt-get install python3-venv)," \
	    "or name another: make PYTHON=/path/to/python3" >&2; exit 1; }
	"$(PYTHON)" -m venv $(@:/bin/python=)
	$(@:/bin/python=)/$(PIP_INSTALL) 'pip>=21.3'
