# make demo     draw the life of a connection; makes .venv first
# make test     lint, types and tests
# make gate     the mutation gate over our own scripts: both families, fast path on and off; make gate-ci: one of each
# make bench    benchmarks, as a table and as out/bench.json
# make pictures the pictures of README and docs, from real runs
# make clean    remove what these made
#
# PYTHON=python3.12 picks an interpreter; without it the newest of python3.13, 3.12, 3.11 and python3 is taken.

SHELL := /bin/sh
MAKEFLAGS += --no-print-directory
.DELETE_ON_ERROR:
.PHONY: demo test lint gate gate-ci bench pictures clean

# Used by relative path only, so that a checkout directory may have spaces in its name.
BIN := .venv/bin
EDITABLE := pyproject.toml tools/venv.sh $(BIN)/python
export PYTHON

# synfin ends with 130 on Ctrl-C and 141 when its reader has gone (`| head`); neither needs a word from make, which gets
# the Ctrl-C itself. `trap :` keeps the shell alive until synfin has ended.
QUIET = trap : INT; $(1) || { status=$$?; case $$status in 130|141) ;; *) exit $$status;; esac; }

demo: .venv/.demo
	@mkdir -p out
	@$(call QUIET,$(BIN)/synfin demo --svg out/whole-life.svg --pcap out/whole-life.pcapng)

test: lint
	@$(BIN)/python -m pytest -n 2 --dist worksteal -rs

lint: .venv/.test
	@$(BIN)/python -m ruff check --quiet .
	@$(BIN)/python -m mypy

gate: .venv/.test
	@$(BIN)/python -m tests.packetdrill.gate --full

gate-ci: .venv/.test
	@$(BIN)/python -m tests.packetdrill.gate

bench: .venv/.demo
	@$(call QUIET,$(BIN)/python -m benchmarks --json out/bench.json)

pictures: .venv/.demo
	@$(BIN)/python tools/pictures.py

clean:
	@rm -rf .venv out dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@sh tools/venv.sh make

.venv/.demo: $(EDITABLE)
	@sh tools/venv.sh install cli,net
	@touch $@

.venv/.test: $(EDITABLE)
	@sh tools/venv.sh install cli,net,test,lint
	@touch .venv/.demo $@
