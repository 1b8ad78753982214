# `make` lists the targets. Each installs what it needs, and says so.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help install demo test test-unit test-nightly lint format bench soak docs lock clean

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
ARGS   ?=
MINUTES ?= 60
# Two for each core: tests wait, too; and no more than one PostgreSQL has connections for. Calls go first and have the
# machine for themselves: a call that gets no time loses packets. Wherever they are made:
CALLS   := tests/call tests/browser/test_whole_story.py tests/chaos/test_busy_minute.py
CORES   := $(shell nproc)
WORKERS ?= $(shell echo $$(($(CORES) < 4 ? $(CORES) * 2 : 8)))
CALLS_WORKERS ?= $(shell echo $$(($(CORES) < 8 ? $(CORES) : 8)))
# Real parts that the tests drive; a missing one is an error, never a skipped test.
TEST_PACKAGES := chromium sip-tester espeak-ng kamailio kamailio-tls-modules kamailio-websocket-modules \
	rtpengine-daemon baresip-core iproute2
TEST_COMMANDS := chromium sipp espeak-ng kamailio kamcmd rtpengine baresip ip
# Where Debian keeps servers, and where not everybody looks.
export PATH := $(PATH):/usr/sbin:/sbin

help: ## List the targets
	@grep -hE '^[a-z-]+:.*?## ' $(MAKEFILE_LIST) | awk -F ':.*?## ' '{printf "  make %-10s %s\n", $$1, $$2}'

$(VENV)/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Tenderline needs Python 3.11 or later; set PYTHON=…"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || scripts/install-packages python3-venv
	@scripts/require-compiler
	@echo "Installing Tenderline and what it needs into $(VENV) (pinned by requirements.lock) …"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip >/dev/null
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

install: $(VENV)/.installed ## Install into .venv

demo: $(VENV)/.installed ## Run the whole product with a simulated bank, carrier and mailbox (ARGS="--once --json" plays it through)
	@$(BIN)/tenderline demo $(ARGS)

test: $(VENV)/.installed ## Run every test
	@for command in $(TEST_COMMANDS); do command -v $$command >/dev/null || { scripts/install-packages $(TEST_PACKAGES); break; }; done
	@calls=0; others=0; \
	$(BIN)/python -m pytest $(CALLS) -n $(CALLS_WORKERS) $(ARGS) || calls=$$?; \
	$(BIN)/python -m pytest $(addprefix --ignore=,$(CALLS)) -n $(WORKERS) $(ARGS) || others=$$?; \
	case "$$calls $$others" in "0 0"|"0 5"|"5 0") ;; *) exit 1 ;; esac  # 5: ARGS chose none of these

test-unit: $(VENV)/.installed ## Run the unit tests only
	@$(BIN)/python -m pytest tests/unit $(ARGS)

test-nightly: $(VENV)/.installed ## Live 20,000 lives against the gate: a million steps
	@TENDERLINE_GATE_EXAMPLES=20000 $(BIN)/python -m pytest tests/unit/test_gate_machine.py $(ARGS)

lint: $(VENV)/.installed ## Check style, types and the direction of imports
	@$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/mypy && $(BIN)/lint-imports

format: $(VENV)/.installed ## Put the code into its form
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

bench: $(VENV)/.installed ## Measure speed as ratios inside one run, and write docs/benchmarks.md
	@$(BIN)/python -m tests.bench $(ARGS)

soak: $(VENV)/.installed ## Calls for an hour (MINUTES=60): does a node grow? ARGS="--write" writes docs/soak.md
	@$(BIN)/python -m tests.bench.soak --minutes $(MINUTES) $(ARGS)

docs: $(VENV)/.installed ## Write the generated pages: settings, the API's description, the rule book, the steps of flows
	@$(BIN)/tenderline config default > tenderline.default.toml
	@$(BIN)/python scripts/write-openapi.py docs/reference/openapi.json
	@$(BIN)/python scripts/write-rule-book.py docs/reference/rule-book.md
	@$(BIN)/python scripts/write-flow-reference.py docs/reference/flows.md

lock: ## Pin every dependency anew into requirements.lock
	@$(BIN)/python -m pip install -q uv
	@$(BIN)/uv pip compile -q pyproject.toml --extra sandbox --extra browser-audio --extra local-speech --group dev --universal --generate-hashes --no-emit-index-url --no-header -o requirements.lock

clean: ## Remove what was installed and built
	@rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache dist build
