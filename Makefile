# Two commands matter: `make demo` and `make test`. The README has them as plain lines for Windows.
PYTHON ?= python3
BIN = .venv/bin
DEMO_BIN = .venv-demo/bin

.PHONY: demo test check demo-bundle kit

demo: .venv-demo/installed
	$(DEMO_BIN)/vexas-edge demo -o demo-results

test: .venv/installed
	$(BIN)/python -m pytest

check: .venv/installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy examples/lymphocytosis

# One fixed day as the date of writing, so that a rebuild gives the same bundle.
demo-bundle: .venv/installed
	SOURCE_DATE_EPOCH=1767225600 $(BIN)/vexas-workshop train demo-bundle

# A folder for PCs without network or admin rights, with BUNDLE, in KIT.
BUNDLE ?= vexas_edge/demo/demo.vxb
KIT ?= vexas-edge-kit
kit: .venv/installed
	$(BIN)/vexas-workshop kit --bundle $(BUNDLE) -o $(KIT)

.venv-demo/installed: setup.cfg constraints.txt $(wildcard vexas_edge/* vexas_edge/*/* vexas_edge/*/*/*)
	$(PYTHON) -m venv .venv-demo
	$(DEMO_BIN)/python -m pip install -q -c constraints.txt .
	touch $@

.venv/installed: setup.cfg constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q -c constraints.txt -e ".[test,check]"
	touch $@
