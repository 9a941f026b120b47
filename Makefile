# demo: the main job on the embedded model   test: every test but the slow ones   test-slow: those (an hour and more)
# bench-kernels: the time of each kernel, from the table that its test reads, too
# test-bounds: masks and matchers by kernels that check every index, which the others do not
# check: formatting, lint, types and tests, to run before a commit   forms: the forms of the shipped grammars, anew
# Each target sets up what it needs in $(VENV); a second run starts at once. Needs Python >= 3.10 and make, no more.

VENV ?= .venv
PYTHON ?= $(shell command -v python3 || command -v python)
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: demo test test-slow test-bounds check bench bench-kernels forms clean
.DELETE_ON_ERROR:

demo: $(VENV)/.installed
	$(BIN)/python examples/demo.py

# Kernels are compiled once before several processes use them; one thread each, for there are as many as cores.
RUN_TESTS = $(BIN)/python -m structgen warmup && \
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests -n auto --dist loadfile

test: $(VENV)/.installed-dev
	$(RUN_TESTS) $(PYTEST_ARGS)

test-slow: $(VENV)/.installed-dev
	$(RUN_TESTS) -m slow $(PYTEST_ARGS)

# In a cache of its own: numba does not tell these kernels from the others.
test-bounds: $(VENV)/.installed-dev
	NUMBA_BOUNDSCHECK=1 NUMBA_CACHE_DIR=$(VENV)/bounds-checked $(BIN)/python -m pytest -q \
		tests/automata tests/masks tests/matcher $(PYTEST_ARGS)

check: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(RUN_TESTS) -q $(PYTEST_ARGS)

# STRUCTGEN_TOKENIZERS: a folder with llama3.tokenizer.json.gz; without it, the small vocabulary of the embedded model.
bench-kernels: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -q tests/kernels/test_kernel_table.py --benchmark-enable --benchmark-only \
		--benchmark-columns=min,median,iqr,rounds --benchmark-sort=name $(PYTEST_ARGS)

# structgen beside its peers on 200 schemas, in turns; without DATA and TOKENIZER, on the small sets of the project.
# make bench DATA=maskbench.jsonl.gz TOKENIZER=llama3.tokenizer.json.gz
bench: $(VENV)/.installed-bench
	$(BIN)/python -m jsonschemabench masks --compare structgen,llguidance,xgrammar --interleave --sample 200 \
		$(if $(DATA),--data "$(DATA)") $(if $(TOKENIZER),--tokenizer "$(TOKENIZER)")

# torch comes first and alone, so that an index or folder with a CPU-only build serves it before anything asks for more.
$(VENV)/.torch: constraints.txt
	@test -n "$(PYTHON)" || { echo "no python3 found: set PYTHON=/path/to/python3 (3.10 or newer)" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "$(PYTHON) is older than 3.10" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet torch==2.13.0 -c constraints.txt
	@touch $@

$(VENV)/.installed: $(VENV)/.torch pyproject.toml constraints.txt
	$(PIP) install --quiet -e . -c constraints.txt
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.torch pyproject.toml constraints.txt
	$(PIP) install --quiet -e ".[dev]" -c constraints.txt
	@touch $@ $(VENV)/.installed

$(VENV)/.installed-bench: $(VENV)/.torch pyproject.toml constraints.txt
	$(PIP) install --quiet -e ".[bench]" -c constraints.txt
	@touch $@ $(VENV)/.installed

# What structgen makes of the grammars that ship: after each change to how grammars are read, or to one of them.
forms: $(VENV)/.installed
	$(BIN)/python -m structgen.grammar.forms

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
