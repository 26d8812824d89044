# make demo        from eight pictures to a driven avatar, into out/demo
# make test        the tests and the notebooks, as CI runs them
# make test-widgets7   the panel's tests with ipywidgets 7.7.1, which Colab has
# make notebooks   JupyterLab in notebooks/
# make results     the tables of README.md, from results/*.json
# make badges      "Open in Colab" in the notebooks, from the address in pyproject.toml
# make notebooks-run   every notebook from top to bottom, outputs stored; with ONLY=09_results that one alone
#
# The first call makes .venv and installs into it; later calls install only when pyproject.toml or constraints.txt
# have changed. Another Python: make demo PYTHON=python3.12

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
WORKSHOP := notebooks,data,train,encoders,test

# threads that wait must not spin: on shared cores that cost a test 56 s instead of 7
CALM := OMP_WAIT_POLICY=PASSIVE GOMP_SPINCOUNT=0
ONLY ?= *

.PHONY: demo test test-widgets7 notebooks results notebooks-run badges clean

demo: $(VENV)/.demo
	$(BIN)/lca-mini demo --out out/demo

test: $(VENV)/.workshop
	$(CALM) $(BIN)/python -m pytest -q --nbval --nbval-current-env --nbval-sanitize-with notebooks/sanitize.cfg tests notebooks

test-widgets7: $(VENV)/.workshop
	$(PIP) install --upgrade --target $(VENV)/widgets7 --no-deps ipywidgets==7.7.1 ipython_genutils
	PYTHONPATH=$(VENV)/widgets7:$(PYTHONPATH) $(BIN)/python -c 'import ipywidgets as w; assert w.__version__ == "7.7.1", w.__file__'
	PYTHONPATH=$(VENV)/widgets7:$(PYTHONPATH) $(CALM) $(BIN)/python -m pytest -q tests/test_control_panel.py tests/test_control_session.py

notebooks: $(VENV)/.workshop
	$(BIN)/jupyter lab --notebook-dir notebooks

results:
	$(PYTHON) tests/readme_table.py

notebooks-run: $(VENV)/.workshop
	@cd notebooks && for notebook in $(ONLY).ipynb; do echo "running $$notebook"; \
	  $(CALM) JUPYTER_PREFER_ENV_PATH=1 $(abspath $(BIN))/python -m nbconvert --log-level WARN --to notebook --execute \
	    --inplace "$$notebook" || exit 1; \
	done

badges:
	$(PYTHON) tests/badges.py

clean:
	rm -rf $(VENV)

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] < (3, 14))' || \
	  { echo "lca_mini needs Python 3.10 to 3.13: name one, as in make demo PYTHON=python3.12" >&2; exit 1; }
	@echo "making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "Python's venv module is missing: on Debian and Ubuntu, apt install python3-venv" >&2; exit 1; }
	@touch $@

$(VENV)/.demo: pyproject.toml constraints.txt | $(VENV)/.python
	@echo "installing lca_mini into $(VENV): once, some minutes, mostly torch"
	@$(PIP) install --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.workshop: pyproject.toml constraints.txt | $(VENV)/.python
	@echo "installing lca_mini and what tests and notebooks need into $(VENV): once, some minutes, mostly torch"
	@$(PIP) install --constraint constraints.txt --editable ".[$(WORKSHOP)]"
	@touch $@ $(VENV)/.demo
