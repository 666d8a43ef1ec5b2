# All that is made lies in .venv/ (make clean removes it). Needs Python 3.12 or newer and nothing else.
#
#   make          install the program as .venv/bin/bayeslaw
#   make demo     install it and run its demonstration
#   make test     install the test tools too and run the fast tests
#   make lint     ruff and mypy
#   make bench    measure the speed side by side and write docs/benchmarks.md (about 25 minutes, on a quiet machine)
#   make calibrate  simulate, refit, and count how often intervals hold the truth: docs/calibration.md
#   make studies  fit the laws to real and simulated runs: docs/studies (hours; make studies STUDIES=schedules for one)
#   make report   run the demonstration and write its report to docs/reports/tinycpt.md, and the page of docs/index.md
#   make docs     build the pages of docs/ as a site in docs/_build
#   make clean    remove everything that make and the tools made
#
# PYTHON=/path/to/python3.13 chooses the interpreter of a new .venv.

PYTHON ?=
SEARCH := python3.13 python3.12 python3.14 python3 python
BIN    := .venv/bin
PIP    := -m pip --disable-pip-version-check --no-input -qq

install: .venv/.installed

demo: .venv/.installed
	@$(BIN)/bayeslaw demo

test: .venv/.installed-test
	@$(BIN)/python -m pytest -q -n auto --dist loadfile

calibrate: .venv/.installed-test
	@$(BIN)/python -m tests.calibration

STUDIES = $(filter-out page test_%,$(basename $(notdir $(wildcard tests/studies/*.py))))
studies: .venv/.installed-test
	@for study in $(STUDIES); do $(BIN)/python -m tests.studies.$$study || exit 1; done

lint: .venv/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m mypy bayeslaw tests

report: .venv/.installed
	@$(BIN)/bayeslaw demo -o build/demo
	@$(BIN)/bayeslaw report build/demo/fit.nc -o docs/reports/tinycpt.md
	@$(BIN)/bayeslaw explore build/demo/fit.nc -o docs/_static/tinycpt.html --title "How much Python for four tiny models?" --draws 85

docs: .venv/.installed-docs
	@$(BIN)/python -m sphinx -q -W --keep-going docs docs/_build

bench: .venv/.installed-test
	@$(BIN)/python -m tests.benchmarks $(BENCH)

clean:
	@rm -rf .venv build dist docs/_build docs/jupyter_execute $(filter-out docs/laws/index.md,$(wildcard docs/laws/*.md)) \
	  bayeslaw.egg-info bayeslaw-demo .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find . -type d -name __pycache__ -prune -exec rm -rf {} +

.venv/.installed: pyproject.toml constraints.txt
	@$(find-or-make-venv)
	@echo "Installing bayeslaw into .venv (the first time: a download of about 240 MB, a minute or two) ..."
	@$(pip-install)
	@touch $@

.venv/.installed-test: EXTRAS = [data,test]
.venv/.installed-test: pyproject.toml constraints.txt
	@$(find-or-make-venv)
	@echo "Installing bayeslaw and its test tools into .venv (the first time: a download of about 270 MB, a minute or two) ..."
	@$(pip-install)
	@touch .venv/.installed $@

.venv/.installed-docs: EXTRAS = [docs]
.venv/.installed-docs: pyproject.toml constraints.txt
	@$(find-or-make-venv)
	@echo "Installing bayeslaw and Sphinx into .venv ..."
	@$(pip-install)
	@touch .venv/.installed $@

# An installation that fails is undone by pip, one that is killed is not: then the next make starts with a new .venv.
pip-install = touch .venv/.installing; $(BIN)/python $(PIP) install --only-binary :all: -c constraints.txt -e '.$(EXTRAS)'; \
  status=$$?; rm .venv/.installing; exit $$status

# A name on the PATH proves nothing (version managers leave names that do not run; Debian's python3 may lack venv), so
# each candidate is run.
define find-or-make-venv
if [ ! -e .venv/.installing ] && $(BIN)/python $(PIP) --version >/dev/null 2>&1; then exit 0; fi; \
if [ -n '$(PYTHON)' ]; then set -- '$(PYTHON)'; else set -- $(SEARCH); fi; \
for python; do \
  if version=$$("$$python" -c 'import sys, ensurepip, venv; assert sys.version_info >= (3, 12); print(sys.version.split()[0])' 2>/dev/null); then \
    echo "Making .venv with $$python (Python $$version) ..."; \
    "$$python" -m venv --clear .venv; exit; \
  fi; \
done; \
echo "No Python 3.12 or newer with venv and pip among: $$*. Install one (on Debian and Ubuntu with its -venv package) or name it: make PYTHON=/path/to/python3.13" >&2; \
exit 1
endef

# Resolve everything anew, and record it. Run it with .venv on the Python that .python-version names.
constraints: .venv/.installed
	@$(BIN)/python -m venv --clear build/constraints
	@build/constraints/bin/python $(PIP) install --only-binary :all: -e '.[data,docs,test]'
	@build/constraints/bin/python $(PIP) freeze --exclude-editable >build/constraints.txt
	@mv build/constraints.txt constraints.txt
	@rm -rf build/constraints

.PHONY: install demo test bench calibrate studies lint report docs clean constraints
.NOTPARALLEL:
