# make demo        from eight pictures to a driven avatar, into out/demo
# make test        the tests and the notebooks, as CI runs them
# make notebooks   JupyterLab in notebooks/
#
# The first call makes .venv and installs into it; later calls install only when pyproject.toml or constraints.txt
# have changed. Another Python: make demo PYTHON=python3.12

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
WORKSHOP := notebooks,data,train,encoders,test

.PHONY: demo test notebooks clean

demo: $(VENV)/.demo
	$(BIN)/lca-mini demo --out out/demo

test: $(VENV)/.workshop
	$(BIN)/python -m pytest -q --nbval --nbval-current-env --nbval-sanitize-with notebooks/sanitize.cfg tests notebooks

notebooks: $(VENV)/.workshop
	$(BIN)/jupyter lab --notebook-dir notebooks

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
