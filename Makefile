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
# LOCKED=yes fills new environments for tests from requirements/, by hash, and with the newest torch; CI does.
LOCKED ?=
VENV_WHEEL ?= .venv-wheel
VENV_TOOLS ?= .venv-tools

PIP_INSTALL = bin/python -m pip install --disable-pip-version-check
# One resolution for all systems and Pythons from the lowest on, with the hash of every file.
RESOLVE = UV_PYTHON_DOWNLOADS=never $(VENV_TOOLS)/bin/uv pip compile --universal --python-version 3.10 --extra dev --extra docs \
  --generate-hashes --excludes requirements/left-out.txt --custom-compile-command 'make lock' --quiet
CACHES = build dist site *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help demo test check size docs notebooks golden bench lock dist demo-from-wheel clean distclean

help:
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 18

demo: $(VENV)/.installed ## the experiment on planted models, then in small sizes on the default model; report in out/demo
	$(VENV)/bin/python tools/demo.py out/demo

test: $(VENV)/.installed-dev $(VENV3)/.installed-dev ## the tests on TransformerLens 4, the model-facing ones also on 3.9
	@sh tests/both_lines.sh $(VENV) $(VENV3) $(PYTEST_ARGS)

check: $(VENV)/.installed-dev ## style, types, the order of imports, the documentation, and the size table
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	$(MAKE) docs
	@$(VENV)/bin/python tools/size.py

size: $(VENV)/bin/python ## files and lines by folder, beside the budgets
	@$(VENV)/bin/python tools/size.py

docs: $(VENV)/.installed-docs ## the documentation, into site/
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict

notebooks: $(VENV)/.installed-docs ## examples/*.ipynb anew, executed from examples/*.py
	$(VENV)/$(PIP_INSTALL) --quiet 'kaleido>=1.0'
	PYTHONWARNINGS=ignore HF_HUB_DISABLE_PROGRESS_BARS=1 PLOTLY_RENDERER=plotly_mimetype+png $(VENV)/bin/jupytext --to ipynb --set-kernel python3 --execute --run-path . examples/*.py

golden: $(VENV)/.installed-dev ## the golden numbers of tests/golden anew: a commit that moves one says why
	OMP_NUM_THREADS=1 $(VENV)/bin/python tests/golden_numbers.py

bench: $(VENV)/.installed-dev $(VENV3)/.installed-dev ## every script in benchmarks/
	@set -e; for script in benchmarks/*.py; do printf '\n== %s\n' "$$script"; \
	case $$script in */parity.py) $(VENV3)/bin/python "$$script";; *) $(VENV)/bin/python "$$script";; esac; done

lock: $(VENV_TOOLS)/.installed ## what CI installs, resolved anew, into requirements/
	rm -f requirements/ci.txt requirements/ci-tl3.txt
	$(RESOLVE) --output-file requirements/ci.txt pyproject.toml
	echo 'transformer-lens<4' | $(RESOLVE) --output-file requirements/ci-tl3.txt pyproject.toml -

dist: $(VENV_TOOLS)/.installed ## wheel and source distribution, compared with the tree and installed from nothing
	rm -rf build dist *.egg-info
	$(VENV_TOOLS)/bin/python -m build --outdir dist .
	$(VENV_TOOLS)/bin/python tools/packaged.py dist
	"$(PYTHON)" -m venv --clear $(VENV_WHEEL)
	$(VENV_WHEEL)/$(PIP_INSTALL) dist/*.whl
	$(VENV_WHEEL)/bin/python -m pip check
	cd / && $(abspath $(VENV_WHEEL))/bin/harmcircuits --help

demo-from-wheel: dist ## the demo from the built wheel, outside this folder; its report goes to out/demo-from-wheel
	cd / && $(abspath $(VENV_WHEEL))/bin/python $(CURDIR)/tools/demo.py $(CURDIR)/out/demo-from-wheel

clean: ## removes what tools built and cached here; results (out/) and environments stay
	rm -rf $(CACHES)
	find . -name __pycache__ -type d -not -path './.venv*' -prune -exec rm -rf {} +

distclean: clean ## removes the environments too
	rm -rf $(VENV) $(VENV3) $(VENV_WHEEL) $(VENV_TOOLS)

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml
	$(VENV)/$(PIP_INSTALL) $(EDITABLE) .
	@touch $@

$(VENV)/.installed-%: $(VENV)/bin/python pyproject.toml
	$(VENV)/$(PIP_INSTALL) $(EDITABLE) '.[$*]'
	@touch $@

ifeq ($(LOCKED),)
$(VENV3)/.installed-dev: $(VENV3)/bin/python pyproject.toml
	$(VENV3)/$(PIP_INSTALL) $(EDITABLE) '.[dev]' 'transformer-lens>=3.9,<4'
	@touch $@
else
$(VENV)/.installed-docs: $(VENV)/.installed-dev
	@touch $@
$(VENV)/.installed-dev: lock = requirements/ci.txt
$(VENV3)/.installed-dev: lock = requirements/ci-tl3.txt
$(VENV)/.installed-dev $(VENV3)/.installed-dev: %/.installed-dev: %/bin/python pyproject.toml requirements/ci.txt requirements/ci-tl3.txt
	@echo '$*/$(PIP_INSTALL) --no-deps --require-hashes --requirement $(lock)'
	@$*/$(PIP_INSTALL) --no-deps --require-hashes --requirement $(lock) || { \
	  echo "What $(lock) names cannot be had, or is another file than was locked: pip says which, above. Nothing is taken" \
	    "in its place. Find out why, and only then lock anew: make lock" >&2; exit 1; }
	$*/$(PIP_INSTALL) torch
	$*/$(PIP_INSTALL) --no-deps --no-build-isolation $(EDITABLE) .
	$*/bin/python -m pip check
	@touch $@
endif

$(VENV_TOOLS)/.installed: $(VENV_TOOLS)/bin/python
	$(VENV_TOOLS)/$(PIP_INSTALL) build uv
	@touch $@

$(addsuffix /bin/python,$(VENV) $(VENV3) $(VENV_TOOLS)):
	@"$(PYTHON)" -c '' || { \
	  echo "$(PYTHON) cannot be run. Install Python 3.10 or newer, or name one: make PYTHON=/path/to/python3" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
	  echo "$(PYTHON) is older than 3.10 ($$("$(PYTHON)" --version 2>&1)). Name another: make PYTHON=/path/to/python3" >&2; exit 1; }
	@"$(PYTHON)" -c 'import venv, ensurepip' || { \
	  echo "$(PYTHON) has no venv module. Install it (Debian and Ubuntu: apt-get install python3-venv)," \
	    "or name another: make PYTHON=/path/to/python3" >&2; exit 1; }
	"$(PYTHON)" -m venv $(@:/bin/python=)
	$(@:/bin/python=)/$(PIP_INSTALL) 'pip>=21.3'
